/* figures.h - what the allocator holds: HeapAlloc, HeapInuse, HeapSys, HeapReleased, without holding up the target for
 * them.
 *
 * allocators.h says how each allocator's figures are read. One that is asked takes its locks: so seldom (less than 0.2
 * % of a core), never in a free, and only where the stack tells that the thread holds none of them: it is known to its
 * end, and in it there is no signal handler, which may have interrupted anything, no allocator, and no dynamic linker,
 * which allocates for threads that are being made, as jemalloc makes them with a lock held.
 */
#ifndef HP_PRELOAD_FIGURES_H
#define HP_PRELOAD_FIGURES_H

#include <stdbool.h>

#include "ledger/ledger.h"
#include "unwind/unwind.h"

/* Of the stack of a sample: may the allocator be asked with it? hp_thread.may_ask is set. Async-signal-safe. */
void hp_figures_weigh(const struct hp_ledger *ledger, const uint64_t *frames, unsigned depth, const struct hp_met *met);

/* In the course of a sample, after hp_figures_weigh: read them again if they are old enough, or `now`. */
void hp_figures_refresh(struct hp_ledger *ledger, bool now);

/* For a dump that the target asks for by a call, or that is made at its end: ask the allocator if it may be asked here.
 * `frame_address` as for hp_unwind. `ending`: the dynamic linker calls, to end the process. Async-signal-safe, since
 * then it doesn't ask. */
void hp_figures_ask(struct hp_ledger *ledger, const void *frame_address, bool ending);

/* The allocator's heap, walked for at most `budget_ns`; kept in the ledger too. False: it can't be walked, or its heap
 * is not understood. Async-signal-safe. */
bool hp_figures_walk(struct hp_ledger *ledger, uint64_t budget_ns, struct hp_figures *figures);

/* In the child of a fork: another thread of the parent, which was at it, is not here. */
void hp_figures_forked(void);

#endif
