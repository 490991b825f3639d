#include "record.h"

#include <errno.h>

#include "dump.h"
#include "figures.h"
#include "filter.h"
#include "ledger/sys.h"
#include "library.h"
#include "modules.h"
#include "next.h"
#include "operators.h"
#include "sampler.h"
#include "thread.h"
#include "trace.h"
#include "step.h"
#include "unwind.h"

/* Frames kept when little of the stack is left, or nobody knows how much. */
#define SHALLOW_DEPTH 64
#define DEEP_ROOM (24u << 10)

uint8_t hp_filter[HP_FILTER_SLOTS] __attribute__((aligned(4096)));

void hp_record_interval_changed(void)
{
    const struct hp_ledger *ledger = hp_ledger_now();
    if (ledger)
        hp_next_set_exact(hp_interval_now(ledger) == 1);
}

bool hp_due(size_t n)
{
    struct hp_thread *thread = &hp_thread;
    thread->cold_calls++;
    if (thread->busy || thread->own_call) {
        /* A signal handler in the middle of the cold path: leave left to that, and note if a sample was due. */
        struct hp_ledger *ledger = hp_ledger_now();
        thread->left += n;
        if (!thread->own_call && ledger && n <= PTRDIFF_MAX && n >= thread->left && thread->epoch &&
            hp_interval_now(ledger))
            hp_count(&ledger->audit.lost, 1u);
        return false;
    }
    if (!hp_library_start()) {
        thread->left += n;
        if (thread->left == 0 && __atomic_load_n(&hp_library.state, __ATOMIC_RELAXED) == 3)
            thread->left = HP_STRIDE;
        return false;
    }
    hp_library_check_fork();
    struct hp_ledger *ledger = hp_ledger_now();
    if (!ledger) {
        thread->left += n;
        return false;
    }
    uint32_t epoch = __atomic_load_n(&ledger->epoch, __ATOMIC_ACQUIRE);
    uint64_t wanted = __atomic_load_n(&ledger->wanted_interval, __ATOMIC_RELAXED);
    if (wanted != hp_interval_at(ledger, epoch)) {
        hp_library_set_interval(wanted);
        epoch = __atomic_load_n(&ledger->epoch, __ATOMIC_ACQUIRE);
    }
    if (thread->dump_wanted) {
        thread->dump_wanted = false;
        hp_dump_requested();
    }
    return hp_sampler_due(thread, n, hp_interval_at(ledger, epoch), epoch);
}

static uint64_t weight_of(const struct hp_ledger *ledger, const struct hp_live_data *data)
{
    const struct hp_entry *entry = hp_ledger_at(ledger, data->entry);
    return hp_sampler_weight(data->size, hp_interval_at(ledger, entry->epoch));
}

void hp_forget_taken(struct hp_live_ref *ref)
{
    struct hp_ledger *ledger = hp_ledger_now();
    struct hp_entry *entry = hp_ledger_at(ledger, ref->data->entry);
    __atomic_fetch_sub(&ledger->live_estimate, weight_of(ledger, ref->data), __ATOMIC_RELAXED);
    hp_pair_add(&entry->freed, 1, ref->data->size);
    hp_live_drop(ref);
    hp_filter_change(ref->address, -1);
}

void hp_put_back(struct hp_live_ref *ref)
{
    hp_live_restore(ref);
}

bool hp_take(const void *pointer, struct hp_live_ref *ref)
{
    struct hp_ledger *ledger = hp_ledger_now();
    if (!ledger || !pointer)
        return false;
    if (hp_live_take(ledger, (uint64_t)(uintptr_t)pointer, ref))
        return true;
    if (hp_is_exact() && hp_thread.forgotten != (uintptr_t)pointer)
        hp_count(&ledger->audit.unmatched_frees, 1u);
    return false;
}

bool hp_forget(const void *pointer)
{
    struct hp_live_ref ref;
    if (!hp_take(pointer, &ref))
        return false;
    hp_forget_taken(&ref);
    return true;
}

/* The frames of the caller from the site on, in an array that has room for HP_OPERATORS_DEEP more than `most`. */
static unsigned walk(const void *frame_address, uint64_t *frames, unsigned most, uint64_t **site, bool *truncated)
{
    unsigned depth = hp_unwind(frame_address, frames, most + HP_OPERATORS_DEEP, truncated);
    unsigned operators = hp_operators_in(frames, depth);
    *site = frames + operators;
    depth -= operators;
    *truncated |= depth > most;
    return depth < most ? depth : most;
}

