/* The hooks of malloc and its family.
 *
 * A hook charges the size to its thread and jumps on to the allocator; a free looks at one byte of a table and jumps
 * on. The rest is in cold twins, named sampled_x. No initialisation is tested for: hp_next and the thread's zero-filled
 * state lead to it by themselves.
 *
 * Each call of the target goes to the allocator once, with the arguments that the target gave, whether it is sampled or
 * not: what the allocator answers is what the target gets.
 */
#include "hooks/hooks.h"

#include <stdint.h>
#include <stdlib.h>

#include "arch/arch.h"
#include "kinds/heap/filter.h"
#include "kinds/heap/sampler.h"
#include "process/library.h"

void free_sized(void *pointer, size_t size);
void free_aligned_sized(void *pointer, size_t alignment, size_t size);
void *pvalloc(size_t size);
void *memalign(size_t alignment, size_t size);

static HP_COLD void *sampled_malloc(size_t size)
{
    bool due = hp_hook_due(size);
    void *pointer = hp_next.malloc(size);
    if (due && pointer)
        hp_record(pointer, size, HP_FRAME);
    return pointer;
}

HP_HOOK void *malloc(size_t size)
{
    if (__builtin_expect(hp_charge(size), 0))
        return sampled_malloc(size);
    return hp_hot.malloc(size);
}

static HP_COLD void sampled_free(void *pointer)
{
    hp_forget(pointer);
    hp_next.free(pointer);
}

HP_HOOK void free(void *pointer)
{
    if (__builtin_expect(hp_maybe_sampled(pointer), 0))
        return sampled_free(pointer);
    hp_hot.free(pointer);
}

static HP_COLD void *sampled_calloc(size_t count, size_t size)
{
    size_t bytes;
    bool due = !__builtin_mul_overflow(count, size, &bytes) && hp_hook_due(bytes);
    void *pointer = hp_next.calloc(count, size);
    if (due && pointer)
        hp_record(pointer, bytes, HP_FRAME);
    return pointer;
}

HP_HOOK void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_expect(__builtin_mul_overflow(count, size, &bytes) || hp_charge(bytes), 0))
        return sampled_calloc(count, size);
    return hp_hot.calloc(count, size);
}

static void *resize(void *pointer, size_t size)
{
    struct hp_live_ref ref;
    bool sampled = hp_maybe_sampled(pointer) && hp_take(pointer, &ref);
    void *moved = hp_next.realloc(pointer, size);
    hp_resized(sampled, &ref, moved || size == 0);
    return moved;
}

static HP_COLD void *moved_realloc(void *pointer, size_t size)
{
    return resize(pointer, size);
}

static HP_COLD void *sampled_realloc(void *pointer, size_t size)
{
    bool due = hp_hook_due(size);
    void *moved = resize(pointer, size);
    if (due && moved)
        hp_record(moved, size, HP_FRAME);
    return moved;
}

HP_HOOK void *realloc(void *pointer, size_t size)
{
    if (__builtin_expect(hp_charge(size), 0))
        return sampled_realloc(pointer, size);
    if (__builtin_expect(hp_maybe_sampled(pointer), 0))
        return moved_realloc(pointer, size);
    return hp_hot.realloc(pointer, size);
}

static HP_COLD void *sampled_reallocarray(void *pointer, size_t count, size_t size)
{
    struct hp_live_ref ref;
    size_t bytes;
    bool fits = !__builtin_mul_overflow(count, size, &bytes);
    bool due = fits && hp_hook_due(bytes);
    bool sampled = fits && hp_maybe_sampled(pointer) && hp_take(pointer, &ref);
    void *moved = hp_next.reallocarray(pointer, count, size);
    hp_resized(sampled, &ref, moved || bytes == 0);
    if (due && moved)
        hp_record(moved, bytes, HP_FRAME);
    return moved;
}

/* glibc's calls realloc by its name, and so comes by our hook; mimalloc's does not. */
HP_HOOK void *reallocarray(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    if (hp_next.reallocarray_is_allocators &&
        (__builtin_mul_overflow(count, size, &bytes) || hp_charge(bytes) || hp_maybe_sampled(pointer)))
        return sampled_reallocarray(pointer, count, size);
    return hp_next.reallocarray(pointer, count, size);
}

const struct hp_hot hp_exact_hooks = {
    .malloc = sampled_malloc, .calloc = sampled_calloc, .realloc = sampled_realloc, .free = sampled_free};

static __attribute__((noinline)) void follow(void)
{
    const struct hp_ledger *ledger = hp_ledger_now();
    if (ledger && hp_is_exact() != (hp_interval_now(ledger) == 1))
        hp_next_set_hot(hp_is_exact() ? NULL : &hp_exact_hooks);
}

HP_ENTRY void hp_hooks_follow(void)
{
    const uint64_t direction = hp_entry_begin();
    follow();
    hp_entry_end(direction);
}

/* The aligned family. */

/* What the target asked for: less than the size when operator new rounded that up. */
static size_t take_asked(size_t alignment, size_t size)
{
    uint64_t asked = hp_thread.asked;
    hp_thread.asked = 0;
    return asked && asked - 1 <= size && size - (asked - 1) <= alignment ? asked - 1 : size;
}

HP_HOOK void *memalign(size_t alignment, size_t size)
{
    size_t asked = take_asked(alignment, size);
    bool due = hp_charge(asked) && hp_hook_due(asked);
    void *pointer = hp_next.memalign(alignment, size);
    if (due && pointer)
        hp_record(pointer, asked, HP_FRAME);
    return pointer;
}

HP_HOOK void *aligned_alloc(size_t alignment, size_t size)
{
    size_t asked = take_asked(alignment, size);
    bool due = hp_charge(asked) && hp_hook_due(asked);
    void *pointer = hp_next.aligned_alloc(alignment, size);
    if (due && pointer)
        hp_record(pointer, asked, HP_FRAME);
    return pointer;
}

HP_HOOK int posix_memalign(void **pointer, size_t alignment, size_t size)
{
    size_t asked = take_asked(alignment, size);
    bool due = hp_charge(asked) && hp_hook_due(asked);
    int error = hp_next.posix_memalign(pointer, alignment, size);
    if (due && !error && *pointer)
        hp_record(*pointer, asked, HP_FRAME);
    return error;
}

HP_HOOK void *valloc(size_t size)
{
    bool due = hp_charge(size) && hp_hook_due(size);
    void *pointer = hp_next.valloc(size);
    if (due && pointer)
        hp_record(pointer, size, HP_FRAME);
    return pointer;
}

HP_HOOK void *pvalloc(size_t size)
{
    bool due = hp_charge(size) && hp_hook_due(size);
    void *pointer = hp_next.pvalloc(size);
    if (due && pointer)
        hp_record(pointer, size, HP_FRAME);
    return pointer;
}

/* C23. An allocator that does not know them is given the plain free, which is always right. */

HP_HOOK void free_sized(void *pointer, size_t size)
{
    if (!hp_next.free_sized)
        return free(pointer);
    if (hp_maybe_sampled(pointer) || hp_is_exact())
        hp_forget(pointer);
    hp_next.free_sized(pointer, size);
}

HP_HOOK void free_aligned_sized(void *pointer, size_t alignment, size_t size)
{
    if (!hp_next.free_aligned_sized)
        return free(pointer);
    if (hp_maybe_sampled(pointer) || hp_is_exact())
        hp_forget(pointer);
    hp_next.free_aligned_sized(pointer, alignment, size);
}
