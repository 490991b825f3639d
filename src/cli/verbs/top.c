#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_top, &hp_report_top, HP_TAKES_ALL, argc, argv);
}

const struct hp_verb hp_verb_top = {
    "top",
    "[OPTION...] FILE|PID...",
    "The functions (files, lines, addresses) that most memory is allocated in",
    HP_REPORT_OPTIONS_HELP "\n"
                           "flat is what a function allocates itself, cum what it and all that it "
                           "calls allocate. Each estimate stands with the\n"
                           "half-width of its 95% interval. Several files are merged first.\n"
                           "\n"
                           "Example: heapprof top --sort=cum --focus=parse_request 0002.heap\n",
    run,
};
