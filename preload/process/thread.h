/* thread.h - which thread this is. Async-signal-safe; at most one system call in a thread's life. */
#ifndef HP_PRELOAD_THREAD_H
#define HP_PRELOAD_THREAD_H

#include "kinds/heap/sampler.h"
#include "ledger/ledger.h"

/* The kernel's number of the calling thread, or, when no system call may be made any more, one that nobody has. */
uint32_t hp_thread_tid(struct hp_thread *thread);

/* Gives the calling thread its number in the ledger, if it has none. */
void hp_thread_enter(const struct hp_store *store, struct hp_thread *thread);

/* In the child of a fork: the calling thread is another one now. */
void hp_thread_forked(struct hp_thread *thread);

#endif