/* The stack of the caller, made known to the ledger; 0 when there is no memory for it. */
static hp_offset find_stack(struct hp_ledger *ledger, const void *frame_address, uint64_t *room, unsigned most)
{
    bool truncated;
    uint64_t *frames;
    unsigned depth = walk(frame_address, room, most, &frames, &truncated);
    uint64_t hash = hp_hash_frames(frames, depth);
    hp_offset stack = hp_ledger_find_stack(ledger, frames, depth, hash);
    if (!stack) {
        /* A stack never seen may come from a stale cache: some object was unloaded and another took its place. */
        if (!hp_modules_hold(frames, depth)) {
            hp_step_forget();
            depth = walk(frame_address, room, most, &frames, &truncated);
            hash = hp_hash_frames(frames, depth);
        }
        stack = hp_ledger_add_stack(ledger, frames, depth, hash);
    }
    if (truncated)
        hp_count(&ledger->audit.truncated, 1u);
    return stack;
}

static __attribute__((noinline)) hp_offset find_stack_deep(struct hp_ledger *ledger, const void *frame_address)
{
    uint64_t frames[HP_DEPTH_MAX + HP_OPERATORS_DEEP];
    return find_stack(ledger, frame_address, frames, ledger->depth);
}

static __attribute__((noinline)) hp_offset find_stack_usual(struct hp_ledger *ledger, const void *frame_address)
{
    uint64_t frames[128 + HP_OPERATORS_DEEP];
    return find_stack(ledger, frame_address, frames, ledger->depth < 128 ? ledger->depth : 128);
}

static __attribute__((noinline)) hp_offset find_stack_shallow(struct hp_ledger *ledger, const void *frame_address)
{
    uint64_t frames[SHALLOW_DEPTH + HP_OPERATORS_DEEP];
    return find_stack(ledger, frame_address, frames, ledger->depth < SHALLOW_DEPTH ? ledger->depth : SHALLOW_DEPTH);
}

static uint32_t milliseconds_since_start(const struct hp_ledger *ledger)
{
    uint64_t ns = hp_clock_ns(CLOCK_MONOTONIC_COARSE);
    return ns > ledger->start_clock_ns ? (uint32_t)((ns - ledger->start_clock_ns) / 1000000) : 0;
}

static bool add_object(struct hp_ledger *ledger, const void *pointer, size_t n, hp_offset entry_at)
{
    struct hp_entry *entry = hp_ledger_at(ledger, entry_at);
    const uintptr_t address = (uintptr_t)pointer;
    struct hp_live_ref stale;
    const struct hp_live_data data = {
        .size = n, .entry = entry_at, .time_ms = milliseconds_since_start(ledger), .thread = hp_thread.number};
    if (hp_maybe_sampled(pointer) && hp_live_take(ledger, address, &stale)) {
        /* It was freed by a way around the hooks: the allocator gives its address out again. */
        hp_forget_taken(&stale);
        hp_count(&ledger->audit.unmatched_frees, 1u);
    }
    hp_filter_change(address, 1);
    if (!hp_live_insert(ledger, address, &data)) {
        hp_filter_change(address, -1);
        return false;
    }
    hp_pair_add(&entry->alloc, 1, n);
    hp_count(&ledger->live_estimate, weight_of(ledger, &data));
    return true;
}

static bool record(struct hp_ledger *ledger, const void *pointer, size_t n, const void *frame_address)
{
    hp_thread_enter(ledger, &hp_thread);
    hp_library_describe(ledger);
    size_t room = hp_stack_room();
    hp_offset stack = room < DEEP_ROOM     ? find_stack_shallow(ledger, frame_address)
                      : ledger->depth > 128 ? find_stack_deep(ledger, frame_address)
                                            : find_stack_usual(ledger, frame_address);
    if (!stack)
        return false;
    uint32_t epoch = hp_thread.due_epoch % HP_EPOCHS;
    /* Exact figures need no classes, which are there for scaling. */
    uint16_t size_class = hp_interval_at(ledger, epoch) == 1 ? 0 : hp_size_class(n);
    hp_offset entry = hp_ledger_entry(ledger, stack, size_class, (uint16_t)epoch);
    return entry && add_object(ledger, pointer, n, entry);
}

/* A signal that came meanwhile is answered now. */
static void leave_cold_path(struct hp_thread *thread)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    thread->busy = false;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (thread->dump_wanted) {
        thread->dump_wanted = false;
        hp_dump_requested();
    }
}

void hp_record(const void *pointer, size_t n, const void *frame_address)
{
    struct hp_ledger *ledger = hp_ledger_now();
    struct hp_thread *thread = &hp_thread;
    int kept = errno;
    if (!ledger)
        return;
    uint64_t start = hp_ticks();
    thread->busy = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (record(ledger, pointer, n, frame_address))
        hp_count(&ledger->audit.samples, 1u);
    else
        hp_count(&ledger->audit.lost, 1u);
    thread->caller = ((const uintptr_t *)frame_address)[1];
    hp_figures_refresh(ledger, false);
    hp_dump_triggers(ledger);
    hp_trace_trigger(ledger);
    leave_cold_path(thread);
    hp_count(&ledger->audit.own_ticks, hp_ticks() - start);
    errno = kept;
}
