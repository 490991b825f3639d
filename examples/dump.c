/* How a program talks to the profiler: a profile before and after the work that matters, and what was sampled.
 *
 *     cc -o dump examples/dump.c && heapprof run -i 16K -- ./dump
 *     heapprof diff before.heap after.heap
 *
 * It needs no library to be linked, and runs on without the profiler. C99 and C++. SPDX-License-Identifier: MIT
 */
#include <heapprof.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 20000

struct record {
    struct record *next;
    char text[200];
};

static struct record *load_records(void)
{
    struct record *first = NULL;
    for (int i = 0; i < RECORDS; i++) {
        struct record *record = (struct record *)malloc(sizeof *record);
        if (!record)
            break;
        snprintf(record->text, sizeof record->text, "record %d", i);
        record->next = first;
        first = record;
    }
    return first;
}

static void free_records(struct record *first)
{
    while (first) {
        struct record *next = first->next;
        free(first);
        first = next;
    }
}

/* Each function returns 0, or a negative errno: -ENOSYS when the program runs without the profiler. */
static int dump(const char *path)
{
    int error = heapprof_dump(path);
    if (error && error != -ENOSYS)
        fprintf(stderr, "no profile in %s: %s\n", path, strerror(-error));
    return error;
}

int main(void)
{
    struct heapprof_stats stats;
    struct record *records;
    if (dump("before.heap") == -ENOSYS)
        puts("not profiled");
    records = load_records();
    dump("after.heap");

    if (heapprof_read_stats(&stats) == 0)
        printf("%" PRIu64 " samples, one per %" PRIu64 " bytes; %" PRIu64 " lost\n", stats.samples, stats.interval,
               stats.lost);

    heapprof_enable(0); /* what comes now is not of interest */
    free_records(load_records());
    heapprof_enable(1);

    free_records(records);
    return 0;
}
