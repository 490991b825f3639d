/* spare.h - objects at marked addresses that wait for samples, for glibc.
 *
 * glibc's memalign looks for a large chunk, and for that first merges all that its fast bins hold; so does the free of a
 * chunk of that size beside much free memory. Programs that make do with the fast bins lose them, and the order of
 * their memory, at each sample: python3 building JSON ran 3 % slower by this at 512 KiB, and 30 % at 32 KiB. So marked
 * objects are asked for in batches, and those of freed samples are kept for the samples to come.
 *
 * What is kept keeps the heap from shrinking. When samples are freed and none are taken, the spare ones go back, too.
 *
 * All functions are safe wherever malloc is, and lock-free.
 */
#ifndef HP_PRELOAD_SPARE_H
#define HP_PRELOAD_SPARE_H

#include <stdbool.h>
#include <stddef.h>

/* Usable bytes. glibc keeps freed chunks of up to 1,032 bytes in per-thread caches, last in, first out: a marked address
 * would be the next one that unmarked objects get, and each of their frees would look like a sample's. */
#define HP_SPARE_SIZE 1040u

/* A marked object of HP_SPARE_SIZE bytes, of any content; NULL without memory, or when other threads took all. */
void *hp_spare_take(void);

/* The object of a sample that the target has freed: true if it was kept, else free it. */
bool hp_spare_keep(void *pointer);

#endif
