/* allocators.h - what is particular to one allocator, as a descriptor: how it is recognised, and how its figures are
 * read.
 *
 * HeapAlloc, HeapInuse, HeapSys and the like (hp_figures in ledger.h) come in one of three ways, none of which may hold
 * up the target:
 *   ask    the allocator is asked, which takes its locks; who may be asked, when and from where is in figures.h
 *   load   plain loads of the allocator's own counters, at a sample
 *   walk   its heap is walked, for a bounded time, at a dump
 * An allocator that has none of them has its figures estimated.
 */
#ifndef HP_PRELOAD_ALLOCATORS_H
#define HP_PRELOAD_ALLOCATORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocators/symbols.h"
#include "ledger/ledger.h"

#define HP_ALLOCATOR_FUNCTIONS 2 /* looked up for one */

struct hp_allocator {
    const char *name; /* as profiles have it */
    /* The first is what no other has: the allocator is this one if the object with malloc has it. */
    const char *functions[HP_ALLOCATOR_FUNCTIONS];
    /* Called when the library starts, with their addresses (NULL: not there), to keep what it takes to ask. Puts the
     * version into `version` where that can be had at once, else "". */
    void (*recognised)(void *const addresses[HP_ALLOCATOR_FUNCTIONS], char *version, size_t size);
    bool arrays_by_realloc; /* its reallocarray calls realloc by that name, so comes by our hook */

    /* Each may be NULL. ask: the figures' sys stays 0 if the allocator knows nothing yet; `name` is its name in the
     * ledger, of `size` bytes, which the version may be added to. All signals are blocked. */
    void (*ask)(struct hp_figures *figures, char *name, size_t size);
    uint64_t first_ask_ns; /* after the start; 0: at once, as where the process leaves profiles by itself */
    /* Async-signal-safe. */
    void (*load)(struct hp_ledger *ledger);
    /* False: its heap is not understood, or there is no memory. Async-signal-safe. */
    bool (*walk)(const struct hp_store *store, int pid, uint64_t budget_ns, struct hp_figures *figures);
};

#define HP_ALLOCATOR(name) extern const struct hp_allocator hp_allocator_##name;
#include "allocators/list.h"
#undef HP_ALLOCATOR

/* For one look at all objects: the symbols of all allocators. Returns how many, at most HP_ALLOCATOR_SYMBOLS. */
#define HP_ALLOCATOR_SYMBOLS (16 * HP_ALLOCATOR_FUNCTIONS)
unsigned hp_allocator_symbols(struct hp_symbol *symbols);

/* The allocator that `object` has, by those symbols as found; one without functions if none is known. `text`, of `size`
 * bytes: its name and version. */
const struct hp_allocator *hp_allocator_in(uintptr_t object, const struct hp_symbol *symbols, char *text, size_t size);

#endif
