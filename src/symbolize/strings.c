#include "symbolize/strings.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE (64 * 1024)
#define DEMANGLED_MAX (32 * 1024)

struct hp_string_block {
    struct hp_string_block *next;
    size_t used, size;
    char data[];
};

void *hp_symbol_realloc(void *memory, size_t count, size_t size)
{
    void *result = reallocarray(memory, count, size);
    if (!result) {
        fprintf(stderr, "heapprof: out of memory while reading symbols\n");
        exit(1);
    }
    return result;
}

void *hp_symbol_grow(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? *capacity * 2 : 16;
    return hp_symbol_realloc(items, *capacity, size);
}

static char *reserve(struct hp_strings *strings, size_t size)
{
    struct hp_string_block *block = strings->blocks;
    if (!block || block->size - block->used < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        block = hp_symbol_realloc(NULL, 1, sizeof *block + room);
        *block = (struct hp_string_block){.next = strings->blocks, .size = room};
        strings->blocks = block;
    }
    char *result = block->data + block->used;
    block->used += size;
    return result;
}

static uint64_t hash_bytes(const char *data, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)data[i]) * 0x100000001b3;
    return hash ^ hash >> 29;
}

static void rehash(struct hp_strings *strings)
{
    size_t capacity = strings->capacity ? strings->capacity * 2 : 1024;
    struct hp_string_slot *slots = hp_symbol_realloc(NULL, capacity, sizeof *slots);
    memset(slots, 0, capacity * sizeof *slots);
    for (size_t i = 0; i < strings->capacity; i++) {
        const struct hp_string_slot *old = &strings->slots[i];
        if (!old->text)
            continue;
        size_t at = old->hash & (capacity - 1);
        while (slots[at].text)
            at = (at + 1) & (capacity - 1);
        slots[at] = *old;
    }
    free(strings->slots);
    strings->slots = slots;
    strings->capacity = capacity;
}

/* The text's slot, or the free one in which it belongs. */
static struct hp_string_slot *probe(const struct hp_strings *strings, uint64_t hash, const char *data, size_t size)
{
    for (size_t at = hash & (strings->capacity - 1);; at = (at + 1) & (strings->capacity - 1)) {
        struct hp_string_slot *slot = &strings->slots[at];
        if (!slot->text || (slot->hash == hash && !strncmp(slot->text, data, size) && !slot->text[size]))
            return slot;
    }
}

/* The slot stays valid until the next call. */
static struct hp_string_slot *find_slot(struct hp_strings *strings, const char *data, size_t size)
{
    if (strings->count >= strings->capacity / 2)
        rehash(strings);
    uint64_t hash = hash_bytes(data, size);
    struct hp_string_slot *slot = probe(strings, hash, data, size);
    if (slot->text)
        return slot;
    char *copy = reserve(strings, size + 1);
    memcpy(copy, data, size);
    copy[size] = '\0';
    *slot = (struct hp_string_slot){.hash = hash, .text = copy};
    strings->count++;
    return slot;
}

bool hp_strings_has(const struct hp_strings *strings, const char *text)
{
    size_t size = strlen(text);
    return strings->capacity && probe(strings, hash_bytes(text, size), text, size)->text;
}

const char *hp_strings_intern_bytes(struct hp_strings *strings, const char *data, size_t size)
{
    return find_slot(strings, data, strnlen(data, size))->text;
}

const char *hp_strings_intern(struct hp_strings *strings, const char *text)
{
    return find_slot(strings, text, strlen(text))->text;
}

struct demangled {
    jmp_buf too_long;
    size_t used;
    char text[DEMANGLED_MAX];
};

static void collect(const char *text, size_t size, void *state)
{
    struct demangled *demangled = state;
    if (size > sizeof demangled->text - demangled->used)
        longjmp(demangled->too_long, 1);
    memcpy(demangled->text + demangled->used, text, size);
    demangled->used += size;
}

/* A name of a hundred bytes can stand for gigabytes (each substitution doubles it), so the
 * demanglers are left as soon as their output is too long. They keep their state on the stack. */
static bool demangle(struct demangled *demangled, const char *name)
{
    const int flags = DMGL_PARAMS | DMGL_ANSI;
    if (setjmp(demangled->too_long))
        return false;
    demangled->used = 0;
    if (rust_demangle_callback(name, flags, collect, demangled))
        return true;
    demangled->used = 0;
    return cplus_demangle_v3_callback(name, flags, collect, demangled);
}

const char *hp_strings_demangle(struct hp_strings *strings, const char *name)
{
    struct hp_string_slot *slot = find_slot(strings, name, strlen(name));
    if (slot->demangled)
        return slot->demangled;
    const char *text = slot->text;
    slot->demangled = text;
    if (text[0] != '_')
        return text;
    struct demangled demangled;
    if (!demangle(&demangled, text) || !demangled.used)
        return text;
    const char *result = hp_strings_intern_bytes(strings, demangled.text, demangled.used);
    /* Interning may have moved the slot. */
    find_slot(strings, text, strlen(text))->demangled = result;
    return result;
}

const char *hp_strings_path(struct hp_strings *strings, const char *directory, const char *path)
{
    size_t prefix = *path == '/' || !directory ? 0 : strlen(directory);
    size_t size = prefix + 1 + strlen(path);
    char *whole = hp_symbol_realloc(NULL, 2, size + 1);
    char *clean = whole + size + 1;
    snprintf(whole, size + 1, "%.*s%s%s", (int)prefix, prefix ? directory : "", prefix ? "/" : "", path);
    bool absolute = whole[0] == '/';
    size_t used = 0;
    for (const char *part = whole; *part;) {
        size_t length = strcspn(part, "/");
        const char *next = part + length + (part[length] == '/');
        char *parent = memrchr(clean, '/', used);
        const char *last = parent ? parent + 1 : clean;
        bool last_is_name = used && !(clean + used - last == 2 && !memcmp(last, "..", 2));
        if (length == 2 && !memcmp(part, "..", 2) && (absolute || last_is_name)) {
            used = parent ? (size_t)(parent - clean) : 0;
        } else if (length && !(length == 1 && *part == '.')) {
            if (absolute || used)
                clean[used++] = '/';
            memcpy(clean + used, part, length);
            used += length;
        }
        part = next;
    }
    const char *result = hp_strings_intern_bytes(strings, clean, used);
    free(whole);
    return result;
}

void hp_strings_free(struct hp_strings *strings)
{
    for (struct hp_string_block *block = strings->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(strings->slots);
    *strings = (struct hp_strings){0};
}
