/* library.h - the library's own state in the process, and its life: start, signals, fork, exit.
 *
 * Everything is zero before hp_library_start(), which the constructor or the first sampled allocation calls; until then
 * the hooks forward. After exit the hooks go on forwarding, and objects stay known.
 */
#ifndef HP_PRELOAD_LIBRARY_H
#define HP_PRELOAD_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/region.h"
#include "options.h"

/* What holds paths comes last, as in hp_options. */
struct hp_library {
    uint32_t state; /* 0: not started, 1: starting, 2: ready, 3: off (setuid, or no memory at all) */
    int pid;
    uint64_t armed_interval;    /* what heapprof_enable(1) goes back to */
    uint64_t stderr_file[2];    /* device and inode of descriptor 2 at the start */
    const uint32_t *fork_guard; /* reads 0 in a child, whichever way it was forked */
    struct hp_options options;
    struct hp_region region;
    char directory[HP_PATH_MAX]; /* where the target started */
};

extern struct hp_library hp_library __attribute__((visibility("hidden")));

/* The ledger, or NULL when the library is not ready. */
static inline struct hp_ledger *hp_ledger_now(void)
{
    return __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE) == 2 ? hp_library.region.ledger : NULL;
}

/* Start if need be; true if the library is ready. False while another thread, or this one, is at it. */
bool hp_library_start(void);

/* True in a child of fork whose handlers were skipped; it then has moved to a ledger of its own. */
void hp_library_check_fork(void);

/* Put into the ledger, once, what the process executes: before the first sample and before a dump, not at the start, which
 * it would make 80 us longer. Async-signal-safe. */
void hp_library_describe(struct hp_ledger *ledger);

/* What happens when the process ends, from the destructor, _exit, _Exit and quick_exit; does nothing the second time. */
void hp_library_exit(void);

/* Take over a new interval. Returns 0, -ENOSYS, -EINVAL (more than 1 TiB), or -ENOSPC after HP_EPOCHS different ones.
 * Async-signal-safe. */
int hp_library_set_interval(uint64_t bytes);

/* A whole line on standard error, of at most PIPE_BUF bytes; nothing if descriptor 2 is no longer what it was at the
 * start, or can't take it at once. Async-signal-safe. */
void hp_say(const char *line, size_t size);

/* One line on standard error, "heapprof: " and the parts; nothing if descriptor 2 is no longer what it was at the start.
 * Async-signal-safe. */
void hp_complain(const char *const *parts, unsigned count);

/* Note in the ledger whether this signal's handler is the library's, if it is the one that asks for a dump: after each
 * call that may have changed it. Async-signal-safe. */
void hp_library_note_handler(int number);

/* The target is about to give up system calls: reserve memory now. */
void hp_library_before_seccomp(void);

#endif
