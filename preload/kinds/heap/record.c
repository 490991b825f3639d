#include "kinds/heap/record.h"

#include "kinds/heap/figures.h"
#include "kinds/heap/filter.h"
#include "kinds/heap/operator_frames.h"
#include "kinds/heap/sampler.h"
#include "process/library.h"
#include "process/thread.h"
#include "unwind/modules.h"
#include "unwind/stack.h"
#include "unwind/step.h"
#include "unwind/unwind.h"

/* Frames kept when little of the stack is left, or nobody knows how much. */
#define SHALLOW_DEPTH 64
#define DEEP_ROOM (24u << 10)

/* Samples that are given up without a look, after one for which there was no memory: to walk the stack for nothing
 * would cost as much as a sample that is kept. Nothing is given up any more as soon as a sample is freed. */
#define GIVE_UP 63
static uint32_t to_give_up;

uint8_t hp_filter[HP_FILTER_SLOTS] __attribute__((aligned(4096)));

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

/* The row comes last: while the sample is in the live table, or not yet in `freed`, the row is not dead. What is needed
 * of the slot is read before it is given up. */
void hp_heap_forget(struct hp_live_ref *ref)
{
    const struct hp_store *store = &hp_library.region.store;
    const struct hp_live_data data = *ref->data;
    struct hp_ledger_row *row = hp_row_at(store, data.row);
    __atomic_fetch_sub(&store->ledger->live_estimate, weight_of(row, data.size), __ATOMIC_RELAXED);
    count_thread(store, data.thread, -1);
    hp_live_drop(ref);
    hp_filter_change(ref->address, -1);
    hp_tally_add(&row->freed, 1, data.size);
    if (__atomic_load_n(&to_give_up, __ATOMIC_RELAXED))
        __atomic_store_n(&to_give_up, 0, __ATOMIC_RELAXED);
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
    const struct hp_live_data data = {
        .size = sample->size, .row = row_at, .time_ms = store->ways.now_ms(store->ledger), .thread = hp_thread.number};
    if (hp_maybe_sampled(sample->pointer) && hp_live_take(store, address, &stale)) {
        /* It was freed by a way around the hooks: the allocator gives its address out again. */
        hp_heap_forget(&stale);
        hp_count(&store->ledger->audit.unmatched_frees, 1u);
    }
    hp_filter_change(address, 1);
    if (!hp_live_insert(store, address, &data)) {
        hp_filter_change(address, -1);
        hp_tally_add(&row->freed, 1, sample->size);
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

void hp_heap_record(const void *pointer, size_t n, const void *frame_address)
{
    const struct sample sample = {
        .store = &hp_library.region.store, .frame_address = frame_address, .pointer = pointer, .size = n};
    const uint32_t depth = sample.store->ledger->depth;
    struct hp_audit *audit = &sample.store->ledger->audit;
    const size_t room = hp_stack_room();
    hp_thread_enter(sample.store, &hp_thread);
    const bool kept = room < DEEP_ROOM ? count_shallow(&sample)
                      : depth > 128    ? count_deep(&sample)
                                       : count_usual(&sample);
    hp_count(kept ? &audit->samples : &audit->lost, 1u);
    if (!kept)
        __atomic_store_n(&to_give_up, GIVE_UP, __ATOMIC_RELAXED);
    hp_figures_refresh(sample.store->ledger, false);
}

bool hp_heap_gives_up(struct hp_audit *audit)
{
    const uint32_t left = __atomic_load_n(&to_give_up, __ATOMIC_RELAXED);
    if (left) { /* of two threads at once, one is given up more or less */
        __atomic_store_n(&to_give_up, left - 1, __ATOMIC_RELAXED);
        hp_count(&audit->lost, 1u);
    }
    return left;
}

static bool is_sample(uint64_t address)
{
    return hp_maybe_sampled((const void *)(uintptr_t)address);
}

static void add_weight(void *state, uint64_t address, const struct hp_live_data *data)
{
    const struct hp_store *store = state;
    store->ledger->live_estimate += weight_of(hp_row_at(store, data->row), data->size);
}

void hp_heap_inherit(struct hp_heritage *heritage, const struct hp_store *store)
{
    hp_count(&store->ledger->audit.lost, hp_heritage_build(heritage, store, is_sample));
    hp_live_each(store, add_weight, (void *)(uintptr_t)store);
}
