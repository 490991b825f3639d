/* filter.h - which addresses may be those of live samples: what every free looks at.
 *
 * One byte for each KiB of 4 GiB of addresses, folded: how many live samples start there. A free whose byte is 0 is no
 * sample's, and jumps on to the allocator; the others are looked up in the ledger. Nothing about an object is changed
 * to make it stand out, so the target's allocator sees the calls that it would see without us.
 *
 * The table lies in zero pages, so only the pages of addresses at which samples live take memory, and neighbours in the
 * heap are neighbours in the table. At 512 KiB one free in 500 is looked up in vain; a heap of N live samples adds one
 * in 4M / N. 4 MiB is what a program that locks its memory pays. A byte that reaches 255 stays there: it takes 255 live
 * samples within one KiB of four GiB, which only a heap of many GiB recorded at interval 1 can have, in few places.
 *
 * Order: a sample is counted here before its address gets out to the target, and counted out after it left the ledger,
 * so a byte is never below the number of samples that a free could meet. The target itself orders what it does with one
 * address (an object is freed after it was allocated, also by another thread); relaxed operations do for the rest.
 */
#ifndef HP_PRELOAD_FILTER_H
#define HP_PRELOAD_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#define HP_FILTER_SLOTS (1u << 22)
#define HP_FILTER_SHIFT 10 /* bytes of addresses in a slot: 1 KiB */
#define HP_FILTER_FULL 255u
extern uint8_t hp_filter[HP_FILTER_SLOTS] __attribute__((visibility("hidden")));

/* Plain reads of what was written before the target got the pointer that is asked about; gcc needs one instruction less
 * for them. ThreadSanitizer (tests/unit/meson.build) is told that they are meant. */
#ifdef HP_THREAD_SANITIZER
#define HP_READ(place) __atomic_load_n(place, __ATOMIC_RELAXED)
#else
#define HP_READ(place) (*(place))
#endif

static inline uint8_t *hp_filter_slot(uintptr_t address)
{
    return &hp_filter[(uint32_t)address >> HP_FILTER_SHIFT];
}

/* False: `pointer` is no sample. */
static inline __attribute__((always_inline)) bool hp_maybe_sampled(const void *pointer)
{
    return HP_READ(hp_filter_slot((uintptr_t)pointer)) != 0;
}

static inline void hp_filter_change(uintptr_t address, int change)
{
    uint8_t *slot = hp_filter_slot(address), count = __atomic_load_n(slot, __ATOMIC_RELAXED);
    while (count != HP_FILTER_FULL && !__atomic_compare_exchange_n(slot, &count, (uint8_t)(count + change), true,
                                                                   __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

#endif
