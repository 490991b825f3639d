#include "allocators/next.h"

#include <errno.h>
#include <string.h>

#include "allocators/symbols.h"

static void *first_malloc(size_t size)
{
    hp_next_resolve();
    return hp_next.malloc(size);
}

static void first_free(void *pointer)
{
    hp_next_resolve();
    hp_next.free(pointer);
}

static void *first_calloc(size_t count, size_t size)
{
    hp_next_resolve();
    return hp_next.calloc(count, size);
}

static void *first_realloc(void *pointer, size_t size)
{
    hp_next_resolve();
    return hp_next.realloc(pointer, size);
}

static void *first_reallocarray(void *pointer, size_t count, size_t size)
{
    hp_next_resolve();
    return hp_next.reallocarray(pointer, count, size);
}

static void *first_memalign(size_t alignment, size_t size)
{
    hp_next_resolve();
    return hp_next.memalign(alignment, size);
}

static void *first_aligned_alloc(size_t alignment, size_t size)
{
    hp_next_resolve();
    return hp_next.aligned_alloc(alignment, size);
}

static int first_posix_memalign(void **pointer, size_t alignment, size_t size)
{
    hp_next_resolve();
    return hp_next.posix_memalign(pointer, alignment, size);
}

static void *first_valloc(size_t size)
{
    hp_next_resolve();
    return hp_next.valloc(size);
}

static void *first_pvalloc(size_t size)
{
    hp_next_resolve();
    return hp_next.pvalloc(size);
}

struct hp_next hp_next = {
    .malloc = first_malloc,
    .free = first_free,
    .calloc = first_calloc,
    .realloc = first_realloc,
    .reallocarray = first_reallocarray,
    .memalign = first_memalign,
    .aligned_alloc = first_aligned_alloc,
    .posix_memalign = first_posix_memalign,
    .valloc = first_valloc,
    .pvalloc = first_pvalloc,
};

struct hp_hot hp_hot = {.malloc = first_malloc, .calloc = first_calloc, .realloc = first_realloc, .free = first_free};

enum {
    SYMBOL_MALLOC,
    SYMBOL_FREE,
    SYMBOL_CALLOC,
    SYMBOL_REALLOC,
    SYMBOL_REALLOCARRAY,
    SYMBOL_MEMALIGN,
    SYMBOL_ALIGNED_ALLOC,
    SYMBOL_POSIX_MEMALIGN,
    SYMBOL_VALLOC,
    SYMBOL_PVALLOC,
    SYMBOL_USABLE_SIZE,
    SYMBOL_FREE_SIZED,
    SYMBOL_FREE_ALIGNED_SIZED,
    SYMBOL_MALLOCX,
    SYMBOL_RALLOCX,
    SYMBOL_XALLOCX,
    SYMBOL_SALLOCX,
    SYMBOL_DALLOCX,
    SYMBOL_SDALLOCX,
    SYMBOL_NALLOCX,
    SYMBOL_PRCTL,
    SYMBOL_DLCLOSE,
    SYMBOL_SYSCALL,
    SYMBOL_SIGACTION,
    SYMBOL_SIGNAL,
    SYMBOL_SYSV_SIGNAL,
    SYMBOL_SIGSET,
    SYMBOL_COUNT
};

static const char *const names[SYMBOL_COUNT] = {"malloc",
                                                "free",
                                                "calloc",
                                                "realloc",
                                                "reallocarray",
                                                "memalign",
                                                "aligned_alloc",
                                                "posix_memalign",
                                                "valloc",
                                                "pvalloc",
                                                "malloc_usable_size",
                                                "free_sized",
                                                "free_aligned_sized",
                                                "mallocx",
                                                "rallocx",
                                                "xallocx",
                                                "sallocx",
                                                "dallocx",
                                                "sdallocx",
                                                "nallocx",
                                                "prctl",
                                                "dlclose",
                                                "syscall",
                                                "sigaction",
                                                "signal",
                                                "__sysv_signal",
                                                "sigset"};

static void *same_object(const struct hp_symbol *symbols, unsigned index)
{
    /* An allocator's extensions only belong to it: a jemalloc further behind must not get a glibc pointer. */
    return symbols[index].object == symbols[SYMBOL_MALLOC].object ? symbols[index].address : NULL;
}

