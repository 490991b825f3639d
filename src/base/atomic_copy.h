/* atomic_copy.h - copies into and out of memory that a thread or process writes while others may read it, guarded by a
 * version or a key that tells whether all of it is of one moment: a word at a time, so that readers may get old and new
 * words side by side, but never an undefined one. "in" is into the shared memory, "out" is out of it.
 */
#ifndef HP_BASE_ATOMIC_COPY_H
#define HP_BASE_ATOMIC_COPY_H

#include <stddef.h>
#include <stdint.h>

/* 32 bits: versions are no longer. */
typedef uint32_t hp_word __attribute__((may_alias));

/* `size` is a multiple of a word's. */
static inline void hp_atomic_copy_out(void *to, const void *from, size_t size)
{
    for (size_t i = 0; i < size / sizeof(hp_word); i++)
        ((hp_word *)to)[i] = __atomic_load_n((const hp_word *)from + i, __ATOMIC_RELAXED);
}

static inline void hp_atomic_copy_in(void *to, const void *from, size_t size)
{
    for (size_t i = 0; i < size / sizeof(hp_word); i++)
        __atomic_store_n((hp_word *)to + i, ((const hp_word *)from)[i], __ATOMIC_RELAXED);
}

#endif
