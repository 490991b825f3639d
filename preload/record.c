/* What a sample does, and what frees look at because of it. A little over 400 lines, because both change together: a
 * sample is counted before its address gets out, and the answer to which frees look up depends on that order.
 */
#include "record.h"

#include <errno.h>

#include "dump.h"
#include "figures.h"
#include "ledger/sys.h"
#include "library.h"
#include "modules.h"
#include "next.h"
#include "sampler.h"
#include "spare.h"
#include "thread.h"
#include "trace.h"
#include "step.h"
#include "unwind.h"

/* Frames kept when little of the stack is left, or nobody knows how much. */
#define SHALLOW_DEPTH 64
#define DEEP_ROOM (24u << 10)
#define GLIBC_MAPPED (128u << 10) /* its threshold for mmap, before it adapts */

uint8_t hp_filter[HP_FILTER_SLOTS] __attribute__((aligned(4096)));

static void free_unsampled(void *pointer)
{
    hp_next.free(pointer);
}

struct hp_frees hp_frees = {.look = UINT32_MAX, .unsampled = free_unsampled};

static uint64_t live; /* samples in the ledger */
/* Those of them that hp_is_marked() does not tell: HP_PLAIN_NO_MARKS, and HP_PLAIN_UNMARKED with that bit in the address. */
static uint64_t without_marks;
static uint64_t with_bit[HP_MARK_BITS];

bool hp_marking(void)
{
    const struct hp_ledger *ledger = hp_ledger_now();
    return ledger && hp_interval_now(ledger) >= hp_next.mark_least;
}

