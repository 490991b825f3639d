#include "report/core/names.h"

#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"

static uint64_t hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h ^ h >> 29;
}

static void rehash(struct hp_names *names)
{
    free(names->slots);
    names->slot_count = names->slot_count ? names->slot_count * 2 : 256;
    names->slots = hp_alloc(names->slot_count, sizeof *names->slots);
    for (size_t i = 0; i < names->count; i++) {
        size_t slot = hash(names->names[i]) & (names->slot_count - 1);
        while (names->slots[slot])
            slot = (slot + 1) & (names->slot_count - 1);
        names->slots[slot] = (uint32_t)i + 1;
    }
}

uint32_t hp_names_add(struct hp_names *names, const char *name, bool *added)
{
    if (2 * names->count >= names->slot_count)
        rehash(names);
    if (added)
        *added = false;
    size_t slot = hash(name) & (names->slot_count - 1);
    for (; names->slots[slot]; slot = (slot + 1) & (names->slot_count - 1)) {
        uint32_t number = names->slots[slot] - 1;
        if (!strcmp(names->names[number], name))
            return number;
    }
    if (added)
        *added = true;
    names->names = hp_grow(names->names, &names->capacity, names->count + 1, sizeof *names->names);
    names->names[names->count] = hp_strdup(name);
    names->slots[slot] = (uint32_t)++names->count;
    return (uint32_t)names->count - 1;
}

uint32_t hp_names_find(const struct hp_names *names, const char *name)
{
    if (!names->slot_count)
        return HP_NO_NAME;
    size_t slot = hash(name) & (names->slot_count - 1);
    for (; names->slots[slot]; slot = (slot + 1) & (names->slot_count - 1))
        if (!strcmp(names->names[names->slots[slot] - 1], name))
            return names->slots[slot] - 1;
    return HP_NO_NAME;
}

void hp_names_free(struct hp_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
    free(names->slots);
    *names = (struct hp_names){0};
}
