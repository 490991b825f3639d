#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_stats, &hp_report_stats, HP_TAKES_JSON, argc, argv);
}

const struct hp_verb hp_verb_stats = {
    "stats",
    "[--json] [--color=WHEN] FILE|PID...",
    "Where the resident set goes, HeapInuse, HeapIdle and the other figures of the allocator, and those of the "
    "profiler",
    hp_help_stats,
    run,
};
