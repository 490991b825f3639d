/* dump.h - write a profile from inside the target.
 *
 * All functions keep errno and are async-signal-safe; memory is mapped for the time of the dump. No lock: dumps of
 * several threads, or of a handler that interrupted one, are made side by side, each into its own file.
 */
#ifndef HP_PRELOAD_DUMP_H
#define HP_PRELOAD_DUMP_H

#include "ledger/ledger.h"

/* To `path`, or (NULL) to the name that HEAPPROF_OUTPUT makes. Returns 0 or -errno. */
int hp_dump(const char *path);

/* A signal asked for a dump: made now, or by the thread that is making one for an earlier request. Failure gets a line
 * on standard error. */
void hp_dump_requested(void);

/* After a sample: HEAPPROF_EVERY and HEAPPROF_GROWTH. */
void hp_dump_triggers(struct hp_ledger *ledger);

#endif
