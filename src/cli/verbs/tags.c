#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_tags, &hp_report_tags,
                          HP_TAKES_ALL & ~(unsigned)(HP_TAKES_ORDER | HP_TAKES_ROWS), argc, argv);
}

const struct hp_verb hp_verb_tags = {
    "tags",
    "[OPTION...] FILE|PID...",
    "How large the objects are that the memory consists of, and which threads allocated them",
    HP_REPORT_OPTIONS_HELP "\n"
                           "Objects are put together by powers of two; shown are the sizes found "
                           "in each class. Threads are told for what is\n"
                           "live, without --base, --focus and --ignore, and at most 100 of them; "
                           "the kernel's number (tid) and the name of a\n"
                           "thread are those at the time of the profile, and one that has ended by "
                           "then is counted by its first sample.\n"
                           "\n"
                           "Example: heapprof tags --sample=inuse_objects 0002.heap\n",
    run,
};
