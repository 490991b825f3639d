#include "symbolize/internal.h"

#include <dwarf.h>
#include <stdlib.h>

#include "symbolize/dies.h"

#define RANGES_MAX 65536 /* of one entry */
#define NODES_MAX (1u << 20)

void hp_add_die_ranges(struct hp_intervals *intervals, Dwarf_Die *die, uint32_t value, uint32_t depth)
{
    Dwarf_Addr base, low, high;
    ptrdiff_t at = 0;
    for (int i = 0; i < RANGES_MAX && (at = dwarf_ranges(die, at, &base, &low, &high)) > 0; i++)
        hp_intervals_add(intervals, low, high, value, depth);
}

static bool has_code(Dwarf_Die *die)
{
    return dwarf_hasattr(die, DW_AT_low_pc) || dwarf_hasattr(die, DW_AT_ranges);
}

static void add_function(struct unit *unit, Dwarf_Die *die, uint32_t depth)
{
    size_t ranges = unit->ranges.count;
    hp_add_die_ranges(&unit->ranges, die, (uint32_t)unit->function_count, depth);
    if (unit->ranges.count == ranges)
        return;
    Dwarf_Addr entry;
    if (dwarf_entrypc(die, &entry) != 0)
        entry = unit->ranges.items[ranges].low;
    unit->functions =
        hp_symbol_grow(unit->functions, unit->function_count, &unit->function_capacity, sizeof *unit->functions);
    unit->functions[unit->function_count++] = (struct function){.die = dwarf_dieoffset(die), .entry = entry};
}

/* Where concrete functions are: gcc and clang put them into the unit or into namespaces, rustc into
 * types too. */
static bool holds_functions(int tag, bool in_types)
{
    switch (tag) {
    case DW_TAG_compile_unit:
    case DW_TAG_namespace:
    case DW_TAG_module:
        return true;
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
    case DW_TAG_class_type:
        return in_types;
    default:
        return false;
    }
}

/* `deep`: also functions inside of functions (nested ones of GNU C, Ada, Pascal) and anywhere else.
 */
static void list_functions(struct unit *unit, bool deep)
{
    for (size_t i = 0; i < unit->function_count; i++) {
        free(unit->functions[i].nodes);
        hp_intervals_free(&unit->functions[i].calls);
    }
    unit->function_count = 0;
    hp_intervals_free(&unit->ranges);
    bool in_types = deep || dwarf_srclang(&unit->entries) == DW_LANG_Rust;
    struct hp_die_walk walk;
    hp_die_walk_start(&walk, &unit->entries);
    for (bool into = true; hp_die_walk_next(&walk, into);) {
        int tag = dwarf_tag(&walk.die);
        if (tag == DW_TAG_subprogram && has_code(&walk.die))
            add_function(unit, &walk.die, walk.depth);
        into = deep || holds_functions(tag, in_types);
    }
    hp_intervals_flatten(&unit->ranges);
}

struct function *hp_unit_function(struct unit *unit, uint64_t address)
{
    if (!unit->listed) {
        unit->listed = true;
        list_functions(unit, false);
    }
    const struct hp_interval *found = hp_intervals_find(&unit->ranges, address);
    if (!found && !unit->listed_deep) {
        unit->listed_deep = true;
        list_functions(unit, true);
        found = hp_intervals_find(&unit->ranges, address);
    }
    return found ? &unit->functions[found->value] : NULL;
}

static uint32_t add_node(struct function *function, Dwarf_Die *die, uint32_t parent)
{
    function->nodes =
        hp_symbol_grow(function->nodes, function->node_count, &function->node_capacity, sizeof *function->nodes);
    Dwarf_Word line = 0;
    Dwarf_Attribute attribute;
    if (dwarf_attr(die, DW_AT_call_line, &attribute) && dwarf_formudata(&attribute, &line) != 0)
        line = 0;
    function->nodes[function->node_count] =
        (struct node){.die = dwarf_dieoffset(die), .parent = parent, .call_line = (uint32_t)line};
    return (uint32_t)function->node_count++;
}

static void expand(struct unit *unit, struct function *function)
{
    Dwarf_Die root;
    if (!dwarf_offdie(dwarf_cu_getdwarf(unit->entries.cu), function->die, &root))
        root = unit->entries; /* cannot be: the offset came from libdw */
    uint32_t *parents = hp_symbol_realloc(NULL, HP_DIE_DEPTH_MAX + 1, sizeof *parents);
    parents[0] = add_node(function, &root, 0);
    hp_add_die_ranges(&function->calls, &root, 0, 0);
    struct hp_die_walk walk;
    hp_die_walk_start(&walk, &root);
    for (bool into = true; hp_die_walk_next(&walk, into);) {
        uint32_t parent = parents[walk.depth - 1];
        int tag = dwarf_tag(&walk.die);
        into = tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
               tag == DW_TAG_catch_block;
        if (tag == DW_TAG_inlined_subroutine && function->node_count < NODES_MAX) {
            parent = add_node(function, &walk.die, parent);
            hp_add_die_ranges(&function->calls, &walk.die, parent, walk.depth);
        }
        parents[walk.depth] = parent;
    }
    free(parents);
    hp_intervals_flatten(&function->calls);
}

uint32_t hp_function_node(struct unit *unit, struct function *function, uint64_t address)
{
    if (!function->expanded) {
        function->expanded = true;
        expand(unit, function);
    }
    const struct hp_interval *found = hp_intervals_find(&function->calls, address);
    return found ? found->value : 0;
}

void hp_unit_free(struct unit *unit)
{
    for (size_t i = 0; i < unit->function_count; i++) {
        free(unit->functions[i].nodes);
        hp_intervals_free(&unit->functions[i].calls);
    }
    free(unit->functions);
    hp_intervals_free(&unit->ranges);
    free(unit);
}
