/* symbolize.h - from (module, file offset) to functions, files, lines and inlined calls.
 *
 * Knows nothing of profiles. Uses elfutils for ELF and DWARF (separate debug files by build id and
 * .gnu_debuglink included) and libiberty for C++ and Rust names.
 *
 * Ownership: a symbolizer owns all strings that it returns; they live until hp_symbolizer_free. Not
 * thread-safe.
 */
#ifndef HP_SYMBOLIZE_SYMBOLIZE_H
#define HP_SYMBOLIZE_SYMBOLIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_symbolizer;

struct hp_symbol_options {
    const char *const *directories; /* --symbols=DIR: searched first, by file name and by build id */
    size_t directory_count;
};

struct hp_symbolizer *hp_symbolizer_new(const struct hp_symbol_options *options);
void hp_symbolizer_free(struct hp_symbolizer *symbolizer);

enum hp_module_status {
    HP_MODULE_OK,       /* has DWARF */
    HP_MODULE_SYMTAB,   /* no DWARF: names from .symtab, or .dynsym of a stripped file */
    HP_MODULE_MISSING,  /* the file is not there or is no ELF file */
    HP_MODULE_REPLACED, /* a file is there, but its build id differs: it is never used, and the
                         * right one is nowhere */
};

/* Open a module once: the file at `path`, or, when that is missing or of another build, one of this
 * build id in `directories` or /usr/lib/debug, or, with DEBUGINFOD_URLS set, from there. "
 * (deleted)" at the end of a path, as in /proc/PID/maps, is dropped if need be. Later calls with
 * the same path and build id return the same handle. build_id is lower-case hex or "" (then any
 * file at `path` is taken). Never NULL. */
struct hp_symbol_module *hp_symbolizer_module(struct hp_symbolizer *symbolizer, const char *path, const char *build_id);

/* A process that has the module mapped, so that its file is found also where no name leads to it from here: it was
 * deleted or replaced, lies in a memfd, or in the process's own mount namespace. */
struct hp_symbol_process {
    int pid;
    uint64_t start, limit; /* of one of the module's mappings */
};
/* The same with the file that `process` has, where the path has none or another one. Without a build id the file that
 * the process has comes first. */
struct hp_symbol_module *hp_symbolizer_live_module(struct hp_symbolizer *symbolizer, const char *path,
                                                   const char *build_id, const struct hp_symbol_process *process);
enum hp_module_status hp_symbol_module_status(const struct hp_symbol_module *module);

/* What tells builds apart where no build id does. */
struct hp_symbol_file {
    int has_build_id;
    int64_t changed_ns; /* Unix time; 0: it is kept elsewhere, as a copy */
};
/* Of a module that is there. */
struct hp_symbol_file hp_symbol_module_file(const struct hp_symbol_module *module);
/* Whether an executable mapping of `size` bytes at this offset can be of the file, by its program headers. */
int hp_symbol_module_fits(const struct hp_symbol_module *module, uint64_t offset, uint64_t size);

/* A frame with this file came from the debug information of a module that belongs to the reader or to root, as all of its
 * debug files do: others can't have made up the name. */
bool hp_symbolizer_names_source(const struct hp_symbolizer *symbolizer, const char *file);

struct hp_symbol_frame {
    const char *function;  /* demangled; C++ parameters as c++filt shows them; never NULL */
    const char *linkage;   /* as in the symbol table; "" if the same */
    const char *file;      /* absolute where the compilation directory is known; "" if unknown */
    uint32_t line;         /* of the call, 0 if unknown */
    uint32_t start_line;   /* of the function, 0 if unknown */
    uint64_t entry_offset; /* distance from the entry of the enclosing concrete function */
};

/* The frames of the code at `file_offset` (an offset in the file, as /proc/PID/maps counts; for a
 * call site: of the return address less one), innermost inlined call first, at most `most`. Returns
 * how many; 0 if nothing is known. */
size_t hp_symbolize(struct hp_symbol_module *module, uint64_t file_offset, struct hp_symbol_frame *frames, size_t most);

/* A function of the allocator itself: malloc and its family, operator new, std::allocator's and
 * Rust's alloc helpers, and the like. The site of an allocation is the first frame that is none of
 * these. `function` is demangled. */
int hp_is_allocator_function(const char *function);
/* The file of an allocator's library, whose code is the allocator's also where it has no names. */
int hp_is_allocator_module(const char *path);

#endif
