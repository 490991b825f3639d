#include "process/thread.h"

#include "ledger/region.h"
#include "base/sys.h"

__thread struct hp_thread hp_thread __attribute__((tls_model("initial-exec"), visibility("hidden")));

#define NOT_A_TID (1u << 31) /* the kernel's are smaller */

uint32_t hp_thread_tid(struct hp_thread *thread)
{
    if (!thread->tid)
        thread->tid = hp_region_is_sealed() ? (uint32_t)((uintptr_t)thread >> 4) | NOT_A_TID
                                            : (uint32_t)hp_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
    return thread->tid;
}

void hp_thread_enter(const struct hp_store *store, struct hp_thread *thread)
{
    uint32_t tid = hp_thread_tid(thread);
    if (!thread->number)
        thread->number = hp_thread_number(store, tid & NOT_A_TID ? 0 : tid);
}

void hp_thread_forked(struct hp_thread *thread)
{
    thread->tid = thread->number = 0;
}
