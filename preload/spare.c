#include "spare.h"

#include <stdint.h>

#include "next.h"
#include "record.h"

#define BATCH 8
#define SPARES 32
/* Samples freed in a row after which the target is taken to shrink. One that stays as large comes to this by chance once
 * in 65,536 samples. */
#define SHRINKS 16

static void *spares[SPARES];
static uint32_t freed_in_a_row;

static void *pop(void)
{
    for (unsigned i = 0; i < SPARES; i++)
        if (__atomic_load_n(&spares[i], __ATOMIC_RELAXED)) {
            void *spare = __atomic_exchange_n(&spares[i], NULL, __ATOMIC_ACQUIRE);
            if (spare)
                return spare;
        }
    return NULL;
}

static bool push(void *pointer)
{
    for (unsigned i = 0; i < SPARES; i++) {
        void *none = NULL;
        if (!__atomic_load_n(&spares[i], __ATOMIC_RELAXED) &&
            __atomic_compare_exchange_n(&spares[i], &none, pointer, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

static void fill(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        void *fresh = hp_next.memalign(HP_MARK, HP_SPARE_SIZE);
        if (fresh && !push(fresh))
            hp_next.free(fresh);
    }
}

void *hp_spare_take(void)
{
    __atomic_store_n(&freed_in_a_row, 0, __ATOMIC_RELAXED);
    void *spare = pop();
    if (spare)
        return spare;
    fill();
    return pop();
}

static void give_back(void)
{
    for (void *spare = pop(); spare; spare = pop())
        hp_next.free(spare);
}

bool hp_spare_keep(void *pointer)
{
    if (hp_next.allocator != HP_ALLOCATOR_GLIBC || !hp_is_marked(pointer))
        return false;
    if (__atomic_add_fetch(&freed_in_a_row, 1, __ATOMIC_RELAXED) >= SHRINKS) {
        give_back();
        return false;
    }
    size_t usable = hp_next.malloc_usable_size(pointer); /* memalign leaves up to 31 bytes more on it */
    return usable >= HP_SPARE_SIZE && usable < HP_SPARE_SIZE + 32 && push(pointer);
}
