/* An interposer as others ship them, to be preloaded before or after: looks its next up by dlsym,
 * serves what that asks for meanwhile from a pool, and has a clock that allocates if CASE_CLOCK is
 * set (jemalloc asks for the time in its locks). */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);
static int (*next_clock)(clockid_t, struct timespec *);
static _Alignas(16) char pool[65536];
static size_t pool_used;
static uint64_t calls;

uint64_t interposer_calls(void);

uint64_t interposer_calls(void)
{
    return __atomic_load_n(&calls, __ATOMIC_RELAXED);
}

static void *from_pool(size_t size)
{
    size_t at = __atomic_fetch_add(&pool_used, (size + 31) & ~(size_t)15, __ATOMIC_RELAXED);
    return at + size > sizeof pool ? NULL : pool + at;
}

static int find_next(void)
{
    static int finding;
    if (next_free)
        return 1;
    if (finding)
        return 0;
    finding = 1;
    next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    next_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    next_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    next_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    finding = 0;
    return 1;
}

void *malloc(size_t size)
{
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
    return find_next() ? next_malloc(size) : from_pool(size);
}

void *calloc(size_t count, size_t size)
{
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
    return find_next() ? next_calloc(count, size) : from_pool(count * size);
}

void *realloc(void *pointer, size_t size)
{
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
    if ((char *)pointer >= pool && (char *)pointer < pool + sizeof pool) {
        void *moved = malloc(size);
        size_t left = (size_t)(pool + sizeof pool - (char *)pointer);
        return moved ? memcpy(moved, pointer, size < left ? size : left) : NULL;
    }
    return find_next() ? next_realloc(pointer, size) : NULL;
}

void free(void *pointer)
{
    if (((char *)pointer >= pool && (char *)pointer < pool + sizeof pool) || !find_next())
        return;
    next_free(pointer);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static __thread int inside;
    find_next();
    if (!inside && getenv("CASE_CLOCK")) {
        inside = 1;
        void *scratch = malloc(1000);
        __asm__ volatile("" : "+r"(scratch) : : "memory");
        free(scratch);
        inside = 0;
    }
    return next_clock ? next_clock(clock, now) : -1;
}
