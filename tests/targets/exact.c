/* Known allocations by all functions of C and jemalloc, in 8 threads. Argument: rounds (40). See exact.h. */
#include "exact.h"

#include <dlfcn.h>
#include <malloc.h>

void *mallocx(size_t size, int flags) __attribute__((weak));
void *rallocx(void *pointer, size_t size, int flags) __attribute__((weak));
size_t xallocx(void *pointer, size_t size, size_t extra, int flags) __attribute__((weak));
void dallocx(void *pointer, int flags) __attribute__((weak));
void sdallocx(void *pointer, size_t size, int flags) __attribute__((weak));
void free_sized(void *pointer, size_t size) __attribute__((weak));
void free_aligned_sized(void *pointer, size_t alignment, size_t size) __attribute__((weak));

enum {
    MALLOC,
    MALLOC_ZERO,
    CALLOC,
    REALLOC_NULL,
    REALLOC_GROW,
    REALLOC_LARGE,
    REALLOC_SHRINK,
    REALLOC_SAME,
    REALLOC_ZERO,
    REALLOC_HUGE,
    REALLOCARRAY_NULL,
    REALLOCARRAY,
    MEMALIGN,
    ALIGNED_ALLOC,
    POSIX_MEMALIGN,
    VALLOC,
    PVALLOC,
    FREE_SIZED,
    FREE_ALIGNED_SIZED,
    MALLOCX,
    MALLOCX_ALIGNED,
    RALLOCX,
    XALLOCX,
    SITES
};

static int rounds = 40;
static int is_jemalloc;

