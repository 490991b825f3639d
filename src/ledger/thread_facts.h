/* thread_facts.h - what only the live samples one by one tell: how much of them was never touched, and which thread
 * allocated them, which stands in a profile as
 *
 *   # heapprof.thread = NUMBER tid=N samples=N sampled_bytes=N bytes=N bytes_error=N objects=N objects_error=N ended=1
 *     name=...
 *
 * NUMBER counts threads in the order of their first samples; 0: all that are not listed, with threads=N. Without tid=
 * where the kernel's number is not known. bytes and objects are estimates, with
 * the half-widths of their 95 % intervals. name= comes last and may hold spaces; without it the thread's name is not
 * known, and with ended=1 the thread is gone. At most HP_THREADS_LISTED lines, those with the most bytes.
 *
 * Internal to src/ledger; async-signal-safe.
 */
#ifndef HP_LEDGER_THREAD_FACTS_H
#define HP_LEDGER_THREAD_FACTS_H

#include "ledger/snapshot.h"

#define HP_THREADS_LISTED 100

struct hp_thread_sum {
    bool listed;
    uint64_t samples, sampled_bytes;
    double bytes, bytes_variance, bytes_squares;
    double objects, objects_variance, objects_squares; /* squares: sums of squared variances */
};

struct hp_thread_sums {
    double untouched;    /* estimate of the bytes of live objects that are not in memory; of large ones only */
    uint64_t pages_left; /* that may still be looked up */
    uint64_t pagemap[1024];
    struct hp_thread_sum others; /* of numbers that sums has no room for */
    uint32_t count;
    struct hp_thread_sum *sums; /* by number less one: scratch memory of the caller's, hp_threads_size() */
};

/* Bytes of scratch memory for all threads that there are now; how many these are. */
uint64_t hp_threads_size(const struct hp_ledger_view *view, uint32_t *count);

/* `process`: "self" or a number, whose pages and threads' names are looked up; NULL: it is dead. */
void hp_threads_collect(const struct hp_ledger_view *view, const char *process, struct hp_thread_sums *sums);
void hp_threads_write(const struct hp_ledger_view *view, const char *process, struct hp_thread_sums *sums,
                      struct hp_text *text);

#endif
