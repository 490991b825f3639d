/* A target for the readers of dumps: known bytes in its own functions, some inlined, and in those of a library. */
#include <stdlib.h>

void *library_small(void);
void *library_large(void);

#define SITE __attribute__((noinline))
#define KEEP(pointer) __asm__ volatile("# %1" : "+r"(pointer) : "i"(__LINE__) : "memory")

static void *volatile kept[4000];
static int used;

static inline __attribute__((always_inline)) void *inlined_site(size_t size)
{
    void *pointer = malloc(size);
    KEEP(pointer);
    return pointer;
}

SITE static void *own_site(void)
{
    void *pointer = inlined_site(20000);
    KEEP(pointer);
    return pointer;
}

SITE static void *own_other_site(void)
{
    void *pointer = calloc(10, 300);
    KEEP(pointer);
    return pointer;
}

SITE static void *recursive_site(int depth)
{
    void *pointer = depth ? recursive_site(depth - 1) : malloc(700);
    KEEP(pointer);
    return pointer;
}

SITE static void work(void)
{
    for (int i = 0; i < 1000; i++) {
        kept[used++] = own_site();
        kept[used++] = own_other_site();
        kept[used++] = library_large();
        free(library_small());
        if (i % 4 == 0)
            kept[used++] = recursive_site(i % 3);
    }
    for (int i = 0; i < used; i += 5)
        free(kept[i]);
}

int main(void)
{
    work();
    return 0;
}
