#include "profile/alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *check(void *memory, size_t count, size_t size)
{
    if (!memory) {
        fprintf(stderr, "heapprof: out of memory (%zu times %zu bytes)\n", count, size);
        exit(1);
    }
    return memory;
}

void *hp_alloc(size_t count, size_t size)
{
    return check(calloc(count ? count : 1, size ? size : 1), count, size);
}

void *hp_realloc(void *memory, size_t count, size_t size)
{
    if (!count || !size)
        count = size = 1;
    return check(reallocarray(memory, count, size), count, size);
}

void *hp_grow(void *array, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return array;
    size_t larger = *capacity + *capacity / 2;
    if (larger < 16)
        larger = 16;
    if (larger < needed)
        larger = needed;
    *capacity = larger;
    return hp_realloc(array, larger, size);
}
