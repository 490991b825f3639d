/* thread.h - what the library knows of the calling thread. Async-signal-safe; at most one system call in a thread's
 * life. */
#ifndef HP_PRELOAD_THREAD_H
#define HP_PRELOAD_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/ledger.h"

/* Zero-filled is valid. Belongs to its thread; signal handlers of that thread meet it half-way, which is why `busy`
 * brackets all work on it. */
struct hp_thread {
    uint64_t left;   /* first, for the hot path; below 0 (as a signed number) inside the cold path */
    uint64_t beyond; /* rest of the gap after left; HP_NEVER: sampling is off */
    uint64_t random;
    uint64_t drawn;        /* interval that left was drawn for, plus 1; 0: none yet */
    uint64_t due_interval; /* of the allocation that hp_sampler_due said is due */
    uint32_t tid;          /* the kernel's number; 0: not asked yet */
    uint32_t number;       /* of the thread in the ledger, from 1; 0: not given yet */
    uint32_t cold_calls;   /* hp_due was entered so often */
    uintptr_t busy;        /* address in the stack of who is inside the cold path; 0: nobody (busy.h) */
    uintptr_t forgotten;   /* the object whose operator delete is running, after its sample was forgotten */
    bool may_ask;  /* the last sample's stack tells that the thread holds no lock of the allocator (figures.h) */
    bool own_call; /* the library itself calls the allocator: not the target's allocations */
    struct hp_heritage *heritage; /* between the handlers of fork: for the child */
    uint64_t asked;               /* of an aligned operator new that is about to call the allocator, plus 1; 0: none */
};

extern __thread struct hp_thread hp_thread __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The kernel's number of the calling thread, or, when no system call may be made any more, one that nobody has. */
uint32_t hp_thread_tid(struct hp_thread *thread);

/* Gives the calling thread its number in the ledger, if it has none. */
void hp_thread_enter(const struct hp_store *store, struct hp_thread *thread);

/* In the child of a fork: the calling thread is another one now. */
void hp_thread_forked(struct hp_thread *thread);

#endif
