/* glibc_heap.h - how much of glibc's heap is in use, read from its own structures without its locks or its help.
 *
 * Terms (malloc/malloc.c and malloc/arena.c of glibc)
 *   arena    struct malloc_state; main_arena lies in libc's data, the others at the start of a heap of their own;
 *            a ring
 *   heap     what an arena other than the main one takes from the system at once: at a multiple of 64 MiB, with a
 *            struct heap_info at its start; the main arena has the memory from mp_.sbrk_base to the end of its top
 *   chunk    a size and three flags, and the bytes; chunks lie side by side, and the last one of an arena is its top
 *   fast     freed, but kept in one of ten lists per arena, and marked as in use
 *   mapped   objects with a mapping of their own, which mp_.mmapped_mem counts
 *   lost     bytes between a chunk whose size made no sense, because it was changed while it was read, and the next
 *            place where a chunk is known to begin
 *
 * Invariants, as in mallinfo2 (which takes each arena's lock, and visits all free chunks)
 *   sys   = sum of system_mem over the arenas + mapped
 *   inuse = sys - free chunks - tops - fast; what threads keep in their tcache counts as in use
 *
 * Everything is read through a callback: a walk in the target reads /proc/self/mem, which fails where memory is gone
 * instead of faulting; a walk from outside process_vm_readv. No malloc, stdio or locks; async-signal-safe if the
 * callbacks are.
 */
#ifndef HP_LEDGER_GLIBC_HEAP_H
#define HP_LEDGER_GLIBC_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HP_GLIBC_ARENA_WORDS 275u /* of the largest struct malloc_state */
#define HP_GLIBC_COPY (256u << 10)
#define HP_GLIBC_RANGES 4096u

/* Where glibc's structures are. All zero: not known. May come from a ledger that is not trusted: what is wrong in it
 * leads to reads that fail, and to nonsense, but not astray. */
struct hp_glibc {
    uint32_t version;   /* 2036: glibc 2.36 */
    uint32_t fast_at;   /* of the lists of fast chunks in an arena, bytes */
    uint32_t system_at; /* of system_mem */
    uint32_t unused;
    uint64_t parameters; /* address of mp_ */
    uint64_t base;       /* mp_.sbrk_base */
    uint64_t arena;      /* address of main_arena; last, so that it can be written last */
};

/* 2036 of "2.36" or "glibc 2.36"; 0: it can't be read. */
uint32_t hp_glibc_version(const char *text);

/* Look for main_arena and mp_ in libc's writable data: `size` bytes at `data`, which are at `address` in the process
 * that they are of. Other threads may write them meanwhile. False: one of them is not there (glibc makes them as they
 * are needed: another time it may be), more than one place looks like it, or the version is not known. */
bool hp_glibc_find(struct hp_glibc *glibc, uint32_t version, const void *data, size_t size, uint64_t address);

/* sys and mapped by plain loads, in the process itself: arenas are never given back. */
void hp_glibc_load(const struct hp_glibc *glibc, uint64_t *sys, uint64_t *mapped);

/* The process's memory, and its live samples. */
struct hp_heap_source {
    /* Bytes read, fewer than `size` at the end of what can be read; 0 or below: nothing. */
    long (*read)(void *state, uint64_t address, void *to, size_t size);
    /* Addresses of live objects, ascending; asked for at most once, when they are needed. NULL: there are none. */
    size_t (*live)(void *state, const uint64_t **addresses);
    void *state;
};

struct hp_glibc_range {
    uint64_t start, limit; /* the first chunk, and what follows the last one: the top, or a fencepost */
    uint64_t end;          /* of the top; 0: it is not the arena's last range */
    bool main;
};

/* Working memory of a walk. Only what is used of it is touched. */
struct hp_glibc_scratch {
    uint64_t arena[HP_GLIBC_ARENA_WORDS];
    uint64_t link[512];
    struct hp_glibc_range ranges[HP_GLIBC_RANGES];
    uint8_t copy[HP_GLIBC_COPY] __attribute__((aligned(16)));
};

struct hp_glibc_figures {
    uint64_t sys, mapped, inuse; /* bytes */
    uint64_t lost;               /* bytes, of which it is not known whether they are in use: taken to be as the rest */
    uint64_t error;              /* half-width of the 95 % interval where inuse is extrapolated, else 0 */
    uint32_t arenas;
    bool sampled; /* time ran out: inuse is extrapolated from parts of the heap */
};

/* False: the structures make no sense. Takes at most `budget_ns` of CPU time, and a read and a request for live
 * addresses more; five times that where the thread waits. */
bool hp_glibc_walk(const struct hp_glibc *glibc, const struct hp_heap_source *source, uint64_t budget_ns,
                   struct hp_glibc_scratch *scratch, struct hp_glibc_figures *figures);

#endif
