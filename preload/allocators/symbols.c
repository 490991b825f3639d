#include "allocators/symbols.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>

struct tables {
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash;
    const uint32_t *hash;
    const uint16_t *versions;
};

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

/* Some loaders turn d_ptr into addresses when they load an object (glibc), others leave them (musl): seen in our own,
 * whose load address is larger than any offset in it. */
static bool loader_relocates(void)
{
    const ElfW(Dyn) *dynamic = _DYNAMIC;
    while (dynamic->d_tag != DT_NULL && dynamic->d_tag != DT_STRTAB)
        dynamic++;
    return dynamic->d_un.d_ptr >= (uintptr_t)&__ehdr_start;
}

/* The kernel's object is left as it is by all. */
static bool is_vdso(const struct link_map *map)
{
    const uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
    return vdso && map->l_addr == vdso;
}

static bool read_tables(const struct link_map *map, struct tables *tables)
{
    const ElfW(Addr) bias = loader_relocates() && !is_vdso(map) ? 0 : map->l_addr;
    memset(tables, 0, sizeof *tables);
    for (const ElfW(Dyn) *dynamic = map->l_ld; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        const void *table = (const void *)(bias + dynamic->d_un.d_ptr);
        switch (dynamic->d_tag) {
        case DT_SYMTAB:
            tables->symbols = table;
            break;
        case DT_STRTAB:
            tables->strings = table;
            break;
        case DT_GNU_HASH:
            tables->gnu_hash = table;
            break;
        case DT_HASH:
            tables->hash = table;
            break;
        case DT_VERSYM:
            tables->versions = table;
            break;
        }
    }
    return tables->symbols && tables->strings && (tables->gnu_hash || tables->hash);
}

/* `hidden`: also a version that only those get who ask for it by its name, as programs do that were linked with libc's
 * malloc: libc_malloc_debug.so has no other. Elsewhere these are old ones, kept for old programs, and stand beside the
 * usual one. */
static bool is_match(const struct tables *tables, uint32_t index, const char *name, bool hidden)
{
    const ElfW(Sym) *symbol = &tables->symbols[index];
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    if (symbol->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_GNU_IFUNC))
        return false;
    if (tables->versions && tables->versions[index] & 0x8000 && !hidden)
        return false;
    return !strcmp(tables->strings + symbol->st_name, name);
}

/* Formats: https://sourceware.org/legacy-ml/binutils/2006-10/msg00377.html (DT_GNU_HASH), System V ABI (DT_HASH). */
static uint32_t hash_gnu(const char *name)
{
    uint32_t hash = 5381;
    for (const char *p = name; *p; p++)
        hash = hash * 33 + (unsigned char)*p;
    return hash;
}

static uint32_t find_gnu(const struct tables *tables, const char *name, uint32_t hash, bool hidden)
{
    const uint32_t *header = tables->gnu_hash;
    uint32_t bucket_count = header[0], first = header[1], bloom_count = header[2], shift = header[3];
    const uint64_t *bloom = (const uint64_t *)(header + 4);
    const uint32_t *buckets = (const uint32_t *)(bloom + bloom_count);
    const uint32_t *chain = buckets + bucket_count;
    if (!bucket_count)
        return 0;
    uint64_t word = bloom[hash / 64 % bloom_count];
    if (!(word >> hash % 64 & word >> (hash >> shift) % 64 & 1))
        return 0;
    uint32_t index = buckets[hash % bucket_count];
    for (; index >= first; index++) {
        uint32_t other = chain[index - first];
        if ((other | 1) == (hash | 1) && is_match(tables, index, name, hidden))
            return index;
        if (other & 1)
            break;
    }
    return 0;
}

static uint32_t find_sysv(const struct tables *tables, const char *name, bool hidden)
{
    uint32_t bucket_count = tables->hash[0];
    const uint32_t *buckets = tables->hash + 2, *chain = buckets + bucket_count;
    uint32_t hash = 0;
    for (const char *p = name; *p; p++) {
        hash = (hash << 4) + (unsigned char)*p;
        hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
    }
    for (uint32_t index = bucket_count ? buckets[hash % bucket_count] : 0; index; index = chain[index])
        if (is_match(tables, index, name, hidden))
            return index;
    return 0;
}

static uint32_t find(const struct tables *tables, const struct hp_symbol *wanted, bool hidden)
{
    return tables->gnu_hash ? find_gnu(tables, wanted->name, wanted->hash, hidden)
                            : find_sysv(tables, wanted->name, hidden);
}

static void search_object(const struct link_map *map, struct hp_symbol *symbols, unsigned count)
{
    struct tables tables;
    if (!read_tables(map, &tables))
        return;
    for (unsigned i = 0; i < count; i++) {
        struct hp_symbol *wanted = &symbols[i];
        if (wanted->address)
            continue;
        uint32_t index = find(&tables, wanted, false);
        if (!index)
            index = find(&tables, wanted, true);
        if (!index)
            continue;
        const ElfW(Sym) *symbol = &tables.symbols[index];
        uintptr_t address = map->l_addr + symbol->st_value;
        if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC)
            address = ((uintptr_t(*)(void))address)(); /* and the size is that of what chose it */
        else
            wanted->size = symbol->st_size;
        wanted->address = (void *)address;
        wanted->object = map->l_addr;
    }
}

void hp_find_symbols(struct hp_symbol *symbols, unsigned count, enum hp_symbol_scope scope)
{
    const struct link_map *own = _r_debug.r_map;
    for (unsigned i = 0; i < count; i++)
        symbols[i].hash = hash_gnu(symbols[i].name);
    while (own && own->l_addr != (uintptr_t)&__ehdr_start)
        own = own->l_next;
    for (const struct link_map *map = own ? own->l_next : NULL; map; map = map->l_next)
        search_object(map, symbols, count);
    for (const struct link_map *map = scope == HP_SYMBOLS_ANY ? _r_debug.r_map : NULL; map && map != own;
         map = map->l_next)
        search_object(map, symbols, count);
}
