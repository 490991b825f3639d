#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_tags, &hp_report_tags, HP_TAKES_ALL & ~(unsigned)(HP_TAKES_ORDER | HP_TAKES_ROWS),
                          argc, argv);
}

const struct hp_verb hp_verb_tags = {
    "tags",
    "[OPTION...] FILE|PID...",
    "How large the objects are that the memory consists of, and which threads allocated them",
    hp_help_tags,
    run,
};
