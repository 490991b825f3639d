#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_traces, &hp_report_traces,
                          HP_TAKES_ALL & ~(unsigned)HP_TAKES_ORDER, argc, argv);
}

const struct hp_verb hp_verb_traces = {
    "traces",
    "[OPTION...] FILE|PID...",
    "The stacks themselves, largest first",
    HP_REPORT_OPTIONS_HELP "\n"
                           "An entry is one stack with objects of one size class.\n"
                           "\n"
                           "Example: heapprof traces -n 3 --focus=realloc 0002.heap\n",
    run,
};
