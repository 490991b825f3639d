/* dump.h - write a profile from inside the target.
 *
 * All functions keep errno and are async-signal-safe; memory is mapped for the time of the dump. One dump at a time: a
 * request that comes during another is served when that one ends.
 */
#ifndef HP_PRELOAD_DUMP_H
#define HP_PRELOAD_DUMP_H

#include <stdbool.h>

#include "ledger/ledger.h"

/* To `path`, or (NULL) to the name that HEAPPROF_OUTPUT makes. Returns 0, -EBUSY (this thread is in the middle of a
 * dump), or -errno. */
int hp_dump(const char *path);

/* A signal asked for a dump; failure gets a line on standard error. */
void hp_dump_requested(void);

/* In the child of a fork: a dump that another thread of the parent was making goes on there, not here. */
void hp_dump_forked(void);

/* After a sample: HEAPPROF_EVERY and HEAPPROF_GROWTH. */
void hp_dump_triggers(struct hp_ledger *ledger);

#endif
