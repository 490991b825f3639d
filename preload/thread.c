#include "thread.h"

#include <pthread.h>

static uint32_t last_number;

/* The thread's tid. gettid is a system call, which the target may have forbidden itself; but libc writes the tid that it
 * knows into each mutex that it takes, and nobody else knows of this one. */
static uint32_t own_tid(void)
{
    pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    if (pthread_mutex_lock(&mutex) != 0)
        return 0;
    int tid = mutex.__data.__owner;
    pthread_mutex_unlock(&mutex);
    return tid > 0 ? (uint32_t)tid : 0;
}

void hp_thread_enter(struct hp_ledger *ledger, struct hp_thread *thread)
{
    if (thread->number)
        return;
    thread->number = __atomic_add_fetch(&last_number, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&ledger->thread_count, thread->number, __ATOMIC_RELAXED);
    hp_ledger_set_thread(ledger, thread->number, own_tid());
}

void hp_thread_forked(struct hp_ledger *ledger, const struct hp_thread *thread)
{
    if (thread->number)
        hp_ledger_set_thread(ledger, thread->number, own_tid());
}
