/* new_ledger.h - the ledger of a process that starts, or of a child that needs one. */
#ifndef HP_PRELOAD_NEW_LEDGER_H
#define HP_PRELOAD_NEW_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

/* `interval`: bytes. False: there is no memory for it. The caller publishes it, by hp_library.state. */
bool hp_library_new_ledger(uint64_t interval);

#endif
