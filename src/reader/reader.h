/* reader.h - other processes' ledgers, for the command. Nothing is asked of a target: no signal, no ptrace, no stop.
 *
 * Terms
 *   running  its process lives and has the ledger mapped
 *   dead     its process ended without removing it: by a signal, by abort, or by losing the way to it (chroot)
 *
 * Errors: -errno, and one line in `error` that says what and where. What is read may be changed, damaged or cut at any
 * moment by its owner; then there is an error, or numbers of two moments, but no crash. Thread-safe (SIGBUS is
 * caught while a ledger is read, by one thread at a time).
 */
#ifndef HP_READER_READER_H
#define HP_READER_READER_H

#include <stdbool.h>
#include <sys/types.h>

#include "reader/process.h"
#include "ledger/snapshot.h"

/* A ledger's file, and what its header says. */
struct hp_ledger_info {
    char path[HP_PATH_MAX];
    pid_t pid; /* in our pid namespace while it runs; else as the process knew itself */
    bool running;
    bool closed; /* it ended normally, but its ledger could not be removed */
    bool hasty;  /* for the caller to set: be content with how much was resident up to a second ago, if that is known */
    unsigned uid;                            /* owner of the file */
    uint64_t start_time_ns;                  /* Unix time */
    uint64_t live_estimate, inuse, reserved; /* bytes */
    uint64_t samples, lost;
    uint64_t interval;
    int signal; /* that asks for a dump; 0: none */
    enum hp_signal_state signal_state;
    char program[64];
    char exe[HP_PATH_MAX];
};

/* Visit the ledgers of this user (or of all, for root). A ledger counts only if its file, its folder and its process
 * belong to one user, and nobody else may write to the folder; a process that was root's at first may be anybody's by
 * now. Those that are damaged are passed over, and counted in
 * the result. */
int hp_ledger_each(bool all_users, void (*visit)(void *state, const struct hp_ledger_info *info), void *state);

/* By process id: the running one, else a dead one of this user's, else of the only other user who has one (for root);
 * the latest. Not one of another user than who has a process of this number now. Or by the file's path, whosever it is.
 */
int hp_ledger_find(const char *pid_or_path, struct hp_ledger_info *info, char *error, size_t error_size);

/* Write its profile, as it is now, to the sink. */
int hp_ledger_write(const struct hp_ledger_info *info, hp_sink_fn *sink, void *state, char *error, size_t error_size);

/* Both for a running process. -ESRCH: no such process, or dead; -ENOENT: it has no ledger. */
int hp_ledger_find_running(pid_t pid, struct hp_ledger_info *info, char *error, size_t error_size);
int hp_ledger_dump(pid_t pid, hp_sink_fn *sink, void *state, char *error, size_t error_size);

/* Ask the process to sample at another interval (bytes, 0: not at all): done at its next sample, in each thread after
 * at most HP_STRIDE bytes of allocation. */
int hp_ledger_set_interval(const struct hp_ledger_info *info, uint64_t bytes, char *error, size_t error_size);

#endif
