/* sites.h - malloc from many stacks: one for each number below 2 to the power of `level`, the calls as its bits say. */
#ifndef HP_TEST_SITES_H
#define HP_TEST_SITES_H

#include <stdlib.h>

__attribute__((noinline)) static void *site(unsigned number, int level, size_t size);

__attribute__((noinline)) static void *other_site(unsigned number, int level, size_t size)
{
    void *pointer = site(number >> 1, level - 1, size);
    __asm__ volatile("# other" : "+r"(pointer));
    return pointer;
}

__attribute__((noinline)) static void *site(unsigned number, int level, size_t size)
{
    void *pointer = level == 0   ? malloc(size)
                    : number & 1 ? other_site(number, level, size)
                                 : site(number >> 1, level - 1, size);
    __asm__ volatile("# site" : "+r"(pointer));
    return pointer;
}

#endif