void hp_next_resolve(void)
{
    struct hp_symbol symbols[SYMBOL_COUNT + HP_ALLOCATOR_SYMBOLS];
    for (unsigned i = 0; i < SYMBOL_COUNT; i++)
        symbols[i] = (struct hp_symbol){.name = names[i]};
    hp_find_symbols(symbols, SYMBOL_COUNT + hp_allocator_symbols(symbols + SYMBOL_COUNT), HP_SYMBOLS_NEXT);
    hp_next.malloc = (void *(*)(size_t))symbols[SYMBOL_MALLOC].address;
    hp_next.free = (void (*)(void *))symbols[SYMBOL_FREE].address;
    hp_next.calloc = (void *(*)(size_t, size_t))symbols[SYMBOL_CALLOC].address;
    hp_next.realloc = (void *(*)(void *, size_t))symbols[SYMBOL_REALLOC].address;
    hp_next.reallocarray = (void *(*)(void *, size_t, size_t))symbols[SYMBOL_REALLOCARRAY].address;
    hp_next.memalign = (void *(*)(size_t, size_t))symbols[SYMBOL_MEMALIGN].address;
    hp_next.aligned_alloc = (void *(*)(size_t, size_t))symbols[SYMBOL_ALIGNED_ALLOC].address;
    hp_next.posix_memalign = (int (*)(void **, size_t, size_t))symbols[SYMBOL_POSIX_MEMALIGN].address;
    hp_next.valloc = (void *(*)(size_t))symbols[SYMBOL_VALLOC].address;
    hp_next.pvalloc = (void *(*)(size_t))symbols[SYMBOL_PVALLOC].address;
    hp_next.malloc_usable_size = (size_t(*)(void *))same_object(symbols, SYMBOL_USABLE_SIZE);
    hp_next.free_sized = (void (*)(void *, size_t))same_object(symbols, SYMBOL_FREE_SIZED);
    hp_next.free_aligned_sized = (void (*)(void *, size_t, size_t))same_object(symbols, SYMBOL_FREE_ALIGNED_SIZED);
    hp_next.mallocx = (void *(*)(size_t, int))same_object(symbols, SYMBOL_MALLOCX);
    hp_next.rallocx = (void *(*)(void *, size_t, int))same_object(symbols, SYMBOL_RALLOCX);
    hp_next.xallocx = (size_t(*)(void *, size_t, size_t, int))same_object(symbols, SYMBOL_XALLOCX);
    hp_next.sallocx = (size_t(*)(const void *, int))same_object(symbols, SYMBOL_SALLOCX);
    hp_next.dallocx = (void (*)(void *, int))same_object(symbols, SYMBOL_DALLOCX);
    hp_next.sdallocx = (void (*)(void *, size_t, int))same_object(symbols, SYMBOL_SDALLOCX);
    hp_next.nallocx = (size_t(*)(size_t, int))same_object(symbols, SYMBOL_NALLOCX);
    hp_next.prctl =
        (int (*)(int, unsigned long, unsigned long, unsigned long, unsigned long))symbols[SYMBOL_PRCTL].address;
    hp_next.dlclose = (int (*)(void *))symbols[SYMBOL_DLCLOSE].address;
    hp_next.syscall = (long (*)(long, ...))symbols[SYMBOL_SYSCALL].address;
    hp_next.sigaction = (int (*)(int, const struct sigaction *, struct sigaction *))symbols[SYMBOL_SIGACTION].address;
    hp_next.signal = (void (*(*)(int, void (*)(int)))(int))symbols[SYMBOL_SIGNAL].address;
    hp_next.sysv_signal = (void (*(*)(int, void (*)(int)))(int))symbols[SYMBOL_SYSV_SIGNAL].address;
    hp_next.sigset = (void (*(*)(int, void (*)(int)))(int))symbols[SYMBOL_SIGSET].address;
    if (hp_hot.malloc == first_malloc)
        hp_next_set_hot(NULL);
    if (!hp_next.allocator)
        hp_next.allocator = hp_allocator_in(symbols[SYMBOL_MALLOC].object, symbols + SYMBOL_COUNT, hp_next.version,
                                            sizeof hp_next.version);
    hp_next.reallocarray_is_allocators =
        !hp_next.allocator->arrays_by_realloc && same_object(symbols, SYMBOL_REALLOCARRAY);
}

void hp_next_set_hot(const struct hp_hot *own)
{
    const struct hp_hot plain = {
        .malloc = hp_next.malloc, .calloc = hp_next.calloc, .realloc = hp_next.realloc, .free = hp_next.free};
    const struct hp_hot *wanted = own ? own : &plain;
    if (__atomic_load_n(&hp_hot.malloc, __ATOMIC_RELAXED) == wanted->malloc) /* all threads read it all the time */
        return;
    __atomic_store_n(&hp_hot.malloc, wanted->malloc, __ATOMIC_RELEASE);
    __atomic_store_n(&hp_hot.calloc, wanted->calloc, __ATOMIC_RELEASE);
    __atomic_store_n(&hp_hot.realloc, wanted->realloc, __ATOMIC_RELEASE);
    __atomic_store_n(&hp_hot.free, wanted->free, __ATOMIC_RELEASE);
}
