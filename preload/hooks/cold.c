/* The way from a hook into the library: the stack and the flags as compilers expect them, the library started, a child
 * of a fork out of its parent's ledger, and nobody interrupted in here; then what the kind of the sample does.
 */
#include "hooks/cold.h"

#include "arch/arch.h"
#include "kinds/heap/record.h"
#include "kinds/heap/sampler.h"
#include "kinds/heap/trace.h"
#include "base/sys.h"
#include "life/describe.h"
#include "life/dump.h"
#include "life/fork.h"
#include "life/interval.h"
#include "life/start.h"
#include "process/busy.h"
#include "process/library.h"
#include "process/thread.h"

#define TIMED_OF 64 /* calls of the cold path, one is timed */

/* A signal handler in the middle of the cold path: leave left to that, and note if a sample was due. */
static bool is_nested(struct hp_thread *thread, size_t n)
{
    struct hp_ledger *ledger = hp_ledger_now();
    thread->left += n;
    if (!thread->own_call && ledger && n <= PTRDIFF_MAX && n >= thread->left && thread->drawn &&
        hp_interval_now(ledger))
        hp_count(&ledger->audit.lost, 1u);
    return false;
}

static __attribute__((noinline)) bool due(size_t n)
{
    struct hp_thread *thread = &hp_thread;
    thread->cold_calls++;
    if (thread->own_call || !hp_is_idle(thread))
        return is_nested(thread, n);
    if (!hp_library_start()) {
        thread->left += n;
        if (thread->left == 0 && hp_library_is_off())
            thread->left = HP_STRIDE;
        return false;
    }
    hp_library_check_fork();
    struct hp_ledger *ledger = hp_ledger_now();
    if (!ledger) /* of a child that has none yet: hp_record makes it */
        return hp_library_is_child() ? hp_sampler_due(thread, n, hp_library.child_interval) : is_nested(thread, n);
    uint64_t wanted = __atomic_load_n(&ledger->wanted_interval, __ATOMIC_RELAXED);
    if (wanted != hp_interval_now(ledger))
        hp_library_set_interval(wanted);
    return hp_sampler_due(thread, n, hp_interval_now(ledger));
}

HP_ENTRY bool hp_due(size_t n)
{
    const uint64_t direction = hp_entry_begin();
    const bool result = due(n);
    hp_entry_end(direction);
    return result;
}

HP_ENTRY void hp_forget_taken(struct hp_live_ref *ref)
{
    const uint64_t direction = hp_entry_begin();
    hp_heap_forget(ref);
    hp_entry_end(direction);
}

HP_ENTRY void hp_put_back(struct hp_live_ref *ref)
{
    const uint64_t direction = hp_entry_begin();
    hp_live_restore(ref);
    hp_entry_end(direction);
}

static __attribute__((noinline)) bool take(const void *pointer, struct hp_live_ref *ref)
{
    if (!pointer)
        return false;
    if (hp_is_idle(&hp_thread))
        hp_sampler_mend(&hp_thread);
    hp_library_check_fork();
    struct hp_ledger *ledger = hp_library_ledger();
    if (!ledger)
        return false;
    if (hp_live_take(&hp_library.region.store, (uint64_t)(uintptr_t)pointer, ref))
        return true;
    if (hp_interval_now(ledger) == 1 && hp_thread.forgotten != (uintptr_t)pointer)
        hp_count(&ledger->audit.unmatched_frees, 1u);
    return false;
}

HP_ENTRY bool hp_take(const void *pointer, struct hp_live_ref *ref)
{
    const uint64_t direction = hp_entry_begin();
    const bool result = take(pointer, ref);
    hp_entry_end(direction);
    return result;
}

static __attribute__((noinline)) bool forget(const void *pointer)
{
    struct hp_live_ref ref;
    if (!take(pointer, &ref))
        return false;
    hp_heap_forget(&ref);
    return true;
}

HP_ENTRY bool hp_forget(const void *pointer)
{
    const uint64_t direction = hp_entry_begin();
    const bool result = forget(pointer);
    hp_entry_end(direction);
    return result;
}

#define LONG_TIMES 16       /* the mean: who takes longer had lost its processor */
#define LONG_FIRST_NS 20000 /* before there is a mean */

/* By a clock that runs on while the thread does not; the one of its CPU time is a system call. */
static void add_time(struct hp_audit *audit, bool first, uint64_t ns)
{
    const uint64_t timed = __atomic_load_n(&audit->timed, __ATOMIC_RELAXED);
    const uint64_t most =
        timed < LONG_TIMES ? LONG_FIRST_NS : __atomic_load_n(&audit->timed_ns, __ATOMIC_RELAXED) / timed * LONG_TIMES;
    hp_count(first ? &audit->other_ns : &audit->timed_ns, first || ns < most ? ns : most);
    hp_count(&audit->timed, !first);
}

static __attribute__((noinline)) void record_timed(const void *pointer, size_t n, const void *frame_address)
{
    struct hp_thread *thread = &hp_thread;
    struct hp_ledger *ledger = hp_library_ledger();
    if (!ledger)
        return;
    struct hp_audit *audit = &ledger->audit;
    if (hp_heap_gives_up(audit))
        return;
    const uint64_t call = __atomic_fetch_add(&audit->calls, 1, __ATOMIC_RELAXED);
    const bool timed = (call % TIMED_OF == TIMED_OF / 2 || !call) && hp_library_may_time();
    const uint64_t start = timed ? hp_fine_ns() : 0;
    hp_busy_begin(thread);
    hp_library_describe();
    hp_heap_record(pointer, n, frame_address);
    hp_busy_end(thread);
    if (timed)
        add_time(audit, !call, hp_fine_ns() - start);
    hp_dump_triggers(ledger);
    hp_trace_trigger(ledger);
}

HP_ENTRY void hp_record(const void *pointer, size_t n, const void *frame_address)
{
    const uint64_t direction = hp_entry_begin();
    record_timed(pointer, n, frame_address);
    hp_entry_end(direction);
}
