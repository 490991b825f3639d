/* mimalloc: neither asked nor walked. What it tells of itself it counts in each thread, and only in some builds. */
#include <string.h>

#include "allocators/allocators.h"

static void recognised(void *const addresses[], char *version, size_t size)
{
    const int number = ((int (*)(void))addresses[0])(); /* 209: 2.0.9 */
    if (number > 0 && number < 1000) {
        const char digits[] = {(char)('0' + number / 100), '.', (char)('0' + number / 10 % 10), '.',
                               (char)('0' + number % 10),  '\0'};
        memcpy(version, digits, sizeof digits);
    }
}

const struct hp_allocator hp_allocator_mimalloc = {
    .name = "mimalloc",
    .functions = {"mi_version"},
    .recognised = recognised,
};
