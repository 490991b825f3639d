#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/say.h"
#include "reader/reader.h"

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    int *first = state->input;
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    *first = state->next - 1;
    state->next = state->argc; /* the rest are targets, too */
    return 0;
}

static int remove_one(const char *target)
{
    struct hp_ledger_info info;
    char error[HP_PATH_MAX + 256];
    if (hp_ledger_find(target, &info, error, sizeof error) < 0)
        return hp_fail("%s", error);
    if (info.running)
        return hp_fail("process %d is running: its ledger is in use, and goes with it", (int)info.pid);
    return unlink(info.path) < 0 ? hp_fail("%s: %s", info.path, strerror(errno)) : HP_DONE;
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {.parser = parse_option};
    int first = 0, status = HP_DONE;
    hp_arguments_parse(&hp_verb_rm, &argp, ARGP_IN_ORDER, argc, argv, &first);
    if (!first)
        hp_usage("rm needs a PID or LEDGER");
    for (int i = first; i < argc; i++)
        if (remove_one(argv[i]) != HP_DONE)
            status = HP_FAILED;
    return status;
}

const struct hp_verb hp_verb_rm = {
    "rm", "PID|LEDGER...", "Delete the ledgers of dead programs", hp_help_rm, run,
};
