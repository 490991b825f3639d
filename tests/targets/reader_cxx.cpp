// A target for the readers of dumps: known bytes by each way in which operator new is called. Functions without classes
// or namespaces, because go tool pprof has no names of others where it reads debug information itself.
#include <cstddef>
#include <new>

#define SITE __attribute__((noinline)) static
#define KEEP(pointer) __asm__ volatile("# %1" : "+r"(pointer) : "i"(__LINE__) : "memory")

static void *volatile kept[5000];
static int used;

SITE void new_site()
{
    void *pointer = operator new(20000);
    KEEP(pointer);
    kept[used++] = pointer;
}

SITE void array_site()
{
    void *pointer = operator new[](12000);
    KEEP(pointer);
    kept[used++] = pointer;
}

SITE void nothrow_site()
{
    void *pointer = operator new(9000, std::nothrow);
    KEEP(pointer);
    kept[used++] = pointer;
}

SITE void nothrow_array_site()
{
    void *pointer = operator new[](7000, std::nothrow);
    KEEP(pointer);
    kept[used++] = pointer;
}

SITE void aligned_site()
{
    void *pointer = operator new[](5000, std::align_val_t(64), std::nothrow);
    KEEP(pointer);
    kept[used++] = pointer;
}

SITE void work()
{
    for (int i = 0; i < 1000; i++) {
        new_site();
        array_site();
        nothrow_site();
        nothrow_array_site();
        aligned_site();
    }
}

int main()
{
    work();
    return 0;
}
