/* Steady churn at 64 stacks, a leak, and a cache that fills up and then stays. Arguments: a folder,
 * and how many dumps to write there. */
#include <stdio.h>
#include <stdlib.h>

#include "heapprof.h"
#include "sites.h"

#define LEVELS 6
#define SITES 64
#define PLACES 300
#define ROUNDS 30000 /* between two dumps */

static void *places[SITES][PLACES];
static void *volatile kept;

__attribute__((noinline)) static void keep(size_t size)
{
    void **object = malloc(size);
    *object = kept;
    kept = object;
}

__attribute__((noinline)) static void leak_slowly(void)
{
    keep(900);
    __asm__ volatile("# leak");
}

__attribute__((noinline)) static void fill_cache(void)
{
    keep(3000);
    __asm__ volatile("# cache");
}

static void work(int dump, int dumps)
{
    static unsigned random = 1;
    for (unsigned i = 0; i < ROUNDS; i++) {
        random = random * 1664525u + 1013904223u;
        unsigned number = random >> 8, place = number / SITES % PLACES;
        void **object = &places[number % SITES][place];
        free(*object);
        *object = site(number % SITES, LEVELS, 100 + number % SITES * 20);
        if (dump && i % 20 == 0)
            leak_slowly();
        if (dump && dump <= dumps / 3 && i % 10 == 0)
            fill_cache();
    }
}

int main(int count, char **arguments)
{
    int dumps = count == 3 ? atoi(arguments[2]) : 0;
    work(0, dumps);
    work(0, dumps);
    for (int dump = 0; dump < dumps; dump++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%02d.heap", arguments[1], dump);
        work(dump, dumps);
        if (heapprof_dump(path))
            return 3;
    }
    return dumps == 0;
}
