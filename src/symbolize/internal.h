/* internal.h - how the files of the symbolizer hang together.
 *
 * Terms
 *   address   as in the ELF headers of the module's file (the file offset put through its PT_LOAD segments)
 *   unit      a compilation unit that has code
 *   function  a concrete (out-of-line) function, with the tree of the calls inlined into it
 *   node      a function or one inlined call in it: nodes[0] is the function itself, others have parents before them
 *
 * A unit is read when the first address in it is asked for: first the ranges of its functions, then the inlined calls
 * of each function that is hit. Line tables are libdw's, cached there.
 *
 * Files: module.c opens and finds segments, find.c finds files, live_file.c those of a process, dwarf.c units and
 * frames, functions.c the tables of a unit, node_names.c names of nodes, symtab.c the symbol table, allocator.c the
 * names that are the allocator's.
 */
#ifndef HP_SYMBOLIZE_INTERNAL_H
#define HP_SYMBOLIZE_INTERNAL_H

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <stdbool.h>

#include "symbolize/intervals.h"
#include "symbolize/strings.h"
#include "symbolize/symbolize.h"

struct hp_symbolizer {
    struct hp_strings strings;
    const char **directories; /* interned */
    size_t directory_count;
    struct hp_symbol_module **modules;
    size_t module_count, module_capacity;
    struct hp_strings named; /* files in the line tables of modules that are trusted */
};

struct node {
    Dwarf_Off die; /* in the file of the unit's entries */
    uint32_t parent;
    uint32_t call_line; /* 0 if unknown */
    bool named;         /* the fields below are filled in */
    const char *function, *linkage, *file, *call_file;
    uint32_t start_line;
};

struct function {
    Dwarf_Off die;
    uint64_t entry;
    bool expanded; /* nodes and calls are there */
    struct node *nodes;
    size_t node_count, node_capacity;
    struct hp_intervals calls; /* value: index of a node */
};

struct unit {
    Dwarf_Die lines;       /* the unit's entry in the main debug file: line table, compilation directory */
    Dwarf_Die entries;     /* the same, or the root of the split unit (.dwo) */
    const char *directory; /* "" if unknown */
    bool mangles;          /* its language has linkage names of its own */
    bool listed, listed_deep;
    struct function *functions;
    size_t function_count, function_capacity;
    struct hp_intervals ranges; /* value: index of a function */
};

struct symbol {
    const char *name; /* as in the table, without a version; libelf's memory */
    uint64_t address;
};

struct hp_symbol_module {
    struct hp_symbolizer *owner;
    const char *path, *build_id;
    int pid; /* of the process that it was opened for; 0: none */
    enum hp_module_status status;
    Dwfl *dwfl; /* NULL: missing or replaced */
    Dwfl_Module *dwfl_module;
    const char *file; /* that is used, may differ from path */
    bool file_is_own; /* not one that somebody keeps for it, whose time says nothing */
    struct hp_symbol_file about;
    bool has_debug_sections; /* in the file itself */
    bool debug_searched;
    bool trusted;                 /* it and its debug files are the reader's, or root's */
    GElf_Addr bias;               /* what libdwfl adds to addresses of the file */
    struct hp_intervals segments; /* file offsets; value: index of segment_addresses */
    uint64_t *segment_addresses;
    size_t segment_count;

    Dwarf *dwarf; /* NULL: none */
    Dwarf_Addr dwarf_bias;
    Dwarf *alternate; /* what dwz made common to several debug files, when libdwfl did not find it */
    Elf *alternate_elf;
    int alternate_file;
    void *units_by_offset; /* tsearch tree of struct unit */
    bool units_listed;
    struct hp_intervals unit_ranges; /* value: index of listed_units */
    Dwarf_Off *listed_units;
    size_t listed_unit_count, listed_unit_capacity;

    bool symbols_read;
    struct symbol *symbols;
    size_t symbol_count;
    struct hp_intervals symbol_ranges; /* value: index of symbols */
};

/* find.c. A regular ELF executable, shared library or debug file at `path`, of this build id
 * (lower-case hex) unless that is "". Returns a descriptor, -ENOENT when there is no such file, or
 * -ESTALE when its build id differs. */
int hp_find_open(const char *path, const char *build_id);
/* The open file belongs to the reader or to root, and not everybody may write to it. */
bool hp_find_is_trusted(int descriptor);
/* The module's own file in other places. Returns a descriptor and *found (interned), or -ENOENT. */
int hp_find_elsewhere(struct hp_symbolizer *symbolizer, const char *path, const char *build_id, const char **found);
/* live_file.c. The file that the process has mapped as `path`. Returns a descriptor and *found (interned), a name beside
 * which its debug file may be; or -ENOENT. */
int hp_live_file_open(struct hp_symbolizer *symbolizer, const char *path, const char *build_id,
                      const struct hp_symbol_process *process, const char **found);
/* debuginfod.c. A descriptor of the program or library with this build id, or -1. */
int hp_debuginfod_open(const char *build_id);
/* libdwfl's callback: --symbols first, then as it does itself (which asks debuginfod only if
 * DEBUGINFOD_URLS is set). */
int hp_find_debuginfo(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base, const char *file,
                      const char *link, GElf_Word crc, char **debug_file);
/* A file shared by several debug files (dwz) that libdwfl did not find, in --symbols. */
int hp_find_alternate(struct hp_symbolizer *symbolizer, const char *name, const void *id, size_t id_size);

/* dwarf.c. `address` is the module's. */
size_t hp_dwarf_frames(struct hp_symbol_module *module, uint64_t address, struct hp_symbol_frame *frames, size_t most);
void hp_dwarf_free(struct hp_symbol_module *module);

/* functions.c. NULL if no function of the unit is there. Addresses are those of the debug
 * information. */
struct function *hp_unit_function(struct unit *unit, uint64_t address);
uint32_t hp_function_node(struct unit *unit, struct function *function, uint64_t address);
void hp_unit_free(struct unit *unit);
void hp_add_die_ranges(struct hp_intervals *intervals, Dwarf_Die *die, uint32_t value, uint32_t depth);

/* node_names.c. Fill in the node's names; `entry` is the function's address in the module. */
void hp_name_node(struct hp_symbol_module *module, struct unit *unit, struct node *node, bool is_function,
                  uint64_t entry);
/* An interned absolute path where the directory is known; "" for NULL. */
const char *hp_unit_path(struct hp_symbol_module *module, const struct unit *unit, const char *path);

/* symtab.c. NULL if no symbol covers the address. */
const struct symbol *hp_symtab_find(struct hp_symbol_module *module, uint64_t address);
void hp_symtab_free(struct hp_symbol_module *module);

#endif
