#include "kinds/heap/record.h"

#include "allocators/next.h"
#include "arch/arch.h"
#include "kinds/heap/figures.h"
#include "kinds/heap/filter.h"
#include "kinds/heap/operator_frames.h"
#include "kinds/heap/sampler.h"
#include "kinds/heap/trace.h"
#include "ledger/sys.h"
#include "life/dump.h"
#include "life/library.h"
#include "process/busy.h"
#include "process/thread.h"
#include "unwind/modules.h"
#include "unwind/stack.h"
#include "unwind/step.h"
#include "unwind/unwind.h"

/* Frames kept when little of the stack is left, or nobody knows how much. */
#define SHALLOW_DEPTH 64
#define DEEP_ROOM (24u << 10)
#define TIMED_OF 64 /* calls of the cold path, one is timed */

/* Samples that are given up without a look, after one for which there was no memory: to walk the stack for nothing would
 * cost as much as a sample that is kept. Nothing is given up any more as soon as a sample is freed. */
#define GIVE_UP 63
static uint32_t to_give_up;

uint8_t hp_filter[HP_FILTER_SLOTS] __attribute__((aligned(4096)));

void hp_record_interval_changed(void)
{
    const struct hp_ledger *ledger = hp_ledger_now();
    if (ledger)
        hp_next_set_exact(hp_interval_now(ledger) == 1);
}

