#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_tree, &hp_report_tree, HP_TAKES_ALL & ~(unsigned)HP_TAKES_ORDER, argc, argv);
}

const struct hp_verb hp_verb_tree = {
    "tree", "[OPTION...] FILE|PID...", "Who calls whom, from main inwards, with what each way allocates", hp_help_tree,
    run,
};
