/* spare.h - objects at marked addresses that wait for samples.
 *
 * Two needs, one store. In glibc, memalign looks for a large chunk, and for that first merges all that its fast bins hold;
 * so does the free of a chunk of that size beside much free memory. Programs that make do with the fast bins lose them,
 * and the order of their memory, at each sample: python3 building JSON ran 3 % slower by this at 512 KiB, and 30 % at
 * 32 KiB. So marked objects are asked for in batches, and those of freed samples are kept for the samples to come.
 *
 * The others keep the objects of one size side by side from the start of a page, and hand out last what was freed first:
 * where a thread allocates and frees one object after the other, it may get the first of its page each time, which looks
 * marked without being a sample. Its frees are then looked up in vain (6 instructions), and where that goes for one
 * size and not for the next, processors guess wrong (1.2 ns a pair on tcmalloc). So such an object is caught when it is
 * freed, and serves as one of the marked ones; the thread goes on with the next of the page.
 *
 * What is kept keeps the heap from shrinking: SPARES objects at most, of less than HP_SPARE_MOST usable bytes. When samples
 * are freed and none are taken, they go back.
 *
 * All functions are safe wherever malloc is, and lock-free.
 */
#ifndef HP_PRELOAD_SPARE_H
#define HP_PRELOAD_SPARE_H

#include <stdbool.h>
#include <stddef.h>

/* Usable bytes of glibc's. It keeps freed chunks of up to 1,032 bytes in per-thread caches, last in, first out: a marked
 * address would be the next one that unmarked objects get, and each of their frees would look like a sample's. */
#define HP_SPARE_SIZE 1040u
#define HP_SPARE_MOST (HP_SPARE_SIZE + 32) /* memalign leaves up to 31 bytes more on it */

/* A marked object of `size` usable bytes or more, of any content; NULL without memory, or when there is none. */
void *hp_spare_take(size_t size);

/* The object of a sample that the target has freed: true if it was kept, else free it. */
bool hp_spare_keep(void *pointer);

/* While objects are marked, and their marks looked at: catch what looks like them, by hp_frees.unsampled. */
void hp_spare_catch_some(bool wanted);

/* For an object that looks like a sample and is none: true if it was caught, else free it. */
bool hp_spare_catch(void *pointer);

#endif
