/* reader.h - another process's ledger, for the command. Nothing is asked of the target: no signal, no ptrace, no stop.
 *
 * Errors: -errno, and one line in `error` that says what and where. Thread-safe.
 */
#ifndef HP_LEDGER_READER_H
#define HP_LEDGER_READER_H

#include <sys/types.h>

#include "ledger/snapshot.h"

/* Write the profile of process `pid`, as it is now, to the sink. -ESRCH: no such process; -ENOENT: it has no ledger. */
int hp_ledger_dump(pid_t pid, hp_sink_fn *sink, void *state, char *error, size_t error_size);

#endif
