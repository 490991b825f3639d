/* symbols.h - find functions of the libraries that come after ours, without dlsym.
 *
 * dlsym allocates (through our own hooks) when it fails, and leaves its error to the target's dlerror();
 * dl_iterate_phdr takes a lock of the loader, and may be the target's own, with a cache on the heap. This reads the
 * dynamic symbol tables of the objects on the loader's list for debuggers (_r_debug, link.h). Not for a moment at which
 * another thread may unload an object: called when the library starts, and at the first use of a C++ operator that came
 * later.
 */
#ifndef HP_PRELOAD_SYMBOLS_H
#define HP_PRELOAD_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

enum hp_symbol_scope {
    HP_SYMBOLS_NEXT, /* objects after this library in the order of loading, which is the order of lookup */
    HP_SYMBOLS_ANY,  /* then, all others but this library: a libstdc++ that came with a plugin, for example */
};

/* What to look up; `address`, `object` (load address of the object that has it) and `size` are filled in, NULL and 0 if
 * it is nowhere. */
struct hp_symbol {
    const char *name;
    void *address;
    uintptr_t object;
    size_t size;   /* in bytes; 0: not known */
    uint32_t hash; /* of the name, as DT_GNU_HASH has it; filled in as well */
};

/* Look all of them up in one pass over the objects; those already found are left alone. */
void hp_find_symbols(struct hp_symbol *symbols, unsigned count, enum hp_symbol_scope scope);

#endif
