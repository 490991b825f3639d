/* The hooks of jemalloc's own functions (jemalloc(3), "Non-standard API").
 *
 * A program that finds mallocx may use it, so where the allocator behind is not jemalloc they do what their manual says
 * with the standard functions.
 */
#include "hooks/hooks.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kinds/heap/filter.h"
#include "kinds/heap/sampler.h"

#define FLAG_ALIGN_MASK 63 /* the logarithm of the alignment */
#define FLAG_ZERO 0x40

HP_HOOK void *mallocx(size_t size, int flags);
HP_HOOK void *rallocx(void *pointer, size_t size, int flags);
HP_HOOK size_t xallocx(void *pointer, size_t size, size_t extra, int flags);
HP_HOOK size_t sallocx(const void *pointer, int flags);
HP_HOOK void dallocx(void *pointer, int flags);
HP_HOOK void sdallocx(void *pointer, size_t size, int flags);
HP_HOOK size_t nallocx(size_t size, int flags);

static void *standard_mallocx(size_t size, int flags)
{
    size_t alignment = (size_t)1 << (flags & FLAG_ALIGN_MASK);
    void *pointer = alignment > 16 ? hp_next.memalign(alignment, size) : hp_next.malloc(size);
    if (pointer && flags & FLAG_ZERO)
        memset(pointer, 0, size);
    return pointer;
}

static void *next_mallocx(size_t size, int flags)
{
    return hp_next.mallocx ? hp_next.mallocx(size, flags) : standard_mallocx(size, flags);
}

static HP_COLD void *sampled_mallocx(size_t size, int flags)
{
    bool due = hp_hook_due(size);
    void *pointer = next_mallocx(size, flags);
    if (due && pointer)
        hp_record(pointer, size, HP_FRAME);
    return pointer;
}

void *mallocx(size_t size, int flags)
{
    return __builtin_expect(hp_charge(size), 0) ? sampled_mallocx(size, flags) : next_mallocx(size, flags);
}

static size_t usable_size(const void *pointer)
{
    return hp_next.malloc_usable_size ? hp_next.malloc_usable_size((void *)(uintptr_t)pointer) : 0;
}

/* Where the next allocator has no rallocx: realloc, or, for what that can't do, new memory and a copy, if the allocator
 * tells how much there is to copy. */
static void *next_rallocx(void *pointer, size_t size, int flags)
{
    if (hp_next.rallocx)
        return hp_next.rallocx(pointer, size, flags);
    if (!(flags & FLAG_ZERO) && (flags & FLAG_ALIGN_MASK) <= 4)
        return hp_next.realloc(pointer, size);
    size_t old = usable_size(pointer);
    if (!old)
        return NULL;
    void *moved = standard_mallocx(size, flags);
    if (moved) {
        memcpy(moved, pointer, old < size ? old : size);
        hp_next.free(pointer);
    }
    return moved;
}

void *rallocx(void *pointer, size_t size, int flags)
{
    struct hp_live_ref ref;
    bool due = hp_charge(size) && hp_hook_due(size);
    bool sampled = (due || hp_maybe_sampled(pointer)) && hp_take(pointer, &ref);
    void *moved = next_rallocx(pointer, size, flags);
    hp_resized(sampled, &ref, moved != NULL);
    if (due && moved)
        hp_record(moved, size, HP_FRAME);
    return moved;
}

size_t xallocx(void *pointer, size_t size, size_t extra, int flags)
{
    bool due = hp_charge(size) && hp_hook_due(size);
    size_t before = usable_size(pointer);
    size_t now = hp_next.xallocx ? hp_next.xallocx(pointer, size, extra, flags) : before;
    if (now >= size && now != before) {
        /* Resized where it stands: a free and an allocation, as realloc. */
        if (hp_maybe_sampled(pointer))
            hp_forget(pointer);
        if (due)
            hp_record(pointer, size, HP_FRAME);
    }
    return now;
}

size_t sallocx(const void *pointer, int flags)
{
    return hp_next.sallocx ? hp_next.sallocx(pointer, flags) : usable_size(pointer);
}

void dallocx(void *pointer, int flags)
{
    if (!hp_next.dallocx)
        return free(pointer);
    if (hp_maybe_sampled(pointer) || hp_is_exact())
        hp_forget(pointer);
    hp_next.dallocx(pointer, flags);
}

void sdallocx(void *pointer, size_t size, int flags)
{
    if (!hp_next.sdallocx)
        return dallocx(pointer, flags);
    if (hp_maybe_sampled(pointer) || hp_is_exact())
        hp_forget(pointer);
    hp_next.sdallocx(pointer, size, flags);
}

size_t nallocx(size_t size, int flags)
{
    if (hp_next.nallocx)
        return hp_next.nallocx(size, flags);
    size_t unit = (size_t)1 << (flags & FLAG_ALIGN_MASK);
    unit = unit < 16 ? 16 : unit;
    return (size + unit - 1) & ~(unit - 1);
}
