/* dump.h - write a profile from inside the target.
 *
 * All functions keep errno and are async-signal-safe; memory is mapped for the time of the dump. No lock: dumps of
 * several threads, or of a handler that interrupted one, are made side by side, each into its own file.
 */
#ifndef HP_PRELOAD_DUMP_H
#define HP_PRELOAD_DUMP_H

#include <stdbool.h>

#include "process/thread.h"
#include "ledger/ledger.h"

/* To `path`, or (NULL) to the name that HEAPPROF_OUTPUT makes. Returns 0 or -errno. */
int hp_dump(const char *path);

/* A signal asked for a dump: made now, or by the thread that is making one for an earlier request. Failure gets a line on
 * standard error. */
void hp_dump_requested(void);

/* In the child of a fork: a dump that another thread of the parent was making goes on there, not here. */
void hp_dump_forked(void);

/* True if the calling thread is in a signal handler that interrupted a dump; of a thread that has just been forked by one,
 * its parent's. */
bool hp_dump_is_under_way(struct hp_thread *thread);

/* The process ends: no dump gets its name any more, and those that are at it are waited for, for some ms at most. */
void hp_dump_end(void);

/* After a sample: HEAPPROF_EVERY and HEAPPROF_GROWTH. */
void hp_dump_triggers(struct hp_ledger *ledger);

#endif
