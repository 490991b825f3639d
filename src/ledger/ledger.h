/* ledger.h - all that the library knows, in one region laid out by offsets, so that any process can map it.
 *
 * Terms
 *   region   the mapping: shared with a file (or private, when none can be had), sparse, sized once
 *   block    HP_BLOCK bytes of the region; memory is reserved block by block before it is touched, so that a full file
 *            system or budget loses samples instead of raising SIGBUS
 *   frame    a code address as (module + 1) << 48 | return address - module base; module part 0: an absolute address
 *   stack    frames, innermost first, stored once (hash-consed), never changed once published
 *   class    sizes that are scaled alike: 16 to an octave, so that a class is at most 1/16 wide
 *   epoch    index of the sampling interval in force when an object was sampled
 *   entry    the counters of one (stack, class, epoch)
 *   live     sampled objects by address
 *
 * Invariants
 *   entry.alloc and entry.freed only grow, each by one 16-byte compare-and-swap, so objects and bytes never disagree;
 *   freed <= alloc as sets of objects: an object is counted in alloc before its address can be freed;
 *   a record is reachable from its bucket only when complete, and is never moved or removed;
 *   live objects of an entry = alloc - freed.
 *
 * Concurrency: no locks. Bucket heads are published by compare-and-swap (release) and read with acquire. A live slot
 * belongs to whoever turned its key from 0 to address|1 or from address to address|1; an address is inserted after the
 * allocator handed it out and taken before it goes back, so operations on one address never overlap.
 * A writer that dies anywhere leaves a ledger that can be read: at most its own last sample is missing.
 *
 * Everything here is async-signal-safe and free of malloc, stdio and errno.
 */
#ifndef HP_LEDGER_LEDGER_H
#define HP_LEDGER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/glibc_heap.h"
#include "ledger/resident.h"
#include "ledger/text.h"

#define HP_LEDGER_MAGIC 0x666f727070616568ull /* "heapprof" */
#define HP_LEDGER_VERSION 4u

#define HP_BLOCK 16384u
#define HP_BLOCK_MAX 131072u /* blocks in the largest region: 2 GiB */
#define HP_PATH_MAX 4096
#define HP_LIVE_SLOTS 7      /* keys in one cache line, beside the line's overflow count */
#define HP_LIVE_LEVELS 5
#define HP_LIVE_PROBES 4     /* groups that an address may be in, per level */
#define HP_BUCKET_LEVELS 3
#define HP_MODULES 2048
#define HP_MODULE_SEGMENTS 4
#define HP_EPOCHS 64
#define HP_THREADS 4096 /* whose tids are known: later threads take the places of the first ones */
#define HP_DEPTH_MAX 512

#define HP_FRAME_MODULE_SHIFT 48
#define HP_FRAME_OFFSET_MASK ((1ull << HP_FRAME_MODULE_SHIFT) - 1)

struct hp_pair {
    uint64_t objects, bytes;
} __attribute__((aligned(16)));

/* Offsets of records are in units of 16 bytes from the start of the region; 0 is none. */
typedef uint32_t hp_offset;

enum hp_record_kind { HP_RECORD_STACK = 1, HP_RECORD_ENTRY = 2 };

struct hp_record {
    hp_offset next; /* in its bucket */
    uint16_t kind;  /* enum hp_record_kind */
    uint16_t depth; /* of a stack: frames kept */
    uint64_t hash;
};

struct hp_stack {
    struct hp_record record;
    uint64_t frames[];
};

struct hp_entry {
    struct hp_record record;
    hp_offset stack;
    uint16_t size_class;
    uint16_t epoch;
    uint64_t unused;
    struct hp_pair alloc, freed;
};

/* One cache line. key: 0 empty, address | 1 being written or taken, address. */
struct hp_live_group {
    uint64_t keys[HP_LIVE_SLOTS];
    uint32_t overflow; /* addresses of this group that live in the groups after it */
    uint32_t unused;
};

/* Instead of a usable size in hp_live_data.plain: the address carries no mark, because nothing was marked then, or
 * although others are; it does, but the size is not known or too large. */
