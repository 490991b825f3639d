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
    /* libdw joins the two itself, but for units that have no directory of their own; a relative
     * directory (as distributors map it) must not be put in front twice. */
    const char *directory = unit->directory[0] == '/' ? unit->directory : NULL;
    return path ? hp_strings_path(&module->owner->strings, directory, path) : "";
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

/* libdw's entries don't know their parents, so this walks through the unit down to `target`. Only
 * for functions that have no linkage name: those of anonymous namespaces, of local classes, and
 * static ones. */
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
        if (dwarf_attr(&walk.die, DW_AT_sibling, &attribute) && dwarf_formref_die(&attribute, &next))
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

static bool is_mangled(const char *name)
{
    return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

static const char *symbol_at(struct hp_symbol_module *module, uint64_t entry)
{
    const struct symbol *symbol = hp_symtab_find(module, entry);
    return symbol && symbol->address == entry ? symbol->name : NULL;
}

static void name_function(struct hp_symbol_module *module, struct unit *unit, struct node *node, Dwarf_Die *die,
                          bool is_function, uint64_t entry)
{
    struct hp_strings *strings = &module->owner->strings;
    const char *name = dwarf_diename(die);
    const char *linkage = string_attribute(die, DW_AT_linkage_name);
    if (!linkage)
        linkage = string_attribute(die, DW_AT_MIPS_linkage_name);
    const char *symbol = is_function ? symbol_at(module, entry) : NULL;
    bool has_name = name && *name;
    if ((!linkage || !*linkage) && symbol && (!has_name || (unit->mangles && is_mangled(symbol))))
        linkage = symbol;
    if (linkage && *linkage && (!has_name || is_mangled(linkage))) {
        node->linkage = hp_strings_intern(strings, linkage);
        node->function = hp_strings_demangle(strings, linkage);
        if (node->function == node->linkage)
            node->linkage = "";
    } else if (has_name) {
        bool plain = !unit->mangles || linkage || (symbol && !strcmp(symbol, name));
        /* Libraries define a function as __libc_read or __strdup, and callers know its alias. */
        if (plain && symbol && name[0] == '_' && symbol[0] != '_')
            name = symbol;
        node->function = plain ? hp_strings_intern(strings, name) : qualify(strings, *die, name);
    }
}

/* The file that DW_AT_decl_file or DW_AT_call_file counts, in the table of the unit that the
 * attribute is in (not dwarf_decl_file, which ends the process where a split unit has no table). */
static const char *file_attribute(struct hp_symbol_module *module, struct unit *unit, Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word index;
    Dwarf_Files *files;
    size_t count;
    Dwarf_Die root;
    if (!dwarf_attr_integrate(die, name, &attribute) || dwarf_formudata(&attribute, &index) != 0 ||
        dwarf_cu_info(attribute.cu, NULL, NULL, &root, NULL, NULL, NULL, NULL) != 0)
        return "";
    if (dwarf_getsrcfiles(&root, &files, &count) != 0 &&
        (root.cu != unit->entries.cu || dwarf_getsrcfiles(&unit->lines, &files, &count) != 0))
        return "";
    return index < count ? hp_unit_path(module, unit, dwarf_filesrc(files, index, NULL, NULL)) : "";
}

void hp_name_node(struct hp_symbol_module *module, struct unit *unit, struct node *node, bool is_function,
                  uint64_t entry)
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
    node->file = file_attribute(module, unit, &die, DW_AT_decl_file);
    if (!is_function)
        node->call_file = file_attribute(module, unit, &die, DW_AT_call_file);
}
