/* inherit.h - what a forked child takes along: its parent's live samples, as they are at the fork.
 *
 * The ledger itself is shared memory, which the parent goes on changing. So before the fork what is live is copied into
 * private memory, which the child has by copy-on-write, and builds a ledger of its own from when it first needs one; a
 * child that only executes another program never does. The rows of what is dead stay with the parent: a child's
 * cumulative numbers begin with what it inherited alive. Copying costs what is live, not what was ever recorded.
 *
 * No malloc, no stdio, no errno; async-signal-safe.
 */
#ifndef HP_LEDGER_INHERIT_H
#define HP_LEDGER_INHERIT_H

#include "ledger/ledger.h"

struct hp_heritage;

/* A copy of what is live in the store now, also while other threads go on; NULL when there is no memory for it, or
 * nothing. To be given back by hp_heritage_free. */
struct hp_heritage *hp_heritage_copy(const struct hp_store *store);
void hp_heritage_free(struct hp_heritage *heritage);

/* Put it into a new ledger, by no thread that is known there. `keep` says of each object whether it is to go in. How
 * many objects there was no memory for, here or in the copy. */
uint64_t hp_heritage_build(const struct hp_heritage *heritage, const struct hp_store *store,
                           bool (*keep)(uint64_t address));

#endif
