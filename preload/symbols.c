#include "symbols.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

struct tables {
    const ElfW(Sym) *symbols;
    const char *strings;
    const uint32_t *gnu_hash;
    const uint32_t *hash;
    const uint16_t *versions;
};

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

/* glibc turns most d_ptr into addresses when it loads an object, but not those of the vDSO. */
static const void *table_at(const struct dl_phdr_info *info, ElfW(Addr) pointer)
{
    return (const void *)(pointer < info->dlpi_addr ? pointer + info->dlpi_addr : pointer);
}

static bool read_tables(const struct dl_phdr_info *info, struct tables *tables)
{
    memset(tables, 0, sizeof *tables);
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *dynamic = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        for (; dynamic->d_tag != DT_NULL; dynamic++) {
            const void *table = table_at(info, dynamic->d_un.d_ptr);
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
    }
    return tables->symbols && tables->strings && (tables->gnu_hash || tables->hash);
}

static bool is_match(const struct tables *tables, uint32_t index, const char *name)
{
    const ElfW(Sym) *symbol = &tables->symbols[index];
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    if (symbol->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_GNU_IFUNC))
        return false;
    if (tables->versions && tables->versions[index] & 0x8000)
        return false; /* an old version, kept for old programs */
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

static uint32_t find_gnu(const struct tables *tables, const char *name, uint32_t hash)
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
        if ((other | 1) == (hash | 1) && is_match(tables, index, name))
            return index;
        if (other & 1)
            break;
    }
    return 0;
}

static uint32_t find_sysv(const struct tables *tables, const char *name)
{
    uint32_t bucket_count = tables->hash[0];
    const uint32_t *buckets = tables->hash + 2, *chain = buckets + bucket_count;
    uint32_t hash = 0;
    for (const char *p = name; *p; p++) {
        hash = (hash << 4) + (unsigned char)*p;
        hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
    }
    for (uint32_t index = bucket_count ? buckets[hash % bucket_count] : 0; index; index = chain[index])
        if (is_match(tables, index, name))
            return index;
    return 0;
}

struct search {
    struct hp_symbol *symbols;
    unsigned count;
    enum hp_symbol_scope scope;
    bool after_us;
};

static int search_object(struct dl_phdr_info *info, size_t size, void *state)
{
    struct search *search = state;
    struct tables tables;
    if (info->dlpi_addr == (ElfW(Addr))&__ehdr_start) {
        search->after_us = true;
        return 0;
    }
    if ((search->scope == HP_SYMBOLS_NEXT && !search->after_us) || !read_tables(info, &tables))
        return 0;
    for (unsigned i = 0; i < search->count; i++) {
        struct hp_symbol *wanted = &search->symbols[i];
        if (wanted->address)
            continue;
        uint32_t index = tables.gnu_hash ? find_gnu(&tables, wanted->name, wanted->hash)
                                         : find_sysv(&tables, wanted->name);
        if (!index)
            continue;
        const ElfW(Sym) *symbol = &tables.symbols[index];
        uintptr_t address = info->dlpi_addr + symbol->st_value;
        if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC)
            address = ((uintptr_t(*)(void))address)(); /* and the size is that of what chose it */
        else
            wanted->size = symbol->st_size;
        wanted->address = (void *)address;
        wanted->object = info->dlpi_addr;
    }
    return 0;
}

void hp_find_symbols(struct hp_symbol *symbols, unsigned count, enum hp_symbol_scope scope)
{
    struct search search = {.symbols = symbols, .count = count, .scope = HP_SYMBOLS_NEXT};
    for (unsigned i = 0; i < count; i++)
        symbols[i].hash = hash_gnu(symbols[i].name);
    dl_iterate_phdr(search_object, &search);
    if (scope == HP_SYMBOLS_ANY) {
        search.scope = HP_SYMBOLS_ANY;
        dl_iterate_phdr(search_object, &search);
    }
}
