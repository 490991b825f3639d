#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_stats, &hp_report_stats, HP_TAKES_JSON, argc, argv);
}

const struct hp_verb hp_verb_stats = {
    "stats",
    "[--json] [--color=WHEN] FILE|PID...",
    "Where the resident set goes, HeapInuse, HeapIdle and the other figures of the allocator, and "
    "those of the profiler",
    "  --json                 the same report for programs\n"
    "  --color=WHEN           auto (default), always or never\n"
    "\n"
    "The parts of the resident set add up to Rss of /proc/PID/smaps. What can't be told comes as "
    "\"not explained\", also\n"
    "below 0: live is an estimate. Where the allocator's figures are estimated, or of a moment when other memory was\n"
    "live, what is idle counts as overhead. Of an allocator whose memory looks like any other (jemalloc), what it says\n"
    "that it holds is taken to be resident, as far as there is anonymous memory. A profile of a process that has ended\n"
    "tells of no resident set.\n"
    "\n"
    "Example: heapprof stats 4711\n",
    run,
};
