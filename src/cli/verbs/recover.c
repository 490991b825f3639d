#include "cli/dump_file.h"
#include "cli/say.h"

static int run(int argc, char **argv)
{
    struct hp_dump_arguments arguments = {0};
    struct hp_ledger_info info;
    char error[HP_PATH_MAX + 256];
    hp_dump_arguments_parse(&hp_verb_recover, "PID or LEDGER", argc, argv, &arguments);
    if (hp_ledger_find(arguments.target, &info, error, sizeof error) < 0)
        return hp_fail("%s", error);
    return hp_dump_file_write(&info, arguments.output);
}

const struct hp_verb hp_verb_recover = {
    "recover",
    "PID|LEDGER [-o FILE]",
    "The profile of a program that was killed, from the ledger that it left",
    hp_help_recover,
    run,
};
