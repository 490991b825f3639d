/* The hooks of malloc and its family.
 *
 * A hook charges the size to its thread and jumps on to the allocator; a free looks at the pointer and jumps on. The
 * rest is in cold twins, named sampled_x. No initialisation is tested for: hp_next and the thread's zero-filled state
 * lead to it by themselves.
 *
 * A sampled object gets an aligned address (see record.h), so that its free stands out among all frees. It is the
 * allocator's own object in any case: whatever way it comes back to the allocator, nothing breaks.
 */
#include "hooks.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"
#include "next.h"
#include "record.h"
#include "sampler.h"
#include "spare.h"

void free_sized(void *pointer, size_t size);
void free_aligned_sized(void *pointer, size_t alignment, size_t size);

#define LARGE (128u << 10)     /* glibc's threshold for mmap, before it adapts */
/* Larger objects are not copied to mark them: the copy costs more than looking up some frees while such a sample lives. */
#define MOVE_MOST (32u << 10)

/* Uninitialised, at a marked address. */
static void *marked_malloc(size_t size)
{
    void *spare = hp_spare_take(size);
    return spare ? spare : hp_next.memalign(HP_MARK, size);
}

void *hp_mark_fresh(void *pointer, size_t size, size_t alignment)
{
    int kept = errno;
    if (!pointer || !hp_marking() || hp_is_marked(pointer))
        return pointer;
    void *marked = alignment > HP_MARK ? hp_next.memalign(alignment, size) : marked_malloc(size);
    if (marked) {
        hp_next.free(pointer);
        pointer = marked;
    }
    errno = kept;
    return pointer;
}

static HP_COLD void *sampled_malloc(size_t size)
{
    if (!hp_due(size))
        return hp_next.malloc(size);
    int kept = errno;
    void *pointer = hp_marking() ? marked_malloc(size) : NULL;
    if (!pointer) {
        errno = kept;
        pointer = hp_next.malloc(size);
    }
    if (pointer)
        hp_record(pointer, size, HP_FRAME);
    return pointer;
}

HP_HOOK void *malloc(size_t size)
{
    if (__builtin_expect(hp_charge(size), 0))
        return sampled_malloc(size);
    return hp_hot.malloc(size);
}

static HP_COLD void found_free(void *pointer)
{
    if (!hp_forget(pointer) || !hp_spare_keep(pointer))
        hp_next.free(pointer);
}

/* Part of free itself: where all frees come by here, it is the hot path. */
static inline __attribute__((always_inline)) void look_and_free(void *pointer)
{
    if (__builtin_expect(hp_is_in_filter(pointer), 0))
        return found_free(pointer);
    hp_frees.unsampled(pointer);
}

HP_HOOK void free(void *pointer)
{
    if (__builtin_expect(hp_looks_sampled(pointer), 0))
        return look_and_free(pointer);
    hp_next.free(pointer);
}

/* glibc's calloc does not clear chunks fresh from mmap: a chunk's size field, before the pointer, has bit 1 set for
 * these (malloc.c, IS_MMAPPED). With M_PERTURB they are not zero. */
static bool is_fresh_mapping(const void *pointer)
{
    const unsigned char *bytes = pointer;
    return hp_next.allocator == HP_ALLOCATOR_GLIBC && ((const size_t *)pointer)[-1] & 2 && bytes[0] == 0;
}

/* Clear without touching pages that were never written: a read maps the shared zero page, a write takes memory. */
static void clear(char *bytes, size_t size)
{
    static const char zeroes[4096];
    while (size) {
        size_t piece = size < sizeof zeroes ? size : sizeof zeroes;
        if (memcmp(bytes, zeroes, piece))
            memset(bytes, 0, piece);
        bytes += piece;
        size -= piece;
    }
}

static void *marked_calloc(size_t size)
{
    /* jemalloc's flags: the logarithm of the alignment, and MALLOCX_ZERO (0x40). */
    if (hp_next.mallocx)
        return hp_next.mallocx(size ? size : 1, __builtin_ctzl(HP_MARK) | 0x40);
    if (hp_next.mi_zalloc_aligned)
        return hp_next.mi_zalloc_aligned(size, HP_MARK);
    void *pointer = marked_malloc(size);
    if (!pointer)
        return NULL;
    if (size < LARGE)
        memset(pointer, 0, size);
    else if (!is_fresh_mapping(pointer))
        clear(pointer, size);
    return pointer;
}

static HP_COLD void *sampled_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || !hp_due(bytes))
        return hp_next.calloc(count, size);
    int kept = errno;
    void *pointer = hp_marking() ? marked_calloc(bytes) : NULL;
    if (!pointer) {
        errno = kept;
        pointer = hp_next.calloc(count, size);
    }
    if (pointer)
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

/* An object that may be a sample is resized, and the new size was not drawn. It is out of sight while the allocator has
 * it: another thread may get its address before realloc returns here, and it must reappear if realloc fails. */
static void *resize(void *pointer, size_t size, size_t *plain)
{
    struct hp_live_ref ref;
    if (!hp_maybe_sampled(pointer) || !hp_take(pointer, &ref))
        return hp_next.realloc(pointer, size);
    if (hp_is_marked(pointer))
        *plain = ref.data->plain;
    void *moved = hp_next.realloc(pointer, size);
    if (moved || size == 0)
        hp_forget_taken(&ref);
    else
        hp_live_restore(&ref);
    return moved;
}

