/* A library that case_loader.c loads: it allocates when it comes and when it goes, and calls back
 * in between. */
#include <stdlib.h>
#include <string.h>

void case_callback(void) __attribute__((weak)); /* of the program */

static char *kept[100];

__attribute__((constructor)) static void come(void)
{
    for (int i = 0; i < 100; i++)
        kept[i] = calloc(1, 100 + (size_t)i);
    if (case_callback)
        case_callback();
}

__attribute__((destructor)) static void go(void)
{
    char *last = malloc(5000);
    if (last)
        memset(last, 1, 5000);
    for (int i = 0; i < 100; i++)
        free(kept[i]);
    free(last);
}

void *plugin_allocate(size_t size);
void plugin_free(void *pointer);

void *plugin_allocate(size_t size)
{
    void *pointer = malloc(size);
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

void plugin_free(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    free(pointer);
}