#define HP_PLAIN_NO_MARKS 0u
#define HP_PLAIN_UNMARKED 1u
#define HP_PLAIN_UNKNOWN UINT32_MAX

struct hp_live_data {
    uint64_t size;    /* bytes asked for */
    hp_offset entry;
    uint32_t time_ms; /* since the ledger's start */
    uint32_t thread;  /* number of the allocating thread, from 1 in the order of first samples */
    uint32_t plain; /* of an object whose address carries the alignment mark: the usable size (malloc_usable_size) that it
                     * would have without, which the target is told; or HP_PLAIN_* */
};

struct hp_live_level {
    uint64_t groups; /* a power of two */
    uint64_t groups_at, data_at; /* byte offsets in the region */
};

struct hp_bucket_level {
    uint64_t count; /* a power of two */
    uint64_t at;    /* byte offset: hp_offset[count] */
};

enum hp_module_state { HP_MODULE_FREE, HP_MODULE_BEING_WRITTEN, HP_MODULE_LOADED, HP_MODULE_UNLOADED };

struct hp_ledger_module {
    uint32_t state; /* enum hp_module_state; written last */
    uint32_t build_id_size;
    uint64_t base;             /* what is added to the file's virtual addresses */
    uint64_t start, limit;     /* its mappings */
    uint64_t key;              /* tells one load of it from another at the same place */
    uint64_t path_at;          /* byte offset of the NUL-terminated path */
    uint8_t build_id[32];
    uint32_t segment_count;
    uint32_t unused;
    struct hp_segment {        /* executable ones */
        uint64_t address;      /* virtual, base not added */
        uint64_t size, offset; /* bytes; offset in the file */
    } segments[HP_MODULE_SEGMENTS];
};

struct hp_ledger_thread {
    uint64_t number_and_tid; /* number (hp_live_data.thread) << 32 | the kernel's; 0: none */
};

/* Where HeapAlloc, HeapInuse and HeapSys come from. */
enum hp_figures_source {
    HP_FIGURES_NONE,
    HP_FIGURES_ESTIMATED, /* from the samples */
    HP_FIGURES_ASKED,     /* the allocator tells them */
    HP_FIGURES_WALKED,    /* counted in the heap itself */
    HP_FIGURES_SAMPLED,   /* ... in parts of it, and extrapolated */
};

/* Figures of the allocator, of one moment, guarded by `version` (odd while written; one writer at a time by
 * compare-and-swap). */
struct hp_figures {
    uint32_t version;
    uint32_t source;    /* enum hp_figures_source */
    uint64_t time_ns;   /* CLOCK_MONOTONIC */
    uint64_t alloc, inuse, sys; /* bytes */
    uint64_t released;          /* bytes; when not known: bytes in use outside of the arenas (mmapped chunks) */
    uint64_t metadata;          /* bytes that the allocator took for itself, beside sys (tcmalloc) or in it (jemalloc) */
    uint64_t lost;              /* bytes of a walk of which it is not known whether they are in use */
    uint64_t error;             /* half-width of the 95 % interval of inuse, in bytes */
    uint64_t live;              /* live_estimate at that moment: tells whether much has changed since */
    uint32_t metadata_in_idle;  /* 1: it counts as idle, sys - inuse */
    uint32_t released_known;    /* 0: the writer of the profile finds out how much of the arenas is resident */
};

/* What samples read of glibc's heap by plain loads: each field a word of its own, changed at any time. */
struct hp_heap_now {
    struct hp_glibc glibc;  /* its `arena` is written last */
    uint64_t sys, mapped;   /* bytes */
    uint64_t time_ns;       /* CLOCK_MONOTONIC; 0: not known */
};

struct hp_audit {
    uint64_t samples, lost, truncated, unmatched_frees;
    uint64_t own_ticks;
};

