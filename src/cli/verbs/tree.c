#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_tree, &hp_report_tree, HP_TAKES_ALL & ~(unsigned)HP_TAKES_ORDER,
                          argc, argv);
}

const struct hp_verb hp_verb_tree = {
    "tree",
    "[OPTION...] FILE|PID...",
    "Who calls whom, from main inwards, with what each way allocates",
    HP_REPORT_OPTIONS_HELP
    "\n"
    "Shown are the largest nodes, 40 without -n. cum is what is allocated by this way of calls, "
    "flat the part of it that\n"
    "the function allocates itself. A call without alternatives is not indented.\n"
    "\n"
    "Example: heapprof tree --focus=parse_request 4711\n",
    run,
};
