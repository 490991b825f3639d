#include "kinds/heap/operator_frames.h"

#include <stdbool.h>

#include "unwind/modules.h"

static struct {
    uintptr_t start;
    uintptr_t limit; /* set last; 0: none */
} operators[HP_OPERATORS_NEW];
/* Of all of them together, which are neighbours in one library: most samples have to look no further. */
static uintptr_t lowest = UINTPTR_MAX, highest;

void hp_operators_set(unsigned index, uintptr_t start, size_t size)
{
    if (!size)
        return;
    uintptr_t low = __atomic_load_n(&lowest, __ATOMIC_RELAXED), high = __atomic_load_n(&highest, __ATOMIC_RELAXED);
    while (start < low &&
           !__atomic_compare_exchange_n(&lowest, &low, start, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    while (start + size > high &&
           !__atomic_compare_exchange_n(&highest, &high, start + size, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    __atomic_store_n(&operators[index].start, start, __ATOMIC_RELAXED);
    __atomic_store_n(&operators[index].limit, start + size, __ATOMIC_RELEASE);
}

/* A return address may be the first byte behind its function, never the first one in it. */
static bool is_operator(uintptr_t address)
{
    if (address <= __atomic_load_n(&lowest, __ATOMIC_RELAXED) || address > __atomic_load_n(&highest, __ATOMIC_RELAXED))
        return false;
    for (unsigned i = 0; i < HP_OPERATORS_NEW; i++) {
        uintptr_t limit = __atomic_load_n(&operators[i].limit, __ATOMIC_ACQUIRE);
        if (address <= limit && address > __atomic_load_n(&operators[i].start, __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

unsigned hp_operators_in(const uint64_t *frames, unsigned depth)
{
    unsigned count = 0;
    while (count < HP_OPERATORS_DEEP && count + 1 < depth && is_operator(hp_module_address(frames[count])))
        count++;
    return count;
}
