#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_top, &hp_report_top, HP_TAKES_ALL, argc, argv);
}

const struct hp_verb hp_verb_top = {
    "top",
    "[OPTION...] FILE|PID...",
    "The functions (files, lines, addresses) that most memory is allocated in",
    hp_help_top,
    run,
};
