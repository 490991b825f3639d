/* gperftools' tcmalloc (malloc_extension_c.h). It allocates while it tells. */
#include <string.h>

#include "allocators/allocators.h"

static int (*property)(const char *, size_t *);

static void recognised(void *const addresses[], char *version, size_t size)
{
    const char *(*tc_version)(int *, int *, const char **) = (const char *(*)(int *, int *, const char **))addresses[0];
    const char *text = tc_version(NULL, NULL, NULL);
    if (!strncmp(text, "gperftools ", 11))
        text += 11;
    if (strlen(text) < size)
        memcpy(version, text, strlen(text) + 1);
    property = (int (*)(const char *, size_t *))addresses[1];
}

static uint64_t value_of(const char *name)
{
    size_t value = 0;
    return property && property(name, &value) ? value : 0;
}

/* It knows nothing before its constructors have run. */
static void ask(struct hp_figures *figures, char *name, size_t size)
{
    uint64_t heap = value_of("generic.heap_size");
    uint64_t free_pages = value_of("tcmalloc.pageheap_free_bytes");
    uint64_t unmapped = value_of("tcmalloc.pageheap_unmapped_bytes");
    figures->alloc = value_of("generic.current_allocated_bytes");
    figures->inuse = heap > free_pages + unmapped ? heap - free_pages - unmapped : 0;
    figures->sys = heap;
    figures->released = unmapped;
    figures->released_known = 1;
    uint64_t physical = value_of("generic.total_physical_bytes"); /* heap less unmapped, and metadata */
    figures->metadata = physical > heap - unmapped ? physical - (heap - unmapped) : 0;
}

const struct hp_allocator hp_allocator_tcmalloc = {
    .name = "tcmalloc",
    .functions = {"tc_version", "MallocExtension_GetNumericProperty"},
    .recognised = recognised,
    .ask = ask,
};
