/* sampler.h - which allocations are sampled.
 *
 * Terms
 *   left     bytes that this thread may allocate until the next sample
 *   gap      bytes between two samples: exponential with mean interval, so that each byte is equally likely to be
 *            sampled, whatever came before, and an object of size s is with probability 1 - exp(-s / interval)
 *   due      an allocation in which left runs out
 *
 * Scheme: the hot path subtracts the size from left and tests whether that was too much. Zero-filled state leads to
 * the cold path by itself, which draws the thread's first gap before it charges the allocation: to sample each thread's
 * first allocation is the classic bias. Gaps are cut at HP_STRIDE, so that each thread looks at the settings now and
 * then, also when nothing is sampled: a target can be armed from outside.
 *
 * Integer arithmetic only: a target may trap floating-point exceptions, or read their flags.
 */
#ifndef HP_PRELOAD_SAMPLER_H
#define HP_PRELOAD_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "process/thread.h"

#define HP_STRIDE (16ull << 20)
#define HP_NEVER UINT64_MAX

/* Charge n bytes; true: left ran out (or was never drawn), go and see hp_due(n). One instruction that touches memory,
 * so that a signal handler sees it done or not done. Who jumps out of a handler that came between this and hp_due
 * leaves left below 0, which as an unsigned number is more than there can be: hp_sampler_mend. Rejected: to test the
 * sign, which requests beyond PTRDIFF_MAX make positive. */
static inline __attribute__((always_inline)) bool hp_charge(size_t n)
{
    return hp_subtract(&hp_thread.left, n);
}

/* After hp_charge(n) returned true: is the allocation of n bytes to be sampled? Takes the charge back and charges
 * properly, draws the next gap. `interval`: in force now; a due allocation is to be recorded at due_interval, the one
 * before when it has just changed. Not for a busy thread. */
bool hp_sampler_due(struct hp_thread *thread, size_t n, uint64_t interval);

/* A gap: at least 1, mean `interval`; P(gap <= s) = 1 - exp(-s / interval) for each whole s. */
uint64_t hp_sampler_gap(uint64_t *random, uint64_t interval);

/* A thread that has more left than there can be learns so at the next object that it frees. */
static inline void hp_sampler_mend(struct hp_thread *thread)
{
    if (thread->left > HP_STRIDE)
        thread->left = thread->beyond = thread->drawn = 0;
}

/* A child of fork: not the same samples as the parent's, and a gap of its own from here on. */
static inline void hp_sampler_restart(struct hp_thread *thread)
{
    thread->random = 0;
    thread->drawn = 0;
    thread->left = thread->beyond = 0;
}

/* Bytes that a sample of this size stands for, size / (1 - exp(-size / interval)), to 1 in 1,000: for triggers, not for
 * reports. */
uint64_t hp_sampler_weight(uint64_t size, uint64_t interval);

/* Different in each process, thread and call. */
uint64_t hp_sampler_seed(void);

#endif
