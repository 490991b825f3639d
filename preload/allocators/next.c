#include "allocators/next.h"

#include <stddef.h>

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

/* An allocator's extensions only belong to it: a jemalloc further behind must not get a glibc pointer. */
enum owner { ANYBODY, ALLOCATOR };

/* Of the two whose objects are compared, where in the table they are. */
enum { MALLOC, REALLOCARRAY };

static const struct {
    const char *name;
    size_t place; /* in struct hp_next */
    enum owner owner;
} functions[] = {
    [MALLOC] = {"malloc", offsetof(struct hp_next, malloc), ANYBODY},
    [REALLOCARRAY] = {"reallocarray", offsetof(struct hp_next, reallocarray), ANYBODY},
    {"free", offsetof(struct hp_next, free), ANYBODY},
    {"calloc", offsetof(struct hp_next, calloc), ANYBODY},
    {"realloc", offsetof(struct hp_next, realloc), ANYBODY},
    {"memalign", offsetof(struct hp_next, memalign), ANYBODY},
    {"aligned_alloc", offsetof(struct hp_next, aligned_alloc), ANYBODY},
    {"posix_memalign", offsetof(struct hp_next, posix_memalign), ANYBODY},
    {"valloc", offsetof(struct hp_next, valloc), ANYBODY},
    {"pvalloc", offsetof(struct hp_next, pvalloc), ANYBODY},
    {"malloc_usable_size", offsetof(struct hp_next, malloc_usable_size), ALLOCATOR},
    {"free_sized", offsetof(struct hp_next, free_sized), ALLOCATOR},
    {"free_aligned_sized", offsetof(struct hp_next, free_aligned_sized), ALLOCATOR},
    {"mallocx", offsetof(struct hp_next, mallocx), ALLOCATOR},
    {"rallocx", offsetof(struct hp_next, rallocx), ALLOCATOR},
    {"xallocx", offsetof(struct hp_next, xallocx), ALLOCATOR},
    {"sallocx", offsetof(struct hp_next, sallocx), ALLOCATOR},
    {"dallocx", offsetof(struct hp_next, dallocx), ALLOCATOR},
    {"sdallocx", offsetof(struct hp_next, sdallocx), ALLOCATOR},
    {"nallocx", offsetof(struct hp_next, nallocx), ALLOCATOR},
    {"prctl", offsetof(struct hp_next, prctl), ANYBODY},
    {"dlclose", offsetof(struct hp_next, dlclose), ANYBODY},
    {"syscall", offsetof(struct hp_next, syscall), ANYBODY},
    {"sigaction", offsetof(struct hp_next, sigaction), ANYBODY},
    {"signal", offsetof(struct hp_next, signal), ANYBODY},
    {"__sysv_signal", offsetof(struct hp_next, sysv_signal), ANYBODY},
    {"sigset", offsetof(struct hp_next, sigset), ANYBODY},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

typedef uintptr_t __attribute__((may_alias)) any_function;

/* Other threads may be calling what is there, the same function or the stub that leads here: one store. */
static void set(size_t place, void *function)
{
    __atomic_store_n((any_function *)(void *)((char *)&hp_next + place), (uintptr_t)function, __ATOMIC_RELAXED);
}

void hp_next_resolve(void)
{
    struct hp_symbol symbols[FUNCTIONS + HP_ALLOCATOR_SYMBOLS];
    for (unsigned i = 0; i < FUNCTIONS; i++)
        symbols[i] = (struct hp_symbol){.name = functions[i].name};
    hp_find_symbols(symbols, FUNCTIONS + hp_allocator_symbols(symbols + FUNCTIONS), HP_SYMBOLS_NEXT);
    const uintptr_t object = symbols[MALLOC].object;
    for (unsigned i = 0; i < FUNCTIONS; i++)
        set(functions[i].place,
            functions[i].owner == ANYBODY || symbols[i].object == object ? symbols[i].address : NULL);
    if (hp_hot.malloc == first_malloc)
        hp_next_set_hot(NULL);
    if (!hp_next.allocator)
        hp_next.allocator = hp_allocator_in(object, symbols + FUNCTIONS, hp_next.version, sizeof hp_next.version);
    hp_next.reallocarray_is_allocators =
        !hp_next.allocator->arrays_by_realloc && symbols[REALLOCARRAY].object == object;
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