static HP_COLD void *moved_realloc(void *pointer, size_t size)
{
    size_t plain;
    return resize(pointer, size, &plain);
}

/* Mark a sampled object that realloc did not leave at a marked address; large ones stay, and are looked up. Not cold: that
 * would make the copy one for size, byte by byte. */
static __attribute__((noinline)) void *mark_moved(void *pointer, size_t size)
{
    if (!hp_marking() || hp_is_marked(pointer) || size > MOVE_MOST)
        return pointer;
    int kept = errno;
    void *marked = marked_malloc(size);
    if (marked) {
        memcpy(marked, pointer, size);
        hp_next.free(pointer);
        pointer = marked;
    }
    errno = kept;
    return pointer;
}

static HP_COLD void *sampled_realloc(void *pointer, size_t size)
{
    if (!hp_due(size))
        return moved_realloc(pointer, size);
    size_t plain = 0; /* of the object as it was, if that was marked */
    void *moved = resize(pointer, size, &plain);
    if (!moved)
        return moved;
    plain = plain ? hp_resized_usable_size(plain, size) : hp_next.malloc_usable_size(moved);
    moved = mark_moved(moved, size);
    hp_record_resized(moved, size, plain, HP_FRAME);
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

HP_HOOK void *reallocarray(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return hp_next.reallocarray(pointer, count, size); /* says ENOMEM and keeps the object */
    if (__builtin_expect(hp_charge(bytes), 0))
        return sampled_realloc(pointer, bytes);
    return hp_maybe_sampled(pointer) ? moved_realloc(pointer, bytes) : hp_hot.realloc(pointer, bytes);
}

const struct hp_hot hp_exact_hooks = {.malloc = sampled_malloc, .calloc = sampled_calloc, .realloc = sampled_realloc};

/* The aligned family: allocate as asked, so that errors are the allocator's own, then mark. */

static HP_COLD void *record_aligned(void *pointer, size_t alignment, size_t size, size_t asked, const void *frame)
{
    bool power = alignment && !(alignment & (alignment - 1));
    if (power || !alignment)
        pointer = hp_mark_fresh(pointer, size, alignment);
    if (pointer)
        hp_record(pointer, asked, frame);
    return pointer;
}

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
    bool due = hp_charge(asked) && hp_due(asked);
    void *pointer = hp_next.memalign(alignment, size);
    return due ? record_aligned(pointer, alignment, size, asked, HP_FRAME) : pointer;
}

HP_HOOK void *aligned_alloc(size_t alignment, size_t size)
{
    size_t asked = take_asked(alignment, size);
    bool due = hp_charge(asked) && hp_due(asked);
    void *pointer = hp_next.aligned_alloc(alignment, size);
    return due ? record_aligned(pointer, alignment, size, asked, HP_FRAME) : pointer;
}

HP_HOOK int posix_memalign(void **pointer, size_t alignment, size_t size)
{
    size_t asked = take_asked(alignment, size);
    bool due = hp_charge(asked) && hp_due(asked);
    int error = hp_next.posix_memalign(pointer, alignment, size);
    if (due && !error)
        *pointer = record_aligned(*pointer, alignment, size, asked, HP_FRAME);
    return error;
}

HP_HOOK void *valloc(size_t size)
{
    bool due = hp_charge(size) && hp_due(size);
    void *pointer = hp_next.valloc(size); /* page-aligned: marked by itself */
    if (due && pointer)
        hp_record(pointer, size, HP_FRAME);
    return pointer;
}

HP_HOOK void *pvalloc(size_t size)
{
    bool due = hp_charge(size) && hp_due(size);
    void *pointer = hp_next.pvalloc(size);
    if (due && pointer)
        hp_record(pointer, size, HP_FRAME);
    return pointer;
}

static HP_COLD size_t sampled_usable_size(void *pointer)
{
    return hp_usable_size(pointer, hp_next.malloc_usable_size(pointer));
}

static inline __attribute__((always_inline)) size_t look_and_tell(void *pointer)
{
    if (__builtin_expect(hp_is_in_filter(pointer), 0))
        return sampled_usable_size(pointer);
    return hp_next.malloc_usable_size(pointer);
}

/* redis calls it at each allocation and each free. */
HP_HOOK size_t malloc_usable_size(void *pointer)
{
    if (__builtin_expect(hp_looks_sampled(pointer), 0))
        return look_and_tell(pointer);
    return hp_next.malloc_usable_size(pointer);
}

/* C23. A sampled object is larger than its size says (it was aligned), so the size must not reach the allocator; a
 * plain free is always right. */

HP_HOOK void free_sized(void *pointer, size_t size)
{
    if (hp_maybe_sampled(pointer) || !hp_next.free_sized)
        return free(pointer);
    hp_next.free_sized(pointer, size);
}

HP_HOOK void free_aligned_sized(void *pointer, size_t alignment, size_t size)
{
    if (hp_maybe_sampled(pointer) || !hp_next.free_aligned_sized)
        return free(pointer);
    hp_next.free_aligned_sized(pointer, alignment, size);
}
