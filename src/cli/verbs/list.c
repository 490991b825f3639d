#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_list, &hp_report_list, (HP_TAKES_ALL & ~(unsigned)HP_TAKES_ORDER) | HP_WANTS_PATTERN,
                          argc, argv);
}

const struct hp_verb hp_verb_list = {
    "list",
    "[OPTION...] REGEX FILE|PID...",
    "The source of the functions that match, each line with what it allocates",
    hp_help_list,
    run,
};
