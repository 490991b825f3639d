#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_traces, &hp_report_traces, HP_TAKES_ALL & ~(unsigned)HP_TAKES_ORDER, argc, argv);
}

const struct hp_verb hp_verb_traces = {
    "traces", "[OPTION...] FILE|PID...", "The stacks themselves, largest first", hp_help_traces, run,
};
