#include <stdio.h>

#include "cli/arguments.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/values.h"
#include "reader/reader.h"
#include "report/core/units.h"

struct arguments {
    const char *target, *size;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (arguments->size)
        hp_usage("interval takes a PID and a SIZE");
    if (arguments->target)
        arguments->size = value;
    else
        arguments->target = value;
    return 0;
}

static void show(const struct hp_ledger_info *info, uint64_t interval)
{
    char figure[HP_FIGURE];
    if (interval == 0)
        printf("%d %s: off\n", (int)info->pid, info->program);
    else if (interval == 1)
        printf("%d %s: every allocation\n", (int)info->pid, info->program);
    else
        printf("%d %s: 1 sample per %s\n", (int)info->pid, info->program, hp_figure(figure, (double)interval, true));
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {.parser = parse_option};
    struct arguments arguments = {0};
    struct hp_ledger_info info;
    char error[HP_PATH_MAX + 256];
    uint64_t bytes = 0;
    hp_arguments_parse(&hp_verb_interval, &argp, 0, argc, argv, &arguments);
    if (!arguments.target)
        hp_usage("interval needs a PID");
    if (arguments.size)
        bytes = hp_size_value("SIZE", arguments.size);
    if (hp_ledger_find(arguments.target, &info, error, sizeof error) < 0)
        return hp_fail("%s", error);
    if (!info.running)
        return hp_fail("process %d is dead", (int)info.pid);
    if (arguments.size && hp_ledger_set_interval(&info, bytes, error, sizeof error) < 0)
        return hp_fail("%s", error);
    show(&info, arguments.size ? bytes : info.interval);
    return hp_output_flush();
}

const struct hp_verb hp_verb_interval = {
    "interval",       "PID [SIZE]", "Show or change the sampling interval of a running program; 0 disarms it",
    hp_help_interval, run,
};
