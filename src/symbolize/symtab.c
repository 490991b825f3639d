#include "symbolize/internal.h"

#include <stdlib.h>
#include <string.h>

/* A symbol while the table is read. Of aliases that begin at one address the best is kept. */
struct candidate {
    const char *name;
    uint64_t address, size;
    uint64_t section_end;
    unsigned rank; /* the lower, the better */
};

/* malloc before __libc_malloc, read before __read (which is global while read is weak): what is not
 * local, then what does not begin with an underscore (mangled names don't count), then global. */
static unsigned rank_symbol(const char *name, const GElf_Sym *symbol)
{
    unsigned type = GELF_ST_TYPE(symbol->st_info), binding = GELF_ST_BIND(symbol->st_info);
    bool mangled = !strncmp(name, "_Z", 2) || !strncmp(name, "_R", 2);
    return (type == STT_NOTYPE) << 4 | (symbol->st_size == 0) << 3 | (binding == STB_LOCAL) << 2 |
           (name[0] == '_' && !mangled) << 1 | (binding != STB_GLOBAL);
}

static bool is_code(const GElf_Sym *symbol, const char *name)
{
    unsigned type = GELF_ST_TYPE(symbol->st_info);
    if (symbol->st_shndx == SHN_UNDEF || !name || !*name)
        return false;
    if (type == STT_FUNC || type == STT_GNU_IFUNC)
        return true;
    /* Labels of assembly; not those of compilers (.L...) or of ARM's mapping ($x). */
    return type == STT_NOTYPE && name[0] != '.' && name[0] != '$';
}

static int by_address(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    size_t x = strlen(a->name), y = strlen(b->name);
    if (x != y)
        return x < y ? -1 : 1;
    return strcmp(a->name, b->name);
}

static size_t read_candidates(struct hp_symbol_module *module, struct candidate *candidates, int count)
{
    size_t used = 0;
    for (int i = 1; i < count; i++) { /* 0 is no symbol */
        GElf_Sym symbol;
        GElf_Addr address;
        GElf_Word section_index;
        Elf *elf;
        Dwarf_Addr bias;
        const char *name =
            dwfl_module_getsym_info(module->dwfl_module, i, &symbol, &address, &section_index, &elf, &bias);
        GElf_Shdr section;
        if (!name || !is_code(&symbol, name) || section_index >= SHN_LORESERVE ||
            !gelf_getshdr(elf_getscn(elf, section_index), &section) || !(section.sh_flags & SHF_EXECINSTR))
            continue;
        address -= module->bias;
        uint64_t section_end = section.sh_addr + bias - module->bias + section.sh_size;
        candidates[used++] = (struct candidate){.name = name,
                                                .address = address,
                                                .size = symbol.st_size,
                                                .section_end = section_end,
                                                .rank = rank_symbol(name, &symbol)};
    }
    return used;
}

static const char *drop_version(struct hp_strings *strings, const char *name)
{
    const char *at = strchr(name + 1, '@');
    return at ? hp_strings_intern_bytes(strings, name, (size_t)(at - name)) : name;
}

static void read_symbols(struct hp_symbol_module *module)
{
    int count = dwfl_module_getsymtab(module->dwfl_module);
    if (count <= 1)
        return;
    struct candidate *candidates = hp_symbol_realloc(NULL, (size_t)count, sizeof *candidates);
    size_t used = read_candidates(module, candidates, count);
    if (used)
        qsort(candidates, used, sizeof *candidates, by_address);
    module->symbols = hp_symbol_realloc(NULL, used + 1, sizeof *module->symbols);
    for (size_t i = 0, next; i < used; i = next) {
        const struct candidate *best = &candidates[i];
        for (next = i + 1; next < used && candidates[next].address == best->address;)
            next++;
        uint64_t end = best->address + best->size;
        if (!best->size) {
            end = best->section_end;
            if (next < used && candidates[next].address < end)
                end = candidates[next].address;
        }
        module->symbols[module->symbol_count] =
            (struct symbol){.name = drop_version(&module->owner->strings, best->name), .address = best->address};
        hp_intervals_add(&module->symbol_ranges, best->address, end, (uint32_t)module->symbol_count++, 0);
    }
    free(candidates);
    hp_intervals_flatten(&module->symbol_ranges);
}

const struct symbol *hp_symtab_find(struct hp_symbol_module *module, uint64_t address)
{
    if (!module->symbols_read) {
        module->symbols_read = true;
        read_symbols(module);
    }
    const struct hp_interval *found = hp_intervals_find(&module->symbol_ranges, address);
    return found ? &module->symbols[found->value] : NULL;
}

void hp_symtab_free(struct hp_symbol_module *module)
{
    free(module->symbols);
    hp_intervals_free(&module->symbol_ranges);
}
