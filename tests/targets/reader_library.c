/* The library of reader.c. */
#include <stdlib.h>

void *library_small(void);
void *library_large(void);

static __attribute__((noinline)) void *inside(size_t size)
{
    void *pointer = malloc(size);
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

void *library_small(void)
{
    void *pointer = inside(1500);
    __asm__ volatile("# small" : "+r"(pointer) : : "memory");
    return pointer;
}

void *library_large(void)
{
    void *pointer = inside(9000);
    __asm__ volatile("# large" : "+r"(pointer) : : "memory");
    return pointer;
}
