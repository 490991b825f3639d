#include "life/dump_turns.h"

#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "process/busy.h"
#include "process/library.h"

static struct {
    uint64_t beat_ns;       /* CLOCK_MONOTONIC, coarse: the last sign of life of the owner */
    uint32_t owner;         /* tid; 0: nobody */
    uint32_t asked, served; /* requests, counted */
} requests;
#define SILENT_MOST_NS 200000000ull /* from one piece of a dump to the next */

void hp_dump_ask(void)
{
    __atomic_fetch_add(&requests.asked, 1, __ATOMIC_SEQ_CST);
}

void hp_dump_beat(void)
{
    __atomic_store_n(&requests.beat_ns, hp_coarse_ns(), __ATOMIC_RELAXED);
}

static bool is_over(uint32_t owner, uint32_t tid)
{
    return !owner || owner == tid ||
           hp_coarse_ns() > __atomic_load_n(&requests.beat_ns, __ATOMIC_RELAXED) + SILENT_MOST_NS ||
           hp_syscall(SYS_tgkill, hp_library.pid, (long)owner, 0, 0, 0, 0) == -ESRCH;
}

static bool own(uint32_t tid)
{
    uint32_t owner = __atomic_load_n(&requests.owner, __ATOMIC_SEQ_CST);
    if (!is_over(owner, tid))
        return false;
    hp_dump_beat(); /* before it is seen to be ours */
    return __atomic_compare_exchange_n(&requests.owner, &owner, tid, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Sequentially consistent, so that of two threads one sees the other's: who asks and finds an owner, or who ends and
 * finds a request. */
bool hp_dump_turn_begin(uint32_t tid)
{
    if (__atomic_load_n(&requests.served, __ATOMIC_SEQ_CST) == __atomic_load_n(&requests.asked, __ATOMIC_SEQ_CST) ||
        !own(tid))
        return false;
    __atomic_store_n(&requests.served, __atomic_load_n(&requests.asked, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
    return true;
}

void hp_dump_turn_end(uint32_t tid)
{
    __atomic_compare_exchange_n(&requests.owner, &tid, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* A child that a handler forks must not leave its parent's ledger before the dump has come to its end. Not in the
 * thread's own memory: a dump may come on a thread that has none of ours. A slot that somebody jumped away from is
 * known by its mark (busy.h). */
#define SLOTS 16u
static struct {
    uint32_t tid; /* 0: free */
    uintptr_t mark;
} under_way[SLOTS];

unsigned hp_dump_enter(uint32_t tid, uintptr_t mark)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        uint32_t holder = __atomic_load_n(&under_way[i].tid, __ATOMIC_RELAXED);
        const bool is_free = !holder || (holder == tid && under_way[i].mark <= mark);
        if (is_free &&
            __atomic_compare_exchange_n(&under_way[i].tid, &holder, tid, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            under_way[i].mark = mark;
            return i;
        }
    }
    return SLOTS;
}

void hp_dump_leave(unsigned slot, uint32_t tid)
{
    if (slot < SLOTS && under_way[slot].tid == tid)
        __atomic_store_n(&under_way[slot].tid, 0, __ATOMIC_RELAXED);
}

bool hp_dump_is_under_way(const struct hp_thread *thread)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (under_way[i].tid && (!thread->tid || under_way[i].tid == thread->tid) && !hp_is_left(under_way[i].mark))
            return true;
    return false;
}

static uint32_t publishing;            /* threads that may have something under a temporary name */
static uint32_t ended;                 /* nothing is published any more */
#define PUBLISHING_MOST_NS 20000000ull /* that the end of the process waits for them */

bool hp_dump_publishing_begin(void)
{
    __atomic_fetch_add(&publishing, 1, __ATOMIC_SEQ_CST);
    return !__atomic_load_n(&ended, __ATOMIC_SEQ_CST);
}

void hp_dump_publishing_end(void)
{
    __atomic_fetch_sub(&publishing, 1, __ATOMIC_SEQ_CST);
}

void hp_dump_end(void)
{
    const uint64_t start = hp_coarse_ns();
    __atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&publishing, __ATOMIC_SEQ_CST) && hp_coarse_ns() - start < PUBLISHING_MOST_NS)
        hp_syscall(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

void hp_dump_forked(void)
{
    memset(under_way, 0, sizeof under_way);
    publishing = 0;
    requests.owner = 0;
    requests.served = requests.asked;
}
