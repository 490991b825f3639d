#include "cli/progress.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define FIRST_NS 300000000 /* what takes less needs no line */
#define NEXT_NS 100000000

static uint64_t due; /* when the next line is; 0: not decided yet */
static bool shown;

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void hp_progress(const char *what, size_t done, size_t all)
{
    uint64_t time = now();
    if (!due)
        due = isatty(STDERR_FILENO) ? time + FIRST_NS : UINT64_MAX;
    if (time < due)
        return;
    due = time + NEXT_NS;
    fprintf(stderr, "\r%s %zu of %zu\033[K", what, done, all);
    fflush(stderr);
    shown = true;
}

void hp_progress_clear(void)
{
    if (shown)
        fputs("\r\033[K", stderr);
    shown = false;
}
