/* Steady churn at 200 sites, and one leak. Arguments: dump before, dump after, and what leaks: the number of bytes
 * between the two (0: nothing). Which site leaks is in leak_here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heapprof.h"
#include "sites.h"

#define LEVELS 8
#define SITES 200
#define PLACES 200

static void *places[SITES][PLACES];
static void *volatile leaked;

static inline __attribute__((always_inline)) void leak_inlined(size_t size)
{
    void **pointer = malloc(size); /* the line of the leak */
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    *pointer = leaked;
    leaked = pointer;
}

__attribute__((noinline)) static void leak_here(size_t size)
{
    leak_inlined(size);
    __asm__ volatile("");
}

static void churn(unsigned rounds, size_t leak)
{
    static unsigned random = 1;
    for (unsigned i = 0; i < rounds; i++) {
        random = random * 1664525u + 1013904223u;
        unsigned number = random >> 8, place = number / SITES % PLACES;
        void **object = &places[number % SITES][place];
        free(*object);
        *object = site(number % SITES, LEVELS, 100 + number % SITES * 10);
        if (leak && i % 100 == 0)
            leak_here(leak);
    }
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    churn(200000, 0);
    if (heapprof_dump(arguments[1]) && strcmp(arguments[1], "-"))
        return 3;
    churn(400000, (size_t)atol(arguments[3]) / 4000);
    return heapprof_dump(arguments[2]) ? 4 : 0;
}
