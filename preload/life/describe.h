/* describe.h - what the process is, in its ledger: the program, its file, and the malloc that it calls. */
#ifndef HP_PRELOAD_DESCRIBE_H
#define HP_PRELOAD_DESCRIBE_H

#include <stdbool.h>

#include "ledger/ledger.h"

/* The program. `directory`: where the process started. */
void hp_describe_start(struct hp_ledger *ledger, const char *directory);

/* Put into the ledger, once, the rest of what the process executes: before the first sample and before a dump, not at
 * the start, which it would make 80 us longer. Async-signal-safe. */
void hp_library_describe(void);

/* Note in the ledger whether this signal's handler is the library's, if it is the one that asks for a dump: after each
 * call that may have changed it. Async-signal-safe. */
void hp_library_note_handler(int number);

/* In the child of a fork: it is another process. */
void hp_describe_forked(void);

/* The number of the pid namespace; 0: /proc does not tell. Async-signal-safe. */
uint64_t hp_pid_namespace(void);

#endif
