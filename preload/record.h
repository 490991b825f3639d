/* record.h - the cold path: what is done for a sampled object, and for an object that may have been sampled.
 *
 * All functions keep errno, take no lock, call no allocator function, and are safe in a signal handler (a nested
 * sample is counted as lost). `frame_address` is the __builtin_frame_address(0) of the hook.
 */
#ifndef HP_PRELOAD_RECORD_H
#define HP_PRELOAD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/ledger.h"

/* Sampled objects are asked for at multiples of this, so that a free can tell most other pointers by themselves. Larger:
 * fewer other pointers look marked; smaller: less memory goes into the alignment. */
#define HP_MARK_BITS 10
#define HP_MARK (1ul << HP_MARK_BITS)
static inline bool hp_is_marked(const void *pointer)
{
    return ((uintptr_t)pointer & (HP_MARK - 1)) == 0;
}

/* How many live samples there are in each slot of addresses; a table of the process, in front of the ledger's. Most
 * pointers that are looked up are not samples: a look here sends these on. At interval 1, where a free of an unknown
 * object is counted, each slot has one more. A slot that is full stays so. The slots are as many, and of as few
 * addresses, as keeps the table in the processor's cache and a slot from having samples by chance: with 6,000 live ones
 * (180 MB at 32 KiB) 1 free in 40 looks further, with the quarter of the slots it was 1 in 10. */
#define HP_FILTER_SLOTS (1u << 18)
#define HP_FILTER_BYTES 256u /* of addresses in a slot */
#define HP_FILTER_FULL 255u
extern uint8_t hp_filter[HP_FILTER_SLOTS] __attribute__((visibility("hidden")));

static inline uint8_t *hp_filter_slot(uintptr_t address)
{
    return &hp_filter[address / HP_FILTER_BYTES % HP_FILTER_SLOTS];
}

/* What was written before the target got the pointer that is asked about. Plain reads, for which gcc has one instruction
 * less; ThreadSanitizer (tests/unit/meson.build) is told that they are meant. */
#ifdef HP_THREAD_SANITIZER
#define HP_READ(place) __atomic_load_n(place, __ATOMIC_RELAXED)
#else
#define HP_READ(place) (*(place))
#endif

/* What all frees read; in a cache line of its own, because samples write what would lie beside it. */
struct hp_frees {
    /* Lower half: the bits of addresses that are zero in those that are looked up. HP_MARK - 1 while all samples are
     * marked; of a large one that realloc left where it was, the bits of its address are taken out; 0 (for all addresses)
     * while nothing is marked; and all bits when there are no samples and none are to come. 32 bits, for which gcc needs
     * one instruction less. Upper half: how often it was decided. */
    uint64_t look;
    /* What is to be done with an object that looked like a sample and is none: the allocator's free, or what catches it
     * (spare.h). */
    void (*unsampled)(void *pointer);
} __attribute__((aligned(64)));
extern struct hp_frees hp_frees __attribute__((visibility("hidden")));

static inline uint32_t hp_look_mask(void)
{
    return (uint32_t)HP_READ(&hp_frees.look);
}

static inline bool hp_looks_sampled(const void *pointer)
{
    return ((uint32_t)(uintptr_t)pointer & hp_look_mask()) == 0;
}

static inline bool hp_is_in_filter(const void *pointer)
{
    return HP_READ(hp_filter_slot((uintptr_t)pointer)) != 0;
}

/* False: `pointer` is no sample. */
static inline bool hp_maybe_sampled(const void *pointer)
{
    return hp_looks_sampled(pointer) && hp_is_in_filter(pointer);
}

/* True if objects sampled now are to be marked. */
bool hp_marking(void);
/* Decide by the interval and by the samples that are live which frees must look their object up. */
void hp_marking_update(void);

/* After hp_charge(n) said so: is this allocation to be sampled? If yes, the caller allocates and calls hp_record. */
bool hp_due(size_t n);

/* Record an object of n bytes (as the target asked) at `pointer`. */
void hp_record(const void *pointer, size_t n, const void *frame_address);
/* ... whose usable size was `plain` before it was marked (0: that of any object of its size). */
void hp_record_resized(const void *pointer, size_t n, size_t plain, const void *frame_address);

/* The object at `pointer` is being freed: forget it if it was sampled (true). Before the allocator gets it back. */
bool hp_forget(const void *pointer);

/* What the target may use of the object at `pointer`, of which the allocator says `usable`. A sampled object has more than
 * others of its size, to carry the mark. Programs act on what they are told: redis gives back what is too much, by
 * realloc, and grows lists without realloc while there is room. So they must be told what they are told of other objects
 * of that size: with more or less, samples would live shorter or longer than others. */
size_t hp_usable_size(const void *pointer, size_t usable);
/* The same after realloc to `size` of an object that had `before`: some allocators leave what is nearly right, or take
 * more (gperftools 2.10, do_realloc_with_callback; mimalloc 2.0.9, _mi_heap_realloc_zero). */
size_t hp_resized_usable_size(size_t before, size_t size);

/* For realloc: take the object out of sight, then either forget it (hp_forget_taken) or put it back (it survived). */
bool hp_take(const void *pointer, struct hp_live_ref *ref);
void hp_forget_taken(struct hp_live_ref *ref);

#endif
