#include "symbolize/internal.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "symbolize/dies.h"

#define SCOPES_MAX 32
#define QUALIFIED_MAX 4096

const char *hp_unit_path(struct hp_symbol_module *module, const struct unit *unit, const char *path)
{
    return path ? hp_strings_path(&module->owner->strings, unit->directory, path) : "";
}

static const char *string_attribute(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    return dwarf_attr_integrate(die, name, &attribute) ? dwarf_formstring(&attribute) : NULL;
}

static bool is_scope(int tag)
{
    return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
           tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type || tag == DW_TAG_subprogram;
}

static void append(char *text, size_t *used, const char *part)
{
    int length = snprintf(text + *used, QUALIFIED_MAX - *used, "%s", part);
    *used += (size_t)length;
    if (*used >= QUALIFIED_MAX)
        *used = QUALIFIED_MAX - 1;
}

/* libdw's entries don't know their parents, so this walks through the unit down to `target`. Only for functions that
 * have no linkage name: those of anonymous namespaces, of local classes, and static ones. */
static const char *qualify(struct hp_strings *strings, Dwarf_Die target, const char *name)
{
    Dwarf_Die root;
    hp_die_origin(&target);
    if (!dwarf_diecu(&target, &root, NULL, NULL))
        return name;
    Dwarf_Off offset = dwarf_dieoffset(&target);
    Dwarf_Die *path = hp_symbol_realloc(NULL, HP_DIE_DEPTH_MAX + 1, sizeof *path);
    struct hp_die_walk walk;
    hp_die_walk_start(&walk, &root);
    bool into = true;
    while (hp_die_walk_next(&walk, into) && walk.offset < offset) {
        path[walk.depth] = walk.die;
        Dwarf_Attribute attribute;
        Dwarf_Die next;
        into = true;
        if (dwarf_attr(&walk.die, DW_AT_sibling, &attribute) &&
            dwarf_formref_die(&attribute, &next))
            into = dwarf_dieoffset(&next) > offset;
    }
    char text[QUALIFIED_MAX] = "";
    size_t used = 0;
    unsigned scopes = 0;
    for (unsigned depth = 1; walk.offset == offset && depth < walk.depth; depth++) {
        int tag = dwarf_tag(&path[depth]);
        if (!is_scope(tag) || ++scopes > SCOPES_MAX)
            continue;
        const char *scope = dwarf_diename(&path[depth]);
        if (!scope)
            scope = tag == DW_TAG_namespace ? "(anonymous namespace)" : "{unnamed type}";
        append(text, &used, scope);
        append(text, &used, "::");
    }
    free(path);
    append(text, &used, name);
    return hp_strings_intern(strings, text);
}

static void name_function(struct hp_symbol_module *module, struct unit *unit, struct node *node,
                          Dwarf_Die *die, bool is_function, uint64_t entry)
{
    struct hp_strings *strings = &module->owner->strings;
    const char *name = dwarf_diename(die);
    const char *linkage = string_attribute(die, DW_AT_linkage_name);
    if (!linkage)
        linkage = string_attribute(die, DW_AT_MIPS_linkage_name);
    if (!linkage && unit->mangles && is_function) {
        const struct symbol *symbol = hp_symtab_find(module, entry);
        if (symbol && symbol->address == entry && symbol->name[0] == '_' &&
            (symbol->name[1] == 'Z' || symbol->name[1] == 'R'))
            linkage = symbol->name;
    }
    if (linkage && *linkage) {
        node->linkage = hp_strings_intern(strings, linkage);
        node->function = hp_strings_demangle(strings, linkage);
        if (node->function == node->linkage && name && *name)
            node->function = hp_strings_intern(strings, name);
    } else if (name && *name) {
        node->function = unit->mangles ? qualify(strings, *die, name) : hp_strings_intern(strings, name);
        node->linkage = "";
    } else {
        const struct symbol *symbol = is_function ? hp_symtab_find(module, entry) : NULL;
        node->function = symbol ? hp_strings_demangle(strings, symbol->name) : "??";
        node->linkage = symbol ? hp_strings_intern(strings, symbol->name) : "";
    }
    if (node->linkage == node->function)
        node->linkage = "";
}

static const char *call_file(struct hp_symbol_module *module, struct unit *unit, Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    Dwarf_Word index;
    Dwarf_Files *files;
    size_t count;
    Dwarf_Die root;
    if (!dwarf_attr(die, DW_AT_call_file, &attribute) || dwarf_formudata(&attribute, &index) != 0 ||
        !dwarf_diecu(die, &root, NULL, NULL) || dwarf_getsrcfiles(&root, &files, &count) != 0 ||
        index >= count)
        return "";
    return hp_unit_path(module, unit, dwarf_filesrc(files, index, NULL, NULL));
}

void hp_name_node(struct hp_symbol_module *module, struct unit *unit, struct node *node,
                  bool is_function, uint64_t entry)
{
    if (node->named)
        return;
    node->named = true;
    node->function = "??";
    node->linkage = node->file = node->call_file = "";
    Dwarf_Die die;
    if (!dwarf_offdie(dwarf_cu_getdwarf(unit->entries.cu), node->die, &die))
        return;
    name_function(module, unit, node, &die, is_function, entry);
    int line;
    if (dwarf_decl_line(&die, &line) == 0 && line > 0)
        node->start_line = (uint32_t)line;
    node->file = hp_unit_path(module, unit, dwarf_decl_file(&die));
    if (!is_function)
        node->call_file = call_file(module, unit, &die);
}
