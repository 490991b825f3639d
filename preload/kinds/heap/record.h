/* record.h - samples of the heap on their way into the ledger and out of it.
 *
 * All functions keep errno, take no lock, call no allocator function but as figures.h says, and are safe in a signal
 * handler. There is a ledger. `frame_address` is the __builtin_frame_address(0) of the hook.
 */
#ifndef HP_PRELOAD_RECORD_H
#define HP_PRELOAD_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "ledger/inherit.h"
#include "ledger/ledger.h"

/* Walk the stack, and record an object of n bytes (as the target asked) at `pointer`. The thread is busy (busy.h). */
void hp_heap_record(const void *pointer, size_t n, const void *frame_address);

/* True: there was no memory for the last sample, and this one is not worth a try; it is counted as lost. */
bool hp_heap_gives_up(struct hp_audit *audit);

/* The sample was taken out of the live table (hp_live_take), and is gone. */
void hp_heap_forget(struct hp_live_ref *ref);

/* What of its parent's samples is alive in a child, into its new ledger. */
void hp_heap_inherit(struct hp_heritage *heritage, const struct hp_store *store);

#endif
