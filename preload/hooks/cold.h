/* cold.h - the cold path, as the hooks call it: what is done for a sampled object, and for an object that may have been
 * sampled.
 *
 * All functions keep errno, take no lock, call no allocator function, and are safe in a signal handler (a nested
 * sample is counted as lost). `frame_address` is the __builtin_frame_address(0) of the hook.
 */
#ifndef HP_PRELOAD_COLD_H
#define HP_PRELOAD_COLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/ledger.h"

/* After hp_charge(n) said so: is this allocation to be sampled? If yes, the caller allocates and calls hp_record. */
bool hp_due(size_t n);

/* Record an object of n bytes (as the target asked) at `pointer`. */
void hp_record(const void *pointer, size_t n, const void *frame_address);

/* The object at `pointer` is being freed: forget it if it was sampled (true). Before the allocator gets it back. */
bool hp_forget(const void *pointer);

/* For realloc: take the object out of sight, then either forget it (hp_forget_taken) or put it back (it survived).
 * Another thread may get its address before realloc returns, and it must reappear if realloc fails. */
bool hp_take(const void *pointer, struct hp_live_ref *ref);
void hp_forget_taken(struct hp_live_ref *ref);
void hp_put_back(struct hp_live_ref *ref);

/* After realloc: `taken` is what hp_take said, `gone`: the object is not at its old place any more, or freed. */
static inline void hp_resized(bool taken, struct hp_live_ref *ref, bool gone)
{
    if (taken && gone)
        hp_forget_taken(ref);
    else if (taken)
        hp_put_back(ref);
}

#endif
