/* describe.h - what the process is, in its ledger: the program, its file, and the malloc that it calls. */
#ifndef HP_PRELOAD_DESCRIBE_H
#define HP_PRELOAD_DESCRIBE_H

#include <stdbool.h>

#include "ledger/ledger.h"

/* The program. `directory`: where the process started. */
void hp_describe_start(struct hp_ledger *ledger, const char *directory);

/* The rest, once; true if it was this call that did it. Async-signal-safe. */
bool hp_describe(struct hp_ledger *ledger);

/* In the child of a fork: it is another process. */
void hp_describe_forked(void);

/* The number of the pid namespace; 0: /proc does not tell. Async-signal-safe. */
uint64_t hp_pid_namespace(void);

#endif
