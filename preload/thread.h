/* thread.h - which thread this is, for the ledger. Async-signal-safe; no system call. */
#ifndef HP_PRELOAD_THREAD_H
#define HP_PRELOAD_THREAD_H

#include "ledger/ledger.h"
#include "sampler.h"

/* Gives the calling thread its number, if it has none, and tells the ledger. */
void hp_thread_enter(struct hp_ledger *ledger, struct hp_thread *thread);

/* In the child of a fork: the calling thread has another tid now. */
void hp_thread_forked(struct hp_ledger *ledger, const struct hp_thread *thread);

#endif
