/* figures.h - what the allocator says of itself: HeapAlloc, HeapInuse, HeapSys, HeapReleased of spec.md 3.
 *
 * Asking takes the allocator's locks, so it is done only in the cold path of an allocation, when the thread holds none
 * of them, and so seldom that it costs less than 0.2 % of a core; a dump says how old the figures are. Not
 * async-signal-safe.
 */
#ifndef HP_PRELOAD_FIGURES_H
#define HP_PRELOAD_FIGURES_H

#include <stdbool.h>

#include "ledger/ledger.h"

/* Read them again if they are old enough, or `now`. */
void hp_figures_refresh(struct hp_ledger *ledger, bool now);

/* In the child of a fork: another thread of the parent, which was at it, is not here. */
void hp_figures_forked(void);

#endif
