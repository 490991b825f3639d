/* guest.h - what the targets of test_guest.sh have in common: allocations from ever new stacks. */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "guest: line %d: %s\n", __LINE__, #condition);                                             \
            exit(99);                                                                                                  \
        }                                                                                                              \
    } while (0)

__attribute__((noinline)) static void paths(unsigned bits, int depth);

__attribute__((noinline)) static void other_paths(unsigned bits, int depth)
{
    paths(bits >> 1, depth - 1);
    __asm__ volatile("");
}

/* The stack is as the bits say. */
__attribute__((noinline)) static void paths(unsigned bits, int depth)
{
    if (depth == 0) {
        void *first = malloc(bits % 1000 + 40), *second = calloc(3, 100);
        __asm__ volatile("" : "+r"(first), "+r"(second) : : "memory");
        first = realloc(first, 2000);
        free(second);
        free(first);
    } else if (bits & 1) {
        other_paths(bits, depth);
    } else {
        paths(bits >> 1, depth - 1);
    }
    __asm__ volatile("");
}

static void allocate_much(unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++)
        paths(i, 16);
}

#endif
