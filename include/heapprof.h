/* heapprof.h - talk to the heap profiler from inside the profiled program.
 *
 * Nothing needs to be linked: every function here is an inline wrapper around a weak reference, which the
 * dynamic loader binds when libheapprof.so is preloaded (LD_PRELOAD or `heapprof run`). In a program that runs
 * without the library every call does nothing and returns -ENOSYS.
 *
 * Terms: the interval is the mean number of bytes allocated between two samples; a sample is one allocation that
 * the profiler recorded with its stack; an estimate is a sampled figure scaled up to what the program did.
 *
 * Compiles as C99 and C++98. SPDX-License-Identifier: MIT
 */
#ifndef HEAPPROF_H
#define HEAPPROF_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the profiler knows of the process and of itself. All counters are since the start of the process. */
struct heapprof_stats {
    size_t size;              /* sizeof(struct heapprof_stats), filled in by heapprof_read_stats() */
    uint64_t interval;        /* bytes; 0: not sampling; 1: every allocation, exactly */
    uint64_t samples;         /* allocations recorded */
    uint64_t lost;            /* allocations drawn but not recorded: no memory, or in the way of other work */
    uint64_t truncated;       /* stacks deeper than HEAPPROF_DEPTH */
    uint64_t unmatched_frees; /* frees that went around the hooks (found when the address came back), or, at
                                 interval 1, frees of memory that was allocated before the profiler was there */
    uint64_t live_objects;    /* sampled objects not yet freed, not scaled */
    uint64_t live_bytes;      /* their bytes, not scaled */
    uint64_t own_bytes;       /* memory that the profiler occupies */
    uint64_t own_ns;          /* time spent in recording samples, ns */
};

/* The weak references. libheapprof.so exports the plain names too (heapprof_dump, ...), for dlsym and debuggers. */
int heapprof_v1_dump(const char *path) __attribute__((weak));
int heapprof_v1_enable(int on) __attribute__((weak));
int heapprof_v1_interval(uint64_t bytes) __attribute__((weak));
int heapprof_v1_read_stats(struct heapprof_stats *stats, size_t size) __attribute__((weak));

/* Write a profile now, to `path`, or with NULL to the name that HEAPPROF_OUTPUT makes. An existing file at `path`
 * is replaced at once, when the new one is whole. Returns 0, -ENOSYS without the library, or -errno of the file
 * operation that failed. Thread-safe; async-signal-safe. */
static inline int heapprof_dump(const char *path)
{
    return heapprof_v1_dump ? heapprof_v1_dump(path) : -ENOSYS;
}

/* Stop (0) or resume (1) sampling. Objects sampled before stay in the profile until they are freed. Takes effect in
 * each thread at its next sample, or after 16 MiB of its allocations. Returns 0 or -ENOSYS. Thread-safe;
 * async-signal-safe. */
static inline int heapprof_enable(int on)
{
    return heapprof_v1_enable ? heapprof_v1_enable(on) : -ENOSYS;
}

/* Change the interval to `bytes` (1: record every allocation from now on; 0: as heapprof_enable(0)). Returns 0,
 * -ENOSYS, or -EINVAL for more than 1 TiB. Takes effect as heapprof_enable() does. Thread-safe; async-signal-safe. */
static inline int heapprof_interval(uint64_t bytes)
{
    return heapprof_v1_interval ? heapprof_v1_interval(bytes) : -ENOSYS;
}

/* Fill in `*stats`, which the caller owns. Returns 0, or -ENOSYS (then *stats is untouched). Thread-safe;
 * async-signal-safe. The figures are read one by one while other threads go on. */
static inline int heapprof_read_stats(struct heapprof_stats *stats)
{
    return heapprof_v1_read_stats ? heapprof_v1_read_stats(stats, sizeof *stats) : -ENOSYS;
}

#ifdef __cplusplus
}
#endif
#endif
