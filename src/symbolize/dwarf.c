#include "symbolize/internal.h"

#include <dwarf.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static int by_offset(const void *left, const void *right)
{
    const struct unit *a = left, *b = right;
    Dwarf_Off x = dwarf_dieoffset((Dwarf_Die *)&a->lines);
    Dwarf_Off y = dwarf_dieoffset((Dwarf_Die *)&b->lines);
    return (x > y) - (x < y);
}

/* Languages whose compilers give every function with external linkage a mangled name. */
static bool language_mangles(int language)
{
    switch (language) {
    case DW_LANG_C_plus_plus:
    case DW_LANG_C_plus_plus_03:
    case DW_LANG_C_plus_plus_11:
    case DW_LANG_C_plus_plus_14:
    case DW_LANG_ObjC_plus_plus:
    case DW_LANG_Rust:
    case DW_LANG_D:
        return true;
    default:
        return language == 0x2b || language == 0x3a; /* C++17 and C++20, numbered after DWARF 5 */
    }
}

static struct unit *open_unit(struct hp_symbol_module *module, const Dwarf_Die *root)
{
    struct unit key = {.lines = *root};
    struct unit **found = tfind(&key, &module->units_by_offset, by_offset);
    if (found)
        return *found;
    struct unit *unit = hp_symbol_realloc(NULL, 1, sizeof *unit);
    *unit = (struct unit){.lines = *root, .entries = *root, .directory = ""};
    Dwarf_Die split;
    uint8_t type;
    if (dwarf_cu_info(root->cu, NULL, &type, NULL, &split, NULL, NULL, NULL) == 0 && type == DW_UT_skeleton &&
        split.addr) {
        unit->entries = split;
        module->trusted = false; /* libdw opens .dwo files by itself: whose they are is not known */
    }
    Dwarf_Attribute attribute;
    const char *directory = NULL;
    if (dwarf_attr(&unit->lines, DW_AT_comp_dir, &attribute))
        directory = dwarf_formstring(&attribute);
    if (!directory && dwarf_attr(&unit->entries, DW_AT_comp_dir, &attribute))
        directory = dwarf_formstring(&attribute);
    if (directory)
        unit->directory = hp_strings_intern(&module->owner->strings, directory);
    unit->mangles = language_mangles(dwarf_srclang(&unit->entries));
    if (!tsearch(unit, &module->units_by_offset, by_offset)) {
        hp_unit_free(unit);
        return NULL;
    }
    return unit;
}

static void list_units(struct hp_symbol_module *module)
{
    Dwarf_CU *cu = NULL;
    Dwarf_Die root;
    while (dwarf_get_units(module->dwarf, cu, &cu, NULL, NULL, &root, NULL) == 0) {
        if (dwarf_tag(&root) != DW_TAG_compile_unit && dwarf_tag(&root) != DW_TAG_skeleton_unit)
            continue;
        size_t ranges = module->unit_ranges.count;
        hp_add_die_ranges(&module->unit_ranges, &root, (uint32_t)module->listed_unit_count, 0);
        if (module->unit_ranges.count == ranges)
            continue;
        module->listed_units = hp_symbol_grow(module->listed_units, module->listed_unit_count,
                                              &module->listed_unit_capacity, sizeof *module->listed_units);
        module->listed_units[module->listed_unit_count++] = dwarf_dieoffset(&root);
    }
    hp_intervals_flatten(&module->unit_ranges);
}

/* By .debug_aranges where the compiler wrote it, else by the ranges of all units. */
static struct unit *find_unit(struct hp_symbol_module *module, uint64_t address)
{
    Dwarf_Die root;
    if (!module->units_listed && dwarf_addrdie(module->dwarf, address, &root))
        return open_unit(module, &root);
    if (!module->units_listed) {
        module->units_listed = true;
        list_units(module);
    }
    const struct hp_interval *found = hp_intervals_find(&module->unit_ranges, address);
    if (!found || !dwarf_offdie(module->dwarf, module->listed_units[found->value], &root))
        return NULL;
    return open_unit(module, &root);
}

size_t hp_dwarf_frames(struct hp_symbol_module *module, uint64_t address, struct hp_symbol_frame *frames, size_t most)
{
    struct unit *unit = NULL;
    /* What libdwfl adds to the address in the file, less what it adds to that in the debug file. */
    uint64_t bias = module->bias - module->dwarf_bias;
    if (module->dwarf)
        unit = find_unit(module, address + bias);
    if (!unit)
        return 0;
    const char *file = "";
    uint32_t line = 0;
    Dwarf_Line *row = dwarf_getsrc_die(&unit->lines, address + bias);
    int number;
    if (row) {
        file = hp_unit_path(module, unit, dwarf_linesrc(row, NULL, NULL));
        line = dwarf_lineno(row, &number) == 0 && number > 0 ? (uint32_t)number : 0;
    }
    struct function *function = hp_unit_function(unit, address + bias);
    if (!function) {
        /* Assembly, or a unit with line tables only: the function is known to the symbol table at
         * best. */
        const struct symbol *symbol = hp_symtab_find(module, address);
        if (!row || !symbol || !most)
            return 0;
        const char *name = hp_strings_demangle(&module->owner->strings, symbol->name);
        const char *linkage = hp_strings_intern(&module->owner->strings, symbol->name);
        frames[0] = (struct hp_symbol_frame){.function = name,
                                             .linkage = name == linkage ? "" : linkage,
                                             .file = file,
                                             .line = line,
                                             .entry_offset = address - symbol->address};
        return 1;
    }
    uint64_t entry = function->entry;
    if (entry > address + bias) /* a part moved away, before the rest: count from its own start */
        entry = hp_intervals_find(&unit->ranges, address + bias)->low;
    size_t count = 0;
    uint32_t index = hp_function_node(unit, function, address + bias);
    for (; count < most; index = function->nodes[index].parent) {
        struct node *node = &function->nodes[index];
        hp_name_node(module, unit, node, index == 0, function->entry - bias);
        frames[count++] = (struct hp_symbol_frame){.function = node->function,
                                                   .linkage = node->linkage,
                                                   .file = *file ? file : node->file,
                                                   .line = line,
                                                   .start_line = node->start_line,
                                                   .entry_offset = address + bias - entry};
        if (index == 0)
            break;
        file = node->call_file;
        line = node->call_line;
    }
    return count;
}

static void free_unit(void *unit)
{
    hp_unit_free(unit);
}

void hp_dwarf_free(struct hp_symbol_module *module)
{
    tdestroy(module->units_by_offset, free_unit);
    hp_intervals_free(&module->unit_ranges);
    free(module->listed_units);
}
