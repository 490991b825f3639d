/* process.h - what /proc says of the process that a ledger is of. For the command: uses stdio. */
#ifndef HP_LEDGER_PROCESS_H
#define HP_LEDGER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ledger/resident.h"

/* Our number for the process that knows itself as `pid`, made the ledger at `path` at `made` (hp_boot_ticks), in the pid
 * namespace of that inode (0: not known), and has it mapped; 0: it is dead. */
pid_t hp_process_find(const char *path, int pid, uint64_t made, uint64_t namespace);

/* There is no process of this number, or nothing of it but what its parent has not asked for yet. */
bool hp_process_is_over(pid_t pid);

/* Bytes; 0 if unknown. */
uint64_t hp_process_max_rss(pid_t pid);
/* `ledger`: its file. */
struct hp_resident hp_process_resident(pid_t pid, const char *ledger);

#endif
