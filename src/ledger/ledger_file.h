/* ledger_file.h - where ledgers lie, and what their names say.
 *
 *     FOLDER/heapprof-UID/PID.ledger, or PID.N.ledger with N from 1
 *
 * FOLDER is /dev/shm, /tmp, or what HEAPPROF_LEDGER says; UID the effective user at the start; PID the process as it
 * knows itself (in its pid namespace). A process takes the first name that is free: there may be ledgers of dead
 * processes that had its number, and of one in another pid namespace that has it. Over exec the program that is
 * executed takes over the name of the one before. Nothing has to be asked of /proc for this at the start of a process,
 * where it would take 50 us.
 *
 * A ledger is held from before it has a size until no process has it mapped any more: by a lock, flock(2), of the open
 * file, which outlives its descriptor for as long as the mapping does. Unlike /proc, which may not be there and knows
 * one pid namespace only, it tells in all of them, and also after exec.
 *
 * No malloc, no stdio, no errno; async-signal-safe.
 */
#ifndef HP_LEDGER_LEDGER_FILE_H
#define HP_LEDGER_LEDGER_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/ledger.h"

/* Dead ledgers that a user's folder keeps at least, and twice that at the most; the oldest go first. */
#define HP_DEAD_MOST 16

/* In clock ticks (1/100 s) since boot. */
uint64_t hp_boot_ticks(void);
/* When the process was started (field 22 of /proc/PID/stat); 0 if there is no such process, or no /proc. pid 0: this
 * process. */
uint64_t hp_process_start(int pid);

/* The user's folder in `folder`, made if need be: 0700, a folder, and the user's own; or -errno. Returns its length. */
int hp_ledger_folder_path(char path[HP_PATH_MAX], const char *folder, unsigned uid);
/* The name of a ledger in there; `number` 0: the first one. */
int hp_ledger_file_path(char path[HP_PATH_MAX], const char *folder, unsigned uid, int pid, uint64_t number);

/* Make the name of a ledger into that of another one in the same folder. */
int hp_ledger_file_beside(char path[HP_PATH_MAX], int pid, uint64_t number);

/* Hold a ledger's file from now on, by its open file, which is then mapped. */
void hp_ledger_file_hold(int fd);
/* False if nobody holds it: its process is dead, or has executed another program. Sets `made`, unless that is NULL, to
 * when that was, in ns of Unix time. */
bool hp_ledger_file_is_held(const char *path, uint64_t *made);

/* "/proc/self/fd/N" */
void hp_descriptor_path(char path[HP_PATH_MAX], int fd);

/* False if `name` (without folders) is not a ledger's. */
bool hp_ledger_file_parse(const char *name, int *pid, uint64_t *number);

/* When there are many ledgers in a user's folder, remove all of dead processes but the newest HP_DEAD_MOST. What is
 * held stays. */
void hp_ledger_file_prune(const char *user_folder);

#endif
