#include "allocators/allocators.h"

#include <string.h>

#define HP_ALLOCATOR(name) &hp_allocator_##name,
static const struct hp_allocator *const allocators[] = {
#include "allocators/list.h"
};
#undef HP_ALLOCATOR

enum { COUNT = sizeof allocators / sizeof *allocators };
_Static_assert(COUNT *HP_ALLOCATOR_FUNCTIONS <= HP_ALLOCATOR_SYMBOLS, "there is room for what is looked up");

static const struct hp_allocator unknown = {.name = "unknown"};

unsigned hp_allocator_symbols(struct hp_symbol *symbols)
{
    for (unsigned i = 0; i < COUNT * HP_ALLOCATOR_FUNCTIONS; i++) {
        const char *name = allocators[i / HP_ALLOCATOR_FUNCTIONS]->functions[i % HP_ALLOCATOR_FUNCTIONS];
        symbols[i] = (struct hp_symbol){.name = name ? name : ""};
    }
    return COUNT * HP_ALLOCATOR_FUNCTIONS;
}

static void join(char *text, size_t size, const char *name, const char *version)
{
    size_t length = strlen(name), more = strlen(version);
    if (length + more + 2 > size)
        more = 0;
    memcpy(text, name, length + 1);
    if (more) {
        text[length] = ' ';
        memcpy(text + length + 1, version, more + 1);
    }
}

const struct hp_allocator *hp_allocator_in(uintptr_t object, const struct hp_symbol *symbols, char *text, size_t size)
{
    for (unsigned i = 0; i < COUNT; i++, symbols += HP_ALLOCATOR_FUNCTIONS) {
        void *addresses[HP_ALLOCATOR_FUNCTIONS];
        char version[64] = "";
        if (!symbols[0].address || symbols[0].object != object)
            continue;
        for (unsigned j = 0; j < HP_ALLOCATOR_FUNCTIONS; j++)
            addresses[j] = symbols[j].address;
        allocators[i]->recognised(addresses, version, sizeof version);
        join(text, size, allocators[i]->name, version);
        return allocators[i];
    }
    join(text, size, unknown.name, "");
    return &unknown;
}
