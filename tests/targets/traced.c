/* Keeps 5,000 objects of 2,000 bytes, then churns for as many milliseconds as its argument says. With "traps" after it,
 * every inexact operation in between is deadly, and no floating-point flag may be raised by anybody. */
#include <fenv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void *kept[5000];

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

__attribute__((noinline)) static void *allocate(size_t size)
{
    void *pointer = malloc(size);
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

int main(int count, char **arguments)
{
    uint64_t milliseconds = count > 1 ? strtoull(arguments[1], NULL, 10) : 0;
    uint64_t rounds = 0, end = now_ms() + milliseconds;
    if (count > 2) {
        feclearexcept(FE_ALL_EXCEPT);
        feenableexcept(FE_ALL_EXCEPT);
    }
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        kept[i] = allocate(2000);
    do {
        for (int i = 0; i < 100; i++, rounds++)
            free(allocate(10000));
    } while (now_ms() < end);
    if (count > 2 && fetestexcept(FE_ALL_EXCEPT))
        return 3;
    printf("%llu\n", (unsigned long long)(rounds * 10000));
    return 0;
}
