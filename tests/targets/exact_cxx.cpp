/* Known allocations by all forms of new, freed by all forms of delete, in 8 threads. See exact.h. */
#include "exact.h"

#include <dlfcn.h>
#include <new>

enum {
    NEW,
    NEW_ARRAY,
    NEW_NOTHROW,
    NEW_ARRAY_NOTHROW,
    NEW_ALIGNED,
    NEW_ARRAY_ALIGNED,
    NEW_ALIGNED_NOTHROW,
    NEW_ARRAY_ALIGNED_NOTHROW,
    NEW_SIZED,
    NEW_ARRAY_SIZED,
    NEW_ALIGNED_SIZED,
    NEW_ARRAY_ALIGNED_SIZED,
    NEW_HUGE,
    SITES
};

static int rounds = 40;
static bool is_mimalloc;
static const std::align_val_t alignment{128};

extern "C" {
SITE void *site_new(size_t size)
{
    void *pointer = operator new(size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_array(size_t size)
{
    void *pointer = operator new[](size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_nothrow(size_t size)
{
    void *pointer = operator new(size, std::nothrow);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_array_nothrow(size_t size)
{
    void *pointer = operator new[](size, std::nothrow);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_aligned(size_t size)
{
    void *pointer = operator new(size, alignment);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_array_aligned(size_t size)
{
    void *pointer = operator new[](size, alignment);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_aligned_nothrow(size_t size)
{
    void *pointer = operator new(size, alignment, std::nothrow);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_array_aligned_nothrow(size_t size)
{
    void *pointer = operator new[](size, alignment, std::nothrow);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_sized(size_t size)
{
    void *pointer = operator new(size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_array_sized(size_t size)
{
    void *pointer = operator new[](size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_aligned_sized(size_t size)
{
    void *pointer = operator new(size, alignment);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_array_aligned_sized(size_t size)
{
    void *pointer = operator new[](size, alignment);
    KEEP(pointer);
    return pointer;
}

SITE void *site_new_huge(size_t size)
{
    void *pointer = nullptr;
    try {
        pointer = operator new(size);
        KEEP(pointer);
    } catch (const std::bad_alloc &) {
    }
    return pointer;
}
}

static void release(const struct object &object)
{
    void *pointer = object.pointer;
    size_t size = object.size;
    if (!pointer)
        return;
    gone(&object);
    switch (object.site) {
    case NEW:
        return operator delete(pointer);
    case NEW_ARRAY:
        return operator delete[](pointer);
    case NEW_NOTHROW:
        return operator delete(pointer, std::nothrow);
    case NEW_ARRAY_NOTHROW:
        return operator delete[](pointer, std::nothrow);
    case NEW_ALIGNED:
        return operator delete(pointer, alignment);
    case NEW_ARRAY_ALIGNED:
        return operator delete[](pointer, alignment);
    case NEW_ALIGNED_NOTHROW:
        return operator delete(pointer, alignment, std::nothrow);
    case NEW_ARRAY_ALIGNED_NOTHROW:
        return operator delete[](pointer, alignment, std::nothrow);
    case NEW_SIZED:
        return operator delete(pointer, size);
    case NEW_ARRAY_SIZED:
        return operator delete[](pointer, size);
    case NEW_ALIGNED_SIZED:
        return operator delete(pointer, size, alignment);
    default:
        return operator delete[](pointer, size, alignment);
    }
}

static const struct {
    const char *name;
    void *(*make)(size_t);
    size_t size;
} ways[SITES] = {
    {"site_new", site_new, 40},
    {"site_new_array", site_new_array, 1000},
    {"site_new_nothrow", site_new_nothrow, 72},
    {"site_new_array_nothrow", site_new_array_nothrow, 300},
    {"site_new_aligned", site_new_aligned, 130},
    {"site_new_array_aligned", site_new_array_aligned, 2000},
    {"site_new_aligned_nothrow", site_new_aligned_nothrow, 256},
    {"site_new_array_aligned_nothrow", site_new_array_aligned_nothrow, 77},
    {"site_new_sized", site_new_sized, 24},
    {"site_new_array_sized", site_new_array_sized, 40000},
    {"site_new_aligned_sized", site_new_aligned_sized, 512},
    {"site_new_array_aligned_sized", site_new_array_aligned_sized, 640},
    {"site_new_huge", site_new_huge, (size_t)1 << 60},
};

static void *work(void *argument)
{
    unsigned random = (unsigned)(uintptr_t)argument;
    for (int i = 0; i < rounds; i++) {
        unsigned place = next_random(&random);
        for (unsigned site = 0; site < NEW_HUGE; site++) {
            void *pointer = ways[site].make(ways[site].size);
            check(pointer != nullptr, ways[site].name);
            check(!strstr(ways[site].name, "aligned") || (uintptr_t)pointer % 128 == 0, "alignment");
            memset(pointer, 0x5a, ways[site].size);
            made(site, ways[site].size);
            release(exchange(site, place + site, {pointer, ways[site].size, site, 0}));
        }
        if (!is_mimalloc) /* which ends the program instead of throwing */
            check(!site_new_huge(ways[NEW_HUGE].size), "new of 2^60 bytes");
    }
    return nullptr;
}

int main(int count, char **arguments)
{
    is_mimalloc = dlsym(RTLD_DEFAULT, "mi_version");
    if (count > 1)
        rounds = atoi(arguments[1]);
    for (unsigned i = 0; i < SITES; i++)
        accounts[i].name = ways[i].name;
    return run_threads(work);
}
