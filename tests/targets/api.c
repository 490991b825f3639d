/* The calls of heapprof.h, as C and as C++; built by test_dump.sh. Prints what they return. */
#include "heapprof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *volatile kept;

static uint64_t samples(void)
{
    struct heapprof_stats stats;
    memset(&stats, 0, sizeof stats);
    heapprof_read_stats(&stats);
    return stats.samples;
}

int main(int count, char **arguments)
{
    struct heapprof_stats stats;
    uint64_t before;
    int i;
    memset(&stats, 0, sizeof stats);
    for (i = 0; i < 100; i++)
        kept = malloc(100);
    printf("stats %d\n", heapprof_read_stats(&stats));
    printf("dump %d\n", heapprof_dump(arguments[1]));
    printf("dump elsewhere %d\n", heapprof_dump("/no/such/folder/x.heap"));
    printf("too much %d\n", heapprof_interval((uint64_t)1 << 41));
    printf("disable %d\n", heapprof_enable(0));
    for (i = 0; i < 40; i++)
        free(malloc(1 << 20)); /* a thread sees it after 16 MiB at most */
    before = samples();
    for (i = 0; i < 100; i++)
        kept = malloc(100);
    printf("disabled %d\n", samples() == before);
    printf("enable %d\n", heapprof_enable(1));
    for (i = 0; i < 40; i++) {
        kept = malloc(1 << 20);
        free(kept);
    }
    printf("enabled %d\n", samples() > before);
    printf("interval %d\n", heapprof_interval(4096));
    printf("size %d interval %d samples %d live %d lost %d\n", stats.size == sizeof stats, (int)stats.interval,
           stats.samples >= 100, stats.live_objects >= 100 && stats.live_bytes >= 10000, (int)stats.lost);
    return 0;
}