/* Where the parts of a region stand: byte offsets, fixed when it is made. */
struct hp_layout {
    uint64_t modules_at;
    uint64_t threads_at; /* thread `number` stands at (number - 1) % HP_THREADS */
    struct hp_bucket_level buckets[HP_BUCKET_LEVELS];
    struct hp_live_level live[HP_LIVE_LEVELS]; /* groups 0: the level is not there */
    uint64_t arena_at, arena_limit;
    uint64_t size;
};

struct hp_ledger {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size;
    uint64_t budget;   /* most bytes that may be reserved, with the header's */
    uint64_t reserved; /* bytes reserved, without the header's block(s) */

    int32_t pid;
    uint32_t uid;
    int32_t parent_pid;      /* of a forked child: whose ledger it started from; 0 otherwise */
    uint32_t closed;         /* 1: the process exited normally */
    uint64_t start_time_ns;  /* CLOCK_REALTIME */
    uint64_t start_clock_ns; /* CLOCK_MONOTONIC */
    uint64_t start_ticks;    /* hp_ticks() at that moment */
    uint64_t made_ticks;     /* when the ledger was made: hp_boot_ticks() */
    uint64_t pid_namespace;  /* inode of /proc/PID/ns/pid, in which pid counts; 0 if not known */

    uint32_t depth;
    uint32_t epoch;       /* index of the current interval */
    uint32_t epoch_count; /* intervals that were used */
    uint32_t armed_epoch; /* the last one that was not 0: what profiles are given in */
    uint64_t intervals[HP_EPOCHS];
    uint64_t wanted_interval; /* what the target takes over at its next sample; set from outside */

    struct hp_layout layout;
    uint32_t module_count;  /* slots handed out */
    uint32_t live_levels;   /* levels in use */
    uint32_t bucket_levels; /* levels in use */
    uint32_t entry_count, stack_count;
    uint32_t thread_count;
    uint64_t arena_next; /* byte offset of the first free byte of the arena */

    struct hp_audit audit;
    struct hp_figures figures;
    struct hp_heap_now heap;
    struct hp_resident_kept resident;
    uint64_t live_estimate; /* bytes, scaled; a running sum for triggers and `ps`, not for reports */
    uint32_t dump_sequence;
    uint32_t front_module;  /* + 1; 0: no front address */
    uint64_t front_offset;  /* of an address inside the library's malloc */

    char exe[HP_PATH_MAX];
    char program[64];   /* the name it was started by, which a link may make another than exe's */
    char allocator[64]; /* "glibc 2.36" */
    uint64_t block_map[HP_BLOCK_MAX / 64]; /* reserved blocks */
};

/* How to reserve [offset, offset + size) of the region before its first touch: 0 or -errno. NULL: nothing to do. */
typedef int hp_reserve_fn(struct hp_ledger *ledger, uint64_t offset, uint64_t size);

/* The region's layout for this budget (bytes). layout.size is address space, of which at most `budget` is ever
 * reserved. */
struct hp_layout hp_ledger_layout(uint64_t budget);
/* Make a ledger in a zero-filled region of that size, whose first hp_ledger_header_blocks() blocks are reserved. */
void hp_ledger_init(struct hp_ledger *ledger, uint64_t budget, uint32_t depth);
unsigned hp_ledger_header_blocks(void);
/* The process's way to reserve; process-wide, set before threads use the ledger. */
void hp_ledger_set_reserve(hp_reserve_fn *reserve);

/* Bytes of memory that the ledger takes. */
static inline uint64_t hp_ledger_own_bytes(const struct hp_ledger *ledger)
{
    return __atomic_load_n(&ledger->reserved, __ATOMIC_RELAXED) + (uint64_t)hp_ledger_header_blocks() * HP_BLOCK;
}

/* True if [offset, offset + size) may be touched, reserving it if need be and possible. */
bool hp_ledger_reserve(struct hp_ledger *ledger, uint64_t offset, uint64_t size);

static inline bool hp_ledger_is_reserved(const struct hp_ledger *ledger, uint64_t offset)
{
    uint64_t block = offset / HP_BLOCK;
    return __atomic_load_n(&ledger->block_map[block / 64], __ATOMIC_ACQUIRE) >> (block % 64) & 1;
}

