/* fork.h - children of forks, and the ledger that they make when they need one. */
#ifndef HP_PRELOAD_FORK_H
#define HP_PRELOAD_FORK_H

#include "process/library.h"

/* From here on a child is known as one, whichever way it was forked. */
void hp_fork_guard(void);

/* May call malloc. */
void hp_fork_handlers(void);

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

#endif
