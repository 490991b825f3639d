#include "spare.h"

#include <stdint.h>

#include "next.h"
#include "record.h"

#define BATCH 8
#define SPARES 64
/* Samples freed in a row after which the target is taken to shrink. One that stays as large comes to this by chance once
 * in 65,536 samples. */
#define SHRINKS 16
/* Frees that are looked at, at first and more with each sample taken: where all look marked because of their size, that
 * would go on in vain. */
#define TRIES_FIRST 512
#define TRIES_MORE 4

/* Bytes: not what is smaller than others' alignment, as jemalloc's 8 bytes, of which half are not aligned to 16. */
#define SMALLEST 16u
/* The usable size fits into the bits that the mark leaves. */
#define UNIT 8u
static uintptr_t spares[SPARES]; /* address | usable bytes / UNIT */
static uint32_t freed_in_a_row;
static uint32_t tries_left = TRIES_FIRST;
static bool catching; /* asked for; done while there are tries */

/* Usable bytes of the smallest object that is kept; SIZE_MAX: none is. Of an allocator that is not known it is not even
 * certain that the malloc_usable_size behind us is its own. */
static size_t smallest(void)
{
    switch (hp_next.allocator) {
    case HP_ALLOCATOR_GLIBC:
        return HP_SPARE_SIZE;
    case HP_ALLOCATOR_JEMALLOC:
    case HP_ALLOCATOR_TCMALLOC:
    case HP_ALLOCATOR_MIMALLOC:
        return SMALLEST;
    default:
        return SIZE_MAX;
    }
}

static void *object_of(uintptr_t spare)
{
    return (void *)(spare & ~(HP_MARK - 1));
}

static void *pop(size_t size)
{
    for (unsigned i = 0; i < SPARES; i++) {
        uintptr_t spare = __atomic_load_n(&spares[i], __ATOMIC_RELAXED);
        if (spare && (spare & (HP_MARK - 1)) * UNIT >= size &&
            __atomic_compare_exchange_n(&spares[i], &spare, 0, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return object_of(spare);
    }
    return NULL;
}

static bool push(void *pointer, size_t usable)
{
    for (unsigned i = 0; i < SPARES; i++) {
        uintptr_t none = 0;
        if (!__atomic_load_n(&spares[i], __ATOMIC_RELAXED) &&
            __atomic_compare_exchange_n(&spares[i], &none, (uintptr_t)pointer | usable / UNIT, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

static void fill(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        void *fresh = hp_next.memalign(HP_MARK, HP_SPARE_SIZE);
        if (fresh && !push(fresh, HP_SPARE_SIZE))
            hp_next.free(fresh);
    }
}

static void catch_or_free(void *pointer)
{
    if (!hp_spare_catch(pointer))
        hp_next.free(pointer);
}

static void choose_free(void)
{
    bool on = __atomic_load_n(&catching, __ATOMIC_RELAXED) && __atomic_load_n(&tries_left, __ATOMIC_RELAXED);
    void (*wanted)(void *) = on ? catch_or_free : hp_next.free;
    if (__atomic_load_n(&hp_frees.unsampled, __ATOMIC_RELAXED) != wanted)
        __atomic_store_n(&hp_frees.unsampled, wanted, __ATOMIC_RELAXED);
}

void hp_spare_catch_some(bool wanted)
{
    __atomic_store_n(&catching, wanted && smallest() < HP_MARK, __ATOMIC_RELAXED); /* not of glibc, whose all are larger */
    choose_free();
}

bool hp_spare_catch(void *pointer)
{
    uint32_t tries = __atomic_load_n(&tries_left, __ATOMIC_RELAXED);
    if (tries)
        __atomic_store_n(&tries_left, tries - 1, __ATOMIC_RELAXED); /* of two threads at once, one try is lost */
    if (tries <= 1)
        choose_free();
    if (!tries || !pointer || !hp_is_marked(pointer))
        return false;
    size_t usable = hp_next.malloc_usable_size(pointer);
    return usable >= smallest() && usable < HP_MARK && push(pointer, usable);
}

void *hp_spare_take(size_t size)
{
    __atomic_store_n(&freed_in_a_row, 0, __ATOMIC_RELAXED);
    if (__atomic_load_n(&catching, __ATOMIC_RELAXED)) {
        __atomic_store_n(&tries_left, TRIES_MORE, __ATOMIC_RELAXED);
        choose_free();
    }
    if (size > HP_SPARE_MOST)
        return NULL;
    void *spare = pop(size);
    if (spare || hp_next.allocator != HP_ALLOCATOR_GLIBC)
        return spare;
    fill();
    return pop(size);
}

static void give_back(void)
{
    for (void *spare = pop(0); spare; spare = pop(0))
        hp_next.free(spare);
}

bool hp_spare_keep(void *pointer)
{
    if (!hp_is_marked(pointer) || !hp_marking() || smallest() == SIZE_MAX)
        return false;
    if (__atomic_add_fetch(&freed_in_a_row, 1, __ATOMIC_RELAXED) >= SHRINKS) {
        give_back();
        return false;
    }
    size_t usable = hp_next.malloc_usable_size(pointer);
    return usable >= smallest() && usable < HP_SPARE_MOST && push(pointer, usable);
}