static inline void *hp_ledger_at(const struct hp_ledger *ledger, hp_offset offset)
{
    return (char *)ledger + (uint64_t)offset * 16;
}

/* `size` bytes of the arena, 16-aligned, as a byte offset; 0 when there is no more. Never freed. */
uint64_t hp_ledger_allocate(struct hp_ledger *ledger, uint64_t size);

uint64_t hp_hash_frames(const uint64_t *frames, size_t depth);
/* The stack or entry with this content, made if need be; 0 when memory is out. */
hp_offset hp_ledger_find_stack(const struct hp_ledger *ledger, const uint64_t *frames, size_t depth, uint64_t hash);
hp_offset hp_ledger_add_stack(struct hp_ledger *ledger, const uint64_t *frames, size_t depth, uint64_t hash);
hp_offset hp_ledger_entry(struct hp_ledger *ledger, hp_offset stack, uint16_t size_class, uint16_t epoch);

void hp_ledger_set_thread(struct hp_ledger *ledger, uint32_t number, uint32_t tid);

void hp_pair_add(struct hp_pair *pair, uint64_t objects, uint64_t bytes);
/* A pair as it was at one moment, while writers go on. */
struct hp_pair hp_pair_read(const struct hp_pair *pair);

uint16_t hp_size_class(uint64_t size);

/* Where a live object stands. */
struct hp_live_ref {
    uint64_t *key;
    struct hp_live_data *data;
    uint32_t *overflow; /* of the home group when it lives elsewhere; otherwise NULL */
    uint64_t address;
};

/* Insert; false when memory is out. The address must not be there. */
bool hp_live_insert(struct hp_ledger *ledger, uint64_t address, const struct hp_live_data *data);
/* Find `address` and make it invisible; then finish with hp_live_drop or hp_live_restore. */
bool hp_live_take(struct hp_ledger *ledger, uint64_t address, struct hp_live_ref *ref);
void hp_live_drop(struct hp_live_ref *ref);
void hp_live_restore(struct hp_live_ref *ref);
/* Calls `visit` for each object; those that are being written or taken are passed over. */
void hp_live_each(const struct hp_ledger *ledger,
                  void (*visit)(void *state, uint64_t address, const struct hp_live_data *data), void *state);

/* After fork, in the child's own copy, with no other thread: slots that were being written or taken are emptied, and
 * each entry's counters are made to agree with the live objects. */
void hp_ledger_settle(struct hp_ledger *ledger);

/* Monotonic clock of the processor, for the self-audit: a few ns, no system call. */
static inline uint64_t hp_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#endif
}

/* The sampling interval of an epoch, and of the one in force, in bytes; 0: nothing is sampled, or there is no such epoch. */
static inline uint64_t hp_interval_at(const struct hp_ledger *ledger, uint32_t epoch)
{
    return epoch < HP_EPOCHS ? __atomic_load_n(&ledger->intervals[epoch], __ATOMIC_RELAXED) : 0;
}

static inline uint64_t hp_interval_now(const struct hp_ledger *ledger)
{
    return hp_interval_at(ledger, __atomic_load_n(&ledger->epoch, __ATOMIC_ACQUIRE));
}

/* Counters that threads go on adding to. */
static inline struct hp_audit hp_audit_read(const struct hp_ledger *ledger)
{
    const struct hp_audit *audit = &ledger->audit;
    return (struct hp_audit){.samples = __atomic_load_n(&audit->samples, __ATOMIC_RELAXED),
                             .lost = __atomic_load_n(&audit->lost, __ATOMIC_RELAXED),
                             .truncated = __atomic_load_n(&audit->truncated, __ATOMIC_RELAXED),
                             .unmatched_frees = __atomic_load_n(&audit->unmatched_frees, __ATOMIC_RELAXED),
                             .own_ticks = __atomic_load_n(&audit->own_ticks, __ATOMIC_RELAXED)};
}

#define hp_count(counter, n) ((void)__atomic_fetch_add((counter), (n), __ATOMIC_RELAXED))

#endif