static void change_filter(uint8_t *slot, int change)
{
    uint8_t count = __atomic_load_n(slot, __ATOMIC_RELAXED);
    while (count != HP_FILTER_FULL && !__atomic_compare_exchange_n(slot, &count, (uint8_t)(count + change), true,
                                                                   __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static void look_always(bool on)
{
    static bool was_on;
    if (__atomic_exchange_n(&was_on, on, __ATOMIC_ACQ_REL) != on)
        for (unsigned slot = 0; slot < HP_FILTER_SLOTS; slot++)
            change_filter(&hp_filter[slot], on ? 1 : -1);
}

static bool marks_nothing(uint64_t interval)
{
    return interval && interval < hp_next.mark_least;
}

static uint32_t wanted_mask(const struct hp_ledger *ledger)
{
    uint64_t interval = hp_interval_now(ledger);
    if (!interval && !__atomic_load_n(&live, __ATOMIC_SEQ_CST))
        return UINT32_MAX;
    if (marks_nothing(interval) || __atomic_load_n(&without_marks, __ATOMIC_SEQ_CST))
        return 0;
    uint32_t mask = HP_MARK - 1;
    for (unsigned bit = 0; bit < HP_MARK_BITS; bit++)
        if (__atomic_load_n(&with_bit[bit], __ATOMIC_SEQ_CST))
            mask &= ~(1u << bit);
    return mask;
}

/* With a number in the upper half, so that no thread's answer replaces one that another found later. */
static void update_mask(const struct hp_ledger *ledger)
{
    uint64_t before = __atomic_load_n(&hp_frees.look, __ATOMIC_SEQ_CST), after;
    do
        after = ((before >> 32) + 1) << 32 | wanted_mask(ledger);
    while (!__atomic_compare_exchange_n(&hp_frees.look, &before, after, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    hp_spare_catch_some((uint32_t)after == HP_MARK - 1);
}

/* An interval at which nothing is marked counts as one sample without mark: so that the mask, which all threads read all
 * the time, is not decided anew whenever the last such sample goes and the next one comes (10 ns a pair on 2 threads). */
static void mark_none(bool on)
{
    static bool was_on;
    if (__atomic_exchange_n(&was_on, on, __ATOMIC_SEQ_CST) != on)
        __atomic_fetch_add(&without_marks, on ? 1 : (uint64_t)-1, __ATOMIC_SEQ_CST);
}

void hp_marking_update(void)
{
    const struct hp_ledger *ledger = hp_ledger_now();
    if (!ledger)
        return;
    uint64_t interval = hp_interval_now(ledger);
    look_always(interval == 1);
    hp_next_set_exact(interval == 1);
    update_mask(ledger); /* before, so that who finds itself not to be the first without mark finds the mask decided */
    mark_none(marks_nothing(interval));
    update_mask(ledger);
}

/* True if one of the counters left 0, or came back to it. */
static bool count_unmarked(uintptr_t address, uint32_t plain, int change)
{
    uint64_t before = change > 0 ? 0 : 1;
    if (plain == HP_PLAIN_NO_MARKS)
        return __atomic_fetch_add(&without_marks, (uint64_t)change, __ATOMIC_SEQ_CST) == before;
    if (plain != HP_PLAIN_UNMARKED)
        return false;
    bool changed = false;
    for (uintptr_t bits = address & (HP_MARK - 1); bits; bits &= bits - 1)
        changed |= __atomic_fetch_add(&with_bit[__builtin_ctzl(bits)], (uint64_t)change, __ATOMIC_SEQ_CST) == before;
    return changed;
}

/* Before the address of an object gets out, so that its free is looked up; and when it is gone. */
static void count_in(const struct hp_ledger *ledger, uintptr_t address, uint32_t plain)
{
    __atomic_fetch_add(&live, 1, __ATOMIC_SEQ_CST);
    bool first = count_unmarked(address, plain, 1);
    if (first || !hp_interval_now(ledger)) /* sampling was just turned off, maybe by one who did not see us */
        update_mask(ledger);
}

static void count_out(const struct hp_ledger *ledger, uintptr_t address, uint32_t plain)
{
    bool none = __atomic_fetch_sub(&live, 1, __ATOMIC_SEQ_CST) == 1;
    bool last = count_unmarked(address, plain, -1);
    if (last || (none && !hp_interval_now(ledger)))
        update_mask(ledger);
}

bool hp_due(size_t n)
{
    struct hp_thread *thread = &hp_thread;
    if (thread->busy || thread->own_call) {
        /* A signal handler in the middle of the cold path: leave left to that, and note if a sample was due. */
        struct hp_ledger *ledger = hp_ledger_now();
        thread->left += n;
        thread->own_hit |= thread->own_call;
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
    uint32_t plain = ref->data->plain;
    uint64_t weight = weight_of(ledger, ref->data);
    __atomic_fetch_sub(&ledger->live_estimate, weight, __ATOMIC_RELAXED);
    hp_pair_add(&entry->freed, 1, ref->data->size);
    hp_live_drop(ref);
    change_filter(hp_filter_slot(ref->address), -1);
    count_out(ledger, ref->address, plain);
}

bool hp_take(const void *pointer, struct hp_live_ref *ref)
{
    struct hp_ledger *ledger = hp_ledger_now();
    if (!ledger || !pointer)
        return false;
    hp_thread.own_hit |= hp_thread.own_call;
    if (hp_live_take(ledger, (uint64_t)(uintptr_t)pointer, ref))
        return true;
    if (hp_interval_now(ledger) == 1 && !hp_thread.own_call)
        hp_count(&ledger->audit.unmatched_frees, 1u);
    return false;
}

/* What malloc_usable_size says of an object of `size` bytes that was not asked for at a marked address. */
static size_t plain_usable_size(size_t size)
{
    if (hp_next.mi_good_size)
        return hp_next.mi_good_size(size);
    if (hp_next.nallocx)
        return hp_next.nallocx(size ? size : 1, 0);
    /* glibc's chunks are multiples of 16 bytes, 32 at least, less 8 for their head (malloc.c, request2size); what may be
     * mapped apart is left as it is. */
    if (hp_next.allocator != HP_ALLOCATOR_GLIBC || size >= GLIBC_MAPPED)
        return SIZE_MAX;
    return size <= 24 ? 24 : ((size + 8 + 15) & ~15ul) - 8;
}

size_t hp_resized_usable_size(size_t before, size_t size)
{
    bool keeps = hp_next.allocator == HP_ALLOCATOR_TCMALLOC || hp_next.allocator == HP_ALLOCATOR_MIMALLOC;
    if (keeps && size <= before && size >= before / 2)
        return before;
    if (hp_next.allocator == HP_ALLOCATOR_TCMALLOC && size > before && size < before + before / 4)
        size = before + before / 4;
    return plain_usable_size(size);
}

size_t hp_usable_size(const void *pointer, size_t usable)
{
    struct hp_ledger *ledger = hp_ledger_now();
    struct hp_live_ref ref;
    if (!ledger || !pointer || !hp_is_marked(pointer) || !hp_is_in_filter(pointer) || !hp_marking() ||
        !hp_live_take(ledger, (uint64_t)(uintptr_t)pointer, &ref))
        return usable;
    size_t plain = ref.data->plain;
    hp_live_restore(&ref);
    return plain < usable ? plain : usable;
}

bool hp_forget(const void *pointer)
{
    struct hp_live_ref ref;
    if (!hp_take(pointer, &ref))
        return false;
    hp_forget_taken(&ref);
    return true;
}

/* The stack of the caller, made known to the ledger; 0 when there is no memory for it. */
static hp_offset find_stack(struct hp_ledger *ledger, const void *frame_address, uint64_t *frames, unsigned most)
{
    struct hp_met met;
    unsigned depth = hp_unwind(frame_address, frames, most, &met);
    uint64_t hash = hp_hash_frames(frames, depth);
    hp_offset stack = hp_ledger_find_stack(ledger, frames, depth, hash);
    if (!stack) {
        /* A stack never seen may come from a stale cache: some object was unloaded and another took its place. */
        if (!hp_modules_hold(frames, depth)) {
            hp_step_forget();
            depth = hp_unwind(frame_address, frames, most, &met);
            hash = hp_hash_frames(frames, depth);
        }
        stack = hp_ledger_add_stack(ledger, frames, depth, hash);
    }
    hp_figures_weigh(ledger, frames, depth, &met);
    if (met.truncated)
        hp_count(&ledger->audit.truncated, 1u);
    return stack;
}

static __attribute__((noinline)) hp_offset find_stack_deep(struct hp_ledger *ledger, const void *frame_address)
{
    uint64_t frames[HP_DEPTH_MAX];
    return find_stack(ledger, frame_address, frames, ledger->depth);
}

static __attribute__((noinline)) hp_offset find_stack_usual(struct hp_ledger *ledger, const void *frame_address)
{
    uint64_t frames[128];
    return find_stack(ledger, frame_address, frames, ledger->depth < 128 ? ledger->depth : 128);
}

static __attribute__((noinline)) hp_offset find_stack_shallow(struct hp_ledger *ledger, const void *frame_address)
{
    uint64_t frames[SHALLOW_DEPTH];
    return find_stack(ledger, frame_address, frames, ledger->depth < SHALLOW_DEPTH ? ledger->depth : SHALLOW_DEPTH);
}

static uint32_t milliseconds_since_start(const struct hp_ledger *ledger)
{
    uint64_t ns = hp_clock_ns(CLOCK_MONOTONIC_COARSE);
    return ns > ledger->start_clock_ns ? (uint32_t)((ns - ledger->start_clock_ns) / 1000000) : 0;
}

/* As hp_live_data has it. `plain`: 0 if it is not known yet. */
static uint32_t plain_of(const void *pointer, size_t n, size_t plain)
{
    if (!hp_is_marked(pointer))
        return hp_marking() ? HP_PLAIN_UNMARKED : HP_PLAIN_NO_MARKS;
    if (!plain)
        plain = plain_usable_size(n);
    return plain < HP_PLAIN_UNKNOWN ? (uint32_t)plain : HP_PLAIN_UNKNOWN;
}

static bool add_object(struct hp_ledger *ledger, const void *pointer, size_t n, size_t plain, hp_offset entry_at)
{
    struct hp_entry *entry = hp_ledger_at(ledger, entry_at);
    struct hp_live_ref stale;
    const struct hp_live_data data = {.size = n,
                                      .entry = entry_at,
                                      .time_ms = milliseconds_since_start(ledger),
                                      .thread = hp_thread.number,
                                      .plain = plain_of(pointer, n, plain)};
    if (hp_is_in_filter(pointer) && hp_live_take(ledger, (uint64_t)(uintptr_t)pointer, &stale)) {
        /* It was freed by a way around the hooks: the allocator gives its address out again. */
        hp_forget_taken(&stale);
        hp_count(&ledger->audit.unmatched_frees, 1u);
    }
    count_in(ledger, (uintptr_t)pointer, data.plain);
    change_filter(hp_filter_slot((uintptr_t)pointer), 1);
    if (!hp_live_insert(ledger, (uint64_t)(uintptr_t)pointer, &data)) {
        change_filter(hp_filter_slot((uintptr_t)pointer), -1);
        count_out(ledger, (uintptr_t)pointer, data.plain);
        return false;
    }
    hp_pair_add(&entry->alloc, 1, n);
    uint64_t weight = weight_of(ledger, &data);
    hp_count(&ledger->live_estimate, weight);
    return true;
}

static bool record(struct hp_ledger *ledger, const void *pointer, size_t n, size_t plain, const void *frame_address)
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
    return entry && add_object(ledger, pointer, n, plain, entry);
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

void hp_record_resized(const void *pointer, size_t n, size_t plain, const void *frame_address)
{
    struct hp_ledger *ledger = hp_ledger_now();
    struct hp_thread *thread = &hp_thread;
    int kept = errno;
    if (!ledger)
        return;
    uint64_t start = hp_ticks();
    thread->busy = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (record(ledger, pointer, n, plain, frame_address))
        hp_count(&ledger->audit.samples, 1u);
    else
        hp_count(&ledger->audit.lost, 1u);
    hp_figures_refresh(ledger, false);
    hp_dump_triggers(ledger);
    hp_trace_trigger(ledger);
    leave_cold_path(thread);
    hp_count(&ledger->audit.own_ticks, hp_ticks() - start);
    errno = kept;
}

void hp_record(const void *pointer, size_t n, const void *frame_address)
{
    hp_record_resized(pointer, n, 0, frame_address);
}
