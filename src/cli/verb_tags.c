#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_tags, &hp_report_tags,
                          HP_TAKES_ALL & ~(unsigned)(HP_TAKES_ORDER | HP_TAKES_ROWS), argc, argv);
}

const struct hp_verb hp_verb_tags = {
    "tags",
    "[OPTION...] FILE|PID...",
    "How large the objects are that the memory consists of",
    HP_REPORT_OPTIONS_HELP
    "\n"
    "Objects are put together by powers of two; shown are the sizes found in each class.\n"
    "\n"
    "Example: heapprof tags --sample=inuse_objects 0002.heap\n",
    run,
};
