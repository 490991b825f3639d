/* library.h - the library's own state in the process. Its life is in life/: start, signals, fork, exit.
 *
 * Everything is zero before hp_library_start() (start.h), which the constructor or the first sampled allocation calls;
 * until then the hooks forward. After exit the hooks go on forwarding, and objects stay known.
 */
#ifndef HP_PRELOAD_LIBRARY_H
#define HP_PRELOAD_LIBRARY_H

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
    uintptr_t handler;                      /* its address */
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

/* True in a child of a fork whose handlers were skipped, until it has left its parent's ledger. */
static inline bool hp_library_was_forked(void)
{
    const uint32_t *guard = hp_library.fork_guard;
    return guard && __atomic_load_n(guard, __ATOMIC_RELAXED) == 0;
}

#endif
