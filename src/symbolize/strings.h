/* strings.h - the strings that a symbolizer owns: each text once, with its demangled form once.
 *
 * Equal strings are the same pointer; all live until hp_strings_free. Running out of memory ends
 * the process with a message: no caller could go on without names.
 */
#ifndef HP_SYMBOLIZE_STRINGS_H
#define HP_SYMBOLIZE_STRINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_string_block;

struct hp_string_slot {
    uint64_t hash;
    const char *text;      /* NULL: free slot */
    const char *demangled; /* NULL: not asked for yet; == text: not mangled */
};

/* Zero-filled is valid and empty. count <= capacity / 2; capacity is 0 or a power of two. */
struct hp_strings {
    struct hp_string_block *blocks;
    struct hp_string_slot *slots;
    size_t count, capacity;
};

/* realloc of count * size bytes, zeroes nothing, never NULL for a size above 0. */
void *hp_symbol_realloc(void *memory, size_t count, size_t size);
/* One element more fits: returns `items`, moved if need be. Doubles *capacity. */
void *hp_symbol_grow(void *items, size_t count, size_t *capacity, size_t size);

const char *hp_strings_intern(struct hp_strings *strings, const char *text);
bool hp_strings_has(const struct hp_strings *strings, const char *text);
const char *hp_strings_intern_bytes(struct hp_strings *strings, const char *data, size_t size);
/* The name as a person reads it: C++ with parameters, Rust without its hash; the interned `name`
 * itself when it is not mangled, or is malformed, or would be longer than 32 KiB. */
const char *hp_strings_demangle(struct hp_strings *strings, const char *name);
/* `path` made absolute with `directory` (may be NULL), without "//", "/./" and "x/../". Lexical, as
 * two units that spell one header in two ways must show one file. */
const char *hp_strings_path(struct hp_strings *strings, const char *directory, const char *path);
void hp_strings_free(struct hp_strings *strings);

#endif
