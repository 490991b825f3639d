#include "allocators/next.h"

#include <errno.h>
#include <gnu/libc-version.h>
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
    SYMBOL_MALLCTL,
    SYMBOL_TCMALLOC,
    SYMBOL_TC_VERSION,
    SYMBOL_MI_VERSION,
    SYMBOL_GLIBC,
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
                                                "sigset",
                                                "mallctl",
                                                "MallocExtension_GetNumericProperty",
                                                "tc_version",
                                                "mi_version",
                                                "gnu_get_libc_version"};

static char version_text[64];

static void set_version(const char *name, const char *version)
{
    size_t length = strlen(name), more = strlen(version);
    if (length + more + 2 > sizeof version_text)
        more = 0;
    memcpy(version_text, name, length);
    if (more) {
        version_text[length] = ' ';
        memcpy(version_text + length + 1, version, more + 1);
    }
    hp_next.version = version_text;
}

static void set_mimalloc_version(const struct hp_symbol *symbol)
{
    char text[16] = "";
    int version = symbol->address ? ((int (*)(void))symbol->address)() : 0; /* 209: 2.0.9 */
    if (version > 0 && version < 1000) {
        const char digits[] = {(char)('0' + version / 100), '.', (char)('0' + version / 10 % 10), '.',
                               (char)('0' + version % 10),  '\0'};
        memcpy(text, digits, sizeof digits);
    }
    set_version("mimalloc", text);
}

/* The allocator is what the object that has malloc also has. */
static void identify(const struct hp_symbol *symbols)
{
    uintptr_t object = symbols[SYMBOL_MALLOC].object;
    if (symbols[SYMBOL_MALLCTL].address && symbols[SYMBOL_MALLCTL].object == object) {
        hp_next.allocator = HP_ALLOCATOR_JEMALLOC;
        hp_next.mallctl = (int (*)(const char *, void *, size_t *, void *, size_t))symbols[SYMBOL_MALLCTL].address;
        set_version("jemalloc", ""); /* to ask for more takes half a millisecond the first time: figures.c does */
    } else if (symbols[SYMBOL_TC_VERSION].address && symbols[SYMBOL_TC_VERSION].object == object) {
        const char *(*version)(int *, int *, const char **) =
            (const char *(*)(int *, int *, const char **))symbols[SYMBOL_TC_VERSION].address;
        const char *text = version(NULL, NULL, NULL);
        hp_next.allocator = HP_ALLOCATOR_TCMALLOC;
        hp_next.tcmalloc_property = (int (*)(const char *, size_t *))symbols[SYMBOL_TCMALLOC].address;
        set_version("tcmalloc", strncmp(text, "gperftools ", 11) ? text : text + 11);
    } else if (symbols[SYMBOL_MI_VERSION].address && symbols[SYMBOL_MI_VERSION].object == object) {
        hp_next.allocator = HP_ALLOCATOR_MIMALLOC;
        set_mimalloc_version(&symbols[SYMBOL_MI_VERSION]);
    } else if (symbols[SYMBOL_GLIBC].address && symbols[SYMBOL_GLIBC].object == object) {
        hp_next.allocator = HP_ALLOCATOR_GLIBC;
        set_version("glibc", gnu_get_libc_version());
    } else {
        hp_next.allocator = HP_ALLOCATOR_UNKNOWN;
        set_version("unknown", "");
    }
}

static void *same_object(const struct hp_symbol *symbols, unsigned index)
{
    /* An allocator's extensions only belong to it: a jemalloc further behind must not get a glibc pointer. */
    return symbols[index].object == symbols[SYMBOL_MALLOC].object ? symbols[index].address : NULL;
}

void hp_next_resolve(void)
{
    struct hp_symbol symbols[SYMBOL_COUNT];
    for (unsigned i = 0; i < SYMBOL_COUNT; i++)
        symbols[i] = (struct hp_symbol){.name = names[i]};
    hp_find_symbols(symbols, SYMBOL_COUNT, HP_SYMBOLS_NEXT);
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
        hp_next_set_exact(false);
    if (!hp_next.version)
        identify(symbols);
    hp_next.reallocarray_is_allocators =
        hp_next.allocator != HP_ALLOCATOR_GLIBC && same_object(symbols, SYMBOL_REALLOCARRAY);
}

void hp_next_set_exact(bool exact)
{
    const struct hp_hot plain = {
        .malloc = hp_next.malloc, .calloc = hp_next.calloc, .realloc = hp_next.realloc, .free = hp_next.free};
    const struct hp_hot *wanted = exact ? &hp_exact_hooks : &plain;
    if (__atomic_load_n(&hp_hot.malloc, __ATOMIC_RELAXED) == wanted->malloc) /* all threads read it all the time */
        return;
    __atomic_store_n(&hp_hot.malloc, wanted->malloc, __ATOMIC_RELEASE);
    __atomic_store_n(&hp_hot.calloc, wanted->calloc, __ATOMIC_RELEASE);
    __atomic_store_n(&hp_hot.realloc, wanted->realloc, __ATOMIC_RELEASE);
    __atomic_store_n(&hp_hot.free, wanted->free, __ATOMIC_RELEASE);
}
