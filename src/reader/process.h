/* process.h - what /proc says of the process that a ledger is of. For the command: uses stdio. */
#ifndef HP_READER_PROCESS_H
#define HP_READER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ledger/resident.h"

/* The process may have made a file of this user's: it is the user's, or was root's at first. */
bool hp_process_may_own(pid_t pid, unsigned uid);

/* Our number for the process that knows itself as `pid`, made the ledger at `path`, which is this user's, at `made`
 * (hp_boot_ticks), in the pid namespace of that inode (0: not known), and has it mapped; 0: it is dead. */
pid_t hp_process_find(const char *path, unsigned uid, int pid, uint64_t made, uint64_t namespace);

/* There is no process of this number, or nothing of it but what its parent has not asked for yet. */
bool hp_process_is_over(pid_t pid);

/* What a signal that asks for a dump would meet. */
enum hp_signal_state {
    HP_SIGNAL_NONE,     /* none is to ask for one, or the process is dead */
    HP_SIGNAL_ANSWERED, /* the library's handler */
    HP_SIGNAL_TAKEN,    /* a handler of the target's own */
    HP_SIGNAL_IGNORED,  /* SIG_IGN */
    HP_SIGNAL_DEADLY,   /* SIG_DFL, which ends the process */
    HP_SIGNAL_BLOCKED,  /* by all threads: it waits */
};

/* `answered`: the library's handler was the last that was seen being installed. Handlers that are taken away past
 * libc are told by /proc, others that are installed so are not. */
enum hp_signal_state hp_process_signal(pid_t pid, int number, bool answered);

/* Bytes; 0 if unknown. */
uint64_t hp_process_max_rss(pid_t pid);
/* `ledger`: its file. */
struct hp_resident hp_process_resident(pid_t pid, const char *ledger);

#endif