/* A signal handler in the middle of the cold path: leave left to that, and note if a sample was due. */
static bool is_nested(struct hp_thread *thread, size_t n)
{
    struct hp_ledger *ledger = hp_ledger_now();
    thread->left += n;
    if (!thread->own_call && ledger && n <= PTRDIFF_MAX && n >= thread->left && thread->drawn && hp_interval_now(ledger))
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

static uint64_t weight_of(const struct hp_ledger_row *row, uint64_t size)
{
    return hp_sampler_weight(size, __atomic_load_n(&row->interval, __ATOMIC_RELAXED));
}

static void count_thread(const struct hp_store *store, uint32_t number, int change)
{
    struct hp_ledger_thread *thread = hp_thread_of(store, number);
    if (thread)
        __atomic_fetch_add(&thread->live, (uint32_t)change, __ATOMIC_RELAXED);
}

/* The row comes last: while the sample is in the live table, or not yet in `freed`, the row is not dead. What is needed of
 * the slot is read before it is given up. */
static __attribute__((noinline)) void forget_taken(struct hp_live_ref *ref)
{
    const struct hp_store *store = &hp_library.region.store;
    const struct hp_live_data data = *ref->data;
    struct hp_ledger_row *row = hp_row_at(store, data.row);
    __atomic_fetch_sub(&store->ledger->live_estimate, weight_of(row, data.size), __ATOMIC_RELAXED);
    count_thread(store, data.thread, -1);
    hp_live_drop(ref);
    hp_filter_change(ref->address, -1);
    hp_pair_add(&row->freed, 1, data.size);
    if (__atomic_load_n(&to_give_up, __ATOMIC_RELAXED))
        __atomic_store_n(&to_give_up, 0, __ATOMIC_RELAXED);
}

HP_ENTRY void hp_forget_taken(struct hp_live_ref *ref)
{
    const uint64_t direction = hp_entry_begin();
    forget_taken(ref);
    hp_entry_end(direction);
}

static __attribute__((noinline)) void put_back(struct hp_live_ref *ref)
{
    hp_live_restore(ref);
}

HP_ENTRY void hp_put_back(struct hp_live_ref *ref)
{
    const uint64_t direction = hp_entry_begin();
    put_back(ref);
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
    if (hp_is_exact() && hp_thread.forgotten != (uintptr_t)pointer)
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
    forget_taken(&ref);
    return true;
}

HP_ENTRY bool hp_forget(const void *pointer)
{
    const uint64_t direction = hp_entry_begin();
    const bool result = forget(pointer);
    hp_entry_end(direction);
    return result;
}

/* A sample on its way into the ledger. */
struct sample {
    const struct hp_store *store;
    const void *frame_address, *pointer;
    size_t size;
};

/* The frames of the caller from the site on, in an array that has room for HP_OPERATORS_DEEP more than `most`. */
static unsigned walk(const void *frame_address, uint64_t *frames, unsigned most, uint64_t **site, struct hp_met *met)
{
    unsigned depth = hp_unwind(frame_address, frames, most + HP_OPERATORS_DEEP, met);
    unsigned operators = hp_operators_in(frames, depth);
    *site = frames + operators;
    depth -= operators;
    met->truncated |= depth > most;
    return depth < most ? depth : most;
}

static bool add_object(const struct sample *sample, hp_offset row_at)
{
    const struct hp_store *store = sample->store;
    const uintptr_t address = (uintptr_t)sample->pointer;
    struct hp_ledger_row *row = hp_row_at(store, row_at);
    struct hp_live_ref stale;
    const struct hp_live_data data = {.size = sample->size,
                                      .row = row_at,
                                      .time_ms = store->ways.now_ms(store->ledger),
                                      .thread = hp_thread.number};
    if (hp_maybe_sampled(sample->pointer) && hp_live_take(store, address, &stale)) {
        /* It was freed by a way around the hooks: the allocator gives its address out again. */
        forget_taken(&stale);
        hp_count(&store->ledger->audit.unmatched_frees, 1u);
    }
    hp_filter_change(address, 1);
    if (!hp_live_insert(store, address, &data)) {
        hp_filter_change(address, -1);
        hp_pair_add(&row->freed, 1, sample->size);
        return false;
    }
    count_thread(store, data.thread, 1);
    hp_count(&store->ledger->live_estimate, weight_of(row, sample->size));
    return true;
}

/* Walk the stack and count the sample; false when there is no memory for it. */
static bool count(const struct sample *sample, uint64_t *room, unsigned most)
{
    const struct hp_store *store = sample->store;
    struct hp_audit *audit = &store->ledger->audit;
    struct hp_key key = {.interval = hp_thread.due_interval, .kind = HP_KIND_HEAP};
    uint64_t *frames;
    struct hp_met met;
    bool cut;
    key.depth = (uint16_t)walk(sample->frame_address, room, most, &frames, &met);
    /* Exact figures need no classes, which are there for scaling. */
    key.size_class = key.interval == 1 ? 0 : hp_size_class(sample->size);
    key.frames = frames;
    key.hash = hp_key_hash(&key);
    if (!hp_modules_hold(frames, key.depth)) {
        /* The steps were remembered of an object that is gone, and that another one took the place of. */
        hp_step_forget();
        key.depth = (uint16_t)walk(sample->frame_address, room, most, &frames, &met);
        key.frames = frames;
        key.hash = hp_key_hash(&key);
    }
    hp_offset row = hp_row_count(store, &key, sample->size, hp_thread_tid(&hp_thread), sample->frame_address, &cut);
    hp_figures_weigh(store->ledger, frames, key.depth, &met);
    if (met.truncated || cut)
        hp_count(&audit->truncated, 1u);
    return row && add_object(sample, row);
}

static __attribute__((noinline)) bool count_deep(const struct sample *sample)
{
    uint64_t frames[HP_DEPTH_MAX + HP_OPERATORS_DEEP];
    return count(sample, frames, sample->store->ledger->depth);
}

static __attribute__((noinline)) bool count_usual(const struct sample *sample)
{
    const uint32_t depth = sample->store->ledger->depth;
    uint64_t frames[128 + HP_OPERATORS_DEEP];
    return count(sample, frames, depth < 128 ? depth : 128);
}

static __attribute__((noinline)) bool count_shallow(const struct sample *sample)
{
    const uint32_t depth = sample->store->ledger->depth;
    uint64_t frames[SHALLOW_DEPTH + HP_OPERATORS_DEEP];
    return count(sample, frames, depth < SHALLOW_DEPTH ? depth : SHALLOW_DEPTH);
}

static bool record(const struct sample *sample)
{
    const size_t room = hp_stack_room();
    hp_thread_enter(sample->store, &hp_thread);
    hp_library_describe();
    return room < DEEP_ROOM                          ? count_shallow(sample)
           : sample->store->ledger->depth > 128 ? count_deep(sample)
                                                     : count_usual(sample);
}

#define LONG_TIMES 16      /* the mean: who takes longer had lost its processor */
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
    uint32_t left = __atomic_load_n(&to_give_up, __ATOMIC_RELAXED);
    if (left) { /* of two threads at once, one is given up more or less */
        __atomic_store_n(&to_give_up, left - 1, __ATOMIC_RELAXED);
        hp_count(&audit->lost, 1u);
        return;
    }
    const uint64_t call = __atomic_fetch_add(&audit->calls, 1, __ATOMIC_RELAXED);
    const bool timed = (call % TIMED_OF == TIMED_OF / 2 || !call) && hp_library_may_time();
    const uint64_t start = timed ? hp_fine_ns() : 0;
    const struct sample sample = {
        .store = &hp_library.region.store, .frame_address = frame_address, .pointer = pointer, .size = n};
    hp_busy_begin(thread);
    if (record(&sample)) {
        hp_count(&audit->samples, 1u);
    } else {
        hp_count(&audit->lost, 1u);
        __atomic_store_n(&to_give_up, GIVE_UP, __ATOMIC_RELAXED);
    }
    hp_figures_refresh(ledger, false);
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
