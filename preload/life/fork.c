/* A child of a fork leaves its parent's ledger, and makes one of its own when it needs one: most only execute. */
#include "life/fork.h"

#include <pthread.h>

#include "kinds/heap/figures.h"
#include "kinds/heap/record.h"
#include "kinds/heap/trace.h"
#include "ledger/inherit.h"
#include "base/sys.h"
#include "life/describe.h"
#include "life/dump_turns.h"
#include "life/new_ledger.h"
#include "process/busy.h"
#include "process/library.h"
#include "process/thread.h"
#include "unwind/step.h"

static void before_fork(void)
{
    const struct hp_ledger *ledger = hp_ledger_now();
    hp_thread.heritage = ledger && hp_is_idle(&hp_thread) ? hp_heritage_copy(&hp_library.region.store) : NULL;
}

static void after_fork_in_parent(void)
{
    hp_heritage_free(hp_thread.heritage);
    hp_thread.heritage = NULL;
}

/* From here on this process is a child without a ledger of its own. */
static void become_child(struct hp_heritage *heritage)
{
    struct hp_region *region = &hp_library.region;
    hp_library.parent = hp_library.pid;
    hp_library.pid = hp_sys_getpid();
    *(volatile uint32_t *)(uintptr_t)hp_library.fork_guard = 1;
    hp_thread_forked(&hp_thread);
    hp_thread.random = 0; /* not the same samples as the parent's, but for the gap that it is in */
    hp_dump_forked();
    hp_figures_forked();
    if (hp_library.state == HP_LIBRARY_BUILDING) /* the parent's other thread was at it */
        hp_library.state = HP_LIBRARY_OFF;
    if (hp_library.state != HP_LIBRARY_READY)
        return; /* a child of a child that has no ledger either takes over what that has */
    hp_library.child_interval = hp_interval_now(region->store.ledger);
    hp_library.heritage = heritage;
    hp_region_leave(region);
    hp_describe_forked();
    __atomic_store_n(&hp_library.state, HP_LIBRARY_CHILD, __ATOMIC_RELEASE);
}

/* One whose cold path or dump was interrupted by the handler that forked is left with its parent's ledger until that
 * has ended; it does not write to it any more (hp_library_was_forked). */
static bool is_between(void)
{
    return hp_is_idle(&hp_thread) && !hp_dump_is_under_way(&hp_thread);
}

static void after_fork_in_child(void)
{
    struct hp_heritage *heritage = hp_thread.heritage;
    hp_thread.heritage = NULL;
    if (is_between())
        become_child(heritage);
}

void hp_library_leave_parent(void)
{
    if (is_between())
        become_child(hp_ledger_now() ? hp_heritage_copy(&hp_library.region.store) : NULL);
}

static void build_ledger(void)
{
    struct hp_region *region = &hp_library.region;
    struct hp_heritage *heritage = hp_library.heritage;
    if (!hp_library_new_ledger(hp_library.child_interval)) {
        __atomic_store_n(&hp_library.state, HP_LIBRARY_OFF, __ATOMIC_RELEASE);
        return;
    }
    struct hp_ledger *ledger = region->store.ledger;
    ledger->parent_pid = hp_library.parent;
    if (heritage) {
        hp_heap_inherit(heritage, &region->store);
        hp_library.heritage = NULL;
        hp_heritage_free(heritage);
    } else {
        hp_step_forget(); /* it has frames of modules by numbers that nothing has any more */
    }
    hp_trace_forked();
    __atomic_store_n(&hp_library.state, HP_LIBRARY_READY, __ATOMIC_RELEASE);
    hp_library_note_handler(hp_library.options.signal); /* the parent's, or its own by now */
}

#define BUILD_ROUNDS 100000 /* that another thread looks whether the ledger is there: some 0.1 ms */

struct hp_ledger *hp_library_make_ledger(void)
{
    uint32_t state = __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE);
    if (hp_library_was_forked()) /* in the middle of its parent's cold path */
        return NULL;
    if (state == HP_LIBRARY_CHILD && __atomic_compare_exchange_n(&hp_library.state, &state, HP_LIBRARY_BUILDING, false,
                                                                 __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
        build_ledger();
    for (unsigned i = 0; state == HP_LIBRARY_BUILDING && i < BUILD_ROUNDS; i++)
        state = __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE);
    return hp_ledger_now();
}

void hp_fork_guard(void)
{
    uint32_t *guard = hp_sys_mmap(NULL, HP_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    static uint32_t always = 1; /* before Linux 4.14: forks that skip the handlers go unnoticed */
    if (guard && hp_sys_madvise(guard, HP_PAGE, MADV_WIPEONFORK) == 0) {
        *guard = 1;
        hp_library.fork_guard = guard;
    } else {
        hp_library.fork_guard = &always;
    }
}

void hp_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
