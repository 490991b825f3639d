/* alloc.h - memory for the command: allocations that end the program when memory runs out.
 *
 * Rejected: handing -ENOMEM up through every builder of the model. Nothing in the command can go on
 * without its memory, and paths that no test runs are worse than a clean end.
 */
#ifndef HP_PROFILE_ALLOC_H
#define HP_PROFILE_ALLOC_H

#include <stddef.h>

/* Like calloc(count, size), realloc; never NULL, also for 0 bytes. Free with free(). */
void *hp_alloc(size_t count, size_t size);
void *hp_realloc(void *memory, size_t count, size_t size);

/* `array` of elements of `size` bytes with room for at least `needed`; `*capacity` follows. Grows
 * by half. */
void *hp_grow(void *array, size_t *capacity, size_t needed, size_t size);

#endif