SITE void *site_malloc(size_t size)
{
    void *pointer = malloc(size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_malloc_zero(size_t size)
{
    void *pointer = malloc(size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_calloc(size_t size)
{
    char *pointer = calloc(size / 8, 8);
    KEEP(pointer);
    for (size_t i = 0; pointer && i < size; i++)
        check(pointer[i] == 0, "calloc gave memory that is not clear");
    return pointer;
}

SITE void *site_realloc_null(void *old, size_t size)
{
    void *pointer = realloc(old, size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_realloc_grow(void *old, size_t size)
{
    void *pointer = realloc(old, size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_realloc_large(void *old, size_t size)
{
    void *pointer = realloc(old, size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_realloc_shrink(void *old, size_t size)
{
    void *pointer = realloc(old, size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_realloc_same(void *old, size_t size)
{
    void *pointer = realloc(old, size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_realloc_zero(void *old)
{
    void *pointer = realloc(old, 0);
    KEEP(pointer);
    return pointer;
}

SITE void *site_realloc_huge(void *old, size_t size)
{
    void *pointer = realloc(old, size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_reallocarray_null(size_t size)
{
    void *pointer = reallocarray(NULL, size / 4, 4);
    KEEP(pointer);
    return pointer;
}

SITE void *site_reallocarray(void *old, size_t count, size_t size)
{
    void *pointer = reallocarray(old, count, size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_memalign(size_t alignment, size_t size)
{
    void *pointer = memalign(alignment, size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_aligned_alloc(size_t alignment, size_t size)
{
    void *pointer = aligned_alloc(alignment, size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_posix_memalign(size_t alignment, size_t size)
{
    void *pointer = NULL;
    int error = posix_memalign(&pointer, alignment, size);
    KEEP(pointer);
    return error ? NULL : pointer;
}

SITE void *site_valloc(size_t size)
{
    void *pointer = valloc(size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_pvalloc(size_t size)
{
    void *pointer = pvalloc(size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_free_sized(size_t size)
{
    void *pointer = malloc(size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_free_aligned_sized(size_t alignment, size_t size)
{
    void *pointer = aligned_alloc(alignment, size);
    KEEP(pointer);
    return pointer;
}

SITE void *site_mallocx(size_t size)
{
    void *pointer = mallocx(size, 0);
    KEEP(pointer);
    return pointer;
}

SITE void *site_mallocx_aligned(size_t size)
{
    char *pointer = mallocx(size, 8 | 0x40); /* MALLOCX_LG_ALIGN(8) | MALLOCX_ZERO */
    KEEP(pointer);
    for (size_t i = 0; pointer && i < size; i++)
        check(pointer[i] == 0, "mallocx gave memory that is not clear");
    return pointer;
}

SITE void *site_rallocx(void *old, size_t size)
{
    void *pointer = rallocx(old, size, 0);
    KEEP(pointer);
    return pointer;
}

SITE size_t site_xallocx(void *pointer, size_t size)
{
    size_t real = xallocx(pointer, size, 0, 0);
    KEEP(pointer);
    return real;
}

static void release(const struct object *object)
{
    if (!object->pointer)
        return;
    gone(object);
    /* C23's are there when the library is, and with newer allocators. */
    if (object->site == FREE_SIZED && free_sized)
        free_sized(object->pointer, object->size);
    else if (object->site == FREE_ALIGNED_SIZED && free_aligned_sized)
        free_aligned_sized(object->pointer, object->alignment, object->size);
    else if (object->site == MALLOCX && dallocx)
        dallocx(object->pointer, 0);
    else if (object->site == MALLOCX_ALIGNED && sdallocx)
        sdallocx(object->pointer, object->size, 8);
    else
        free(object->pointer);
}

/* Account for a new object, put it on its shelf, and free what lay there. */
static void keep(unsigned site, void *pointer, size_t size, size_t alignment, unsigned place)
{
    check(pointer != NULL, accounts[site].name);
    check(!alignment || (uintptr_t)pointer % alignment == 0, accounts[site].name);
    memset(pointer, 0x5a, size);
    made(site, size);
    struct object old = exchange(site, place, (struct object){pointer, size, site, alignment});
    release(&old);
}

/* Some object of another shelf, filled as when it was put there. */
static struct object take(unsigned shelf, unsigned place)
{
    struct object object = exchange(shelf, place, (struct object){0});
    if (!object.pointer) {
        object = (struct object){site_malloc(100), 100, MALLOC, 0};
        check(object.pointer != NULL, "malloc");
        made(MALLOC, 100);
        memset(object.pointer, 0x5a, object.size);
    }
    return object;
}

static void check_contents(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        check(bytes[i] == 0x5a, "realloc lost its contents");
}

static void resize(unsigned site, unsigned shelf, size_t size, unsigned place)
{
    struct object old = take(shelf, place);
    void *pointer = site == REALLOC_GROW     ? site_realloc_grow(old.pointer, size)
                    : site == REALLOC_LARGE  ? site_realloc_large(old.pointer, size)
                    : site == REALLOC_SHRINK ? site_realloc_shrink(old.pointer, size)
                    : site == REALLOC_SAME   ? site_realloc_same(old.pointer, size = old.size)
                    : site == REALLOCARRAY   ? site_reallocarray(old.pointer, size / 4, 4)
                                             : site_rallocx(old.pointer, size);
    check(pointer != NULL, accounts[site].name);
    check_contents(pointer, old.size < size ? old.size : size);
    gone(&old);
    keep(site, pointer, size, 0, place);
}

static void resize_to_nothing(unsigned place)
{
    struct object old = take(MALLOC, place);
    void *pointer = site_realloc_zero(old.pointer);
    gone(&old);
    if (pointer) /* mimalloc */
        keep(REALLOC_ZERO, pointer, 0, 0, place);
}

static void fail_to_resize(unsigned place)
{
    struct object old = take(MALLOC, place);
    check(!site_realloc_huge(old.pointer, (size_t)1 << 60), "realloc of 2^60 bytes");
    check(!site_realloc_huge(old.pointer, (size_t)PTRDIFF_MAX + 1), "realloc of more than PTRDIFF_MAX bytes");
    check(!site_reallocarray(old.pointer, (size_t)1 << 40, (size_t)1 << 40), "reallocarray that overflows");
    check_contents(old.pointer, old.size);
    old = exchange(MALLOC, place, old);
    release(&old);
}

static void resize_in_place(unsigned place)
{
    struct object object = take(XALLOCX, place);
    if (object.site != XALLOCX) {
        release(&object);
        void *pointer = site_mallocx(3000);
        check(pointer != NULL, "mallocx");
        made(MALLOCX, 3000);
        object = (struct object){pointer, 3000, MALLOCX, 0};
    }
    size_t size = 2800 + place % 10 * 40;
    size_t before = malloc_usable_size(object.pointer), now = site_xallocx(object.pointer, size);
    if (now >= size && now != before) { /* resized where it stands */
        gone(&object);
        made(XALLOCX, size);
        object.size = size;
        object.site = XALLOCX;
    }
    object = exchange(XALLOCX, place, object);
    release(&object);
}

static void round_of(unsigned random)
{
    unsigned place = random % SHELF, other = random / SHELF % SHELF;
    size_t mixed = 16 + random % 1000 * (random % 7 ? 1 : 20);
    keep(MALLOC, site_malloc(mixed), mixed, 0, place);
    keep(MALLOC_ZERO, site_malloc_zero(0), 0, 0, place);
    void *cleared = site_calloc(400);
    keep(CALLOC, cleared, 400, 0, place);
    keep(REALLOC_NULL, site_realloc_null(NULL, 300), 300, 0, place);
    resize(REALLOC_GROW, CALLOC, 5000, other);
    resize(REALLOC_LARGE, REALLOC_GROW, 200000, place);
    resize(REALLOC_SHRINK, REALLOC_LARGE, 250, place);
    resize(REALLOC_SAME, REALLOC_NULL, 0, other);
    resize_to_nothing(other);
    fail_to_resize(place);
    keep(REALLOCARRAY_NULL, site_reallocarray_null(640), 640, 0, place);
    resize(REALLOCARRAY, REALLOCARRAY_NULL, 1280, other);
    keep(MEMALIGN, site_memalign(64, 200), 200, 64, place);
    keep(ALIGNED_ALLOC, site_aligned_alloc(4096, 8192), 8192, 4096, place);
    keep(POSIX_MEMALIGN, site_posix_memalign(256, 700), 700, 256, place);
    keep(VALLOC, site_valloc(100), 100, 4096, place);
    if (!is_jemalloc) /* has no pvalloc */
        keep(PVALLOC, site_pvalloc(5000), 5000, 4096, place);
    keep(FREE_SIZED, site_free_sized(120), 120, 0, place);
    keep(FREE_ALIGNED_SIZED, site_free_aligned_sized(128, 256), 256, 128, place);
    if (!mallocx)
        return;
    keep(MALLOCX, site_mallocx(800), 800, 0, place);
    keep(MALLOCX_ALIGNED, site_mallocx_aligned(500), 500, 256, place);
    resize(RALLOCX, MALLOCX, 2500, other);
    resize_in_place(place);
}

static void *work(void *argument)
{
    unsigned random = (unsigned)(uintptr_t)argument;
    for (int i = 0; i < rounds; i++)
        round_of(next_random(&random));
    return NULL;
}

int main(int count, char **arguments)
{
    static const char *const names[SITES] = {"site_malloc",
                                             "site_malloc_zero",
                                             "site_calloc",
                                             "site_realloc_null",
                                             "site_realloc_grow",
                                             "site_realloc_large",
                                             "site_realloc_shrink",
                                             "site_realloc_same",
                                             "site_realloc_zero",
                                             "site_realloc_huge",
                                             "site_reallocarray_null",
                                             "site_reallocarray",
                                             "site_memalign",
                                             "site_aligned_alloc",
                                             "site_posix_memalign",
                                             "site_valloc",
                                             "site_pvalloc",
                                             "site_free_sized",
                                             "site_free_aligned_sized",
                                             "site_mallocx",
                                             "site_mallocx_aligned",
                                             "site_rallocx",
                                             "site_xallocx"};
    is_jemalloc = dlsym(RTLD_DEFAULT, "mallctl") != NULL;
    if (count > 1)
        rounds = atoi(arguments[1]);
    for (unsigned i = 0; i < SITES; i++)
        accounts[i].name = names[i];
    return run_threads(work);
}
