/* library.h - the library's own state in the process, and its life: start, signals, fork, exit.
 *
 * Everything is zero before hp_library_start(), which the constructor or the first sampled allocation calls; until then
 * the hooks forward. After exit the hooks go on forwarding, and objects stay known.
 */
#ifndef HP_PRELOAD_LIBRARY_H
#define HP_PRELOAD_LIBRARY_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "ledger/region.h"
#include "process/options.h"

enum hp_library_state {
    HP_LIBRARY_NEW,
    HP_LIBRARY_STARTING,
    HP_LIBRARY_READY,    /* there is a ledger */
    HP_LIBRARY_CHILD,    /* of a fork: it makes its ledger when it needs one */
    HP_LIBRARY_BUILDING, /* ... and is at it */
    HP_LIBRARY_OFF,      /* setuid, disabled, or no memory at all */
};

/* What holds paths comes last, as in hp_options. */
struct hp_library {
    uint32_t state;                         /* enum hp_library_state */
    int pid, parent;                        /* parent: of a forked child */
    int signal;                             /* that our handler answers; 0: none */
    uint64_t start_time_ns, start_clock_ns; /* of the process that was started: CLOCK_REALTIME, CLOCK_MONOTONIC */
    bool no_time_stamps;                    /* the process forbade itself the time stamp counter (PR_SET_TSC) */
    uint64_t armed_interval;                /* what heapprof_enable(1) goes back to */
    uint64_t stderr_file[2];                /* device and inode of descriptor 2 at the start */
    const uint32_t *fork_guard;             /* reads 0 in a child, whichever way it was forked */
    uint64_t child_interval;                /* bytes, of a child that has no ledger yet: its parent's */
    struct hp_heritage *heritage;           /* of such a child; NULL: there is none */
    struct hp_options options;
    struct hp_region region;
    char directory[HP_PATH_MAX]; /* where the target started */
    char folder[HP_PATH_MAX];    /* of the ledger: "auto", "none", or a path */
};

extern struct hp_library hp_library __attribute__((visibility("hidden")));

/* The ledger, or NULL when there is none, or none yet. */
static inline struct hp_ledger *hp_ledger_now(void)
{
    return __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE) == HP_LIBRARY_READY ? hp_library.region.store.ledger
                                                                                    : NULL;
}

static inline bool hp_library_is_off(void)
{
    return __atomic_load_n(&hp_library.state, __ATOMIC_RELAXED) == HP_LIBRARY_OFF;
}

static inline bool hp_library_is_child(void)
{
    return __atomic_load_n(&hp_library.state, __ATOMIC_RELAXED) == HP_LIBRARY_CHILD;
}

/* False: a look at an exact clock could end the target. */
static inline bool hp_library_may_time(void)
{
    return !hp_library.no_time_stamps && !hp_region_is_sealed();
}

/* Start if need be; true if the library is ready. False while another thread, or this one, is at it. */
bool hp_library_start(void);

/* True in a child of a fork whose handlers were skipped, until it has left its parent's ledger. */
static inline bool hp_library_was_forked(void)
{
    const uint32_t *guard = hp_library.fork_guard;
    return guard && __atomic_load_n(guard, __ATOMIC_RELAXED) == 0;
}

/* In a child of a fork whose handlers were skipped: leave the parent's ledger. Before any use of the ledger. */
void hp_library_leave_parent(void);
static inline void hp_library_check_fork(void)
{
    if (hp_library_was_forked())
        hp_library_leave_parent();
}

/* The same as hp_ledger_now; a child of a fork makes its ledger now if it has none. */
struct hp_ledger *hp_library_make_ledger(void);
static inline struct hp_ledger *hp_library_ledger(void)
{
    struct hp_ledger *ledger = hp_library_was_forked() ? NULL : hp_ledger_now();
    return ledger ? ledger : hp_library_make_ledger();
}

/* Put into the ledger, once, what the process executes: before the first sample and before a dump, not at the start, which
 * it would make 80 us longer. Async-signal-safe. */
void hp_library_describe(void);

/* What happens when the process ends, from the destructor, _exit, _Exit and quick_exit; does nothing the second time. */
void hp_library_exit(void);

/* Take over a new interval. Returns 0, -ENOSYS, or -EINVAL (more than 1 TiB). Async-signal-safe. */
int hp_library_set_interval(uint64_t bytes);

/* What we do about the signal that asks for a dump. */
void hp_library_handler(int number);
static inline bool hp_library_answers(int number)
{
    return number && number == hp_library.signal;
}

void hp_library_own_action(struct sigaction *action);

/* What strerror would say, without locale; a number where there is no such text. Async-signal-safe. */
const char *hp_error_text(int error);

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
