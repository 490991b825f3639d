/* Several libraries: each has one function that keeps memory, under its own name and, with KEEP_LATER, at another
 * place. */
#include <stdlib.h>

void *KEEP_NAME(size_t size);

#ifdef KEEP_LATER
int guest_padding(int value);

int guest_padding(int value)
{
    for (int i = 0; i < 100; i++)
        value = value * 31 + i % 7;
    return value;
}
#endif

void *KEEP_NAME(size_t size)
{
    void *pointer = malloc(size);
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}
