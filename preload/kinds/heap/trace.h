/* trace.h - HEAPPROF_TRACE, one line on standard error every so often: what GODEBUG=gctrace=1 is to Go.
 *
 * Called in the cold path, with `busy` set. Keeps errno; no malloc, no stdio, no libm, and no floating-point state of
 * the target is changed.
 */
#ifndef HP_PRELOAD_TRACE_H
#define HP_PRELOAD_TRACE_H

#include "ledger/ledger.h"

/* After a sample: writes the line if it is due. */
void hp_trace_trigger(struct hp_ledger *ledger);

/* In the child of a fork: its lines count from here. */
void hp_trace_forked(void);

#endif
