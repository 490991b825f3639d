/* ledger.h - all that the library knows, laid out by offsets, so that any process can map it.
 *
 * Terms
 *   file     what the ledger stands in: shared and sparse (or private memory, when no file can be had). It has its full
 *            size from the start and takes memory as it fills up
 *   chunk    HP_CHUNK bytes of it, mapped into the target when first needed
 *   block    HP_BLOCK bytes of it; memory is reserved block by block before it is touched, so that a full file system
 *            or budget loses samples instead of raising SIGBUS
 *   store    a ledger as a process sees it: the header, where its chunks are, how blocks are reserved
 *   frame    a code address as (module + 1) << 48 | return address - module base; module part 0: an absolute address
 *   class    sizes that are scaled alike: 16 to an octave, so that a class is at most 1/16 wide
 *   row      the counters of one (kind, stack, class, interval, label), with the stack's frames, innermost first
 *   slot     the memory of a row; of a fixed size for ever, but of one row after the other
 *   dead     a row all of whose objects were freed
 *   fold     add a dead row's counters to the fold row of its innermost frame, and give its slot back
 *   live     sampled objects by address
 *
 * Invariants
 *   row.alloc and row.freed only grow while a row lives, each by one 16-byte compare-and-swap, so that objects and
 *   bytes never disagree;
 *   freed <= alloc as sets of objects: an object is counted in alloc before it is in the live table, and in freed
 *   after it left it; so a row that a live sample refers to is not dead, and is never folded;
 *   what was ever allocated and freed is the sum over all rows, before and after a fold.
 *
 * Concurrency: no locks but that of folding, which nobody waits for. Chain heads are published by compare-and-swap
 * (release) and read with acquire. Whether a row lives is decided by one word, alloc.objects: HP_ROW_DEAD, the slot's
 * generation, and the count. A sample is added by a compare-and-swap that expects the generation that was seen before
 * the row's key was compared, so one that meets a row that was folded meanwhile fails and looks for its row again.
 * Only who holds fold.lock unlinks rows. A row's `next` stays readable until its slot is used again; who strays into
 * another chain by it finds keys that don't match, and may at worst make a second row of one key, which readers add up.
 * A live slot belongs to whoever turned its key from 0 to address|1 or from address to address|1; an address is
 * inserted after the allocator handed it out and taken before it goes back, so operations on one address never overlap.
 * A writer that dies anywhere leaves a ledger that can be read: at most its own last sample is missing, and a fold that
 * was under way is told by its journal.
 *
 * Everything here is async-signal-safe and free of malloc, stdio and errno. Over 400 lines, because the layout is one
 * thing, which readers in other processes have to know whole.
 */
#ifndef HP_LEDGER_LEDGER_H
#define HP_LEDGER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/glibc_heap.h"
#include "ledger/resident.h"
#include "base/text_writer.h"

#define HP_LEDGER_MAGIC 0x666f727070616568ull /* "heapprof" */
#define HP_LEDGER_VERSION 4u

#define HP_INTERVAL_USUAL                                                                                              \
    (512u << 10) /* bytes a sample: where nobody says otherwise, or sampling is off and to be armed */

#define HP_CHUNK_SHIFT 18
#define HP_CHUNK (1ul << HP_CHUNK_SHIFT)
#define HP_CHUNKS 32768u /* in the largest ledger: 8 GiB of file, of which a part is ever reserved */
#define HP_BLOCK 65536u  /* no smaller than any processor's page */
#define HP_BLOCKS (HP_CHUNKS * (HP_CHUNK / HP_BLOCK))
#define HP_BUDGET_MOST (2ull << 30)
#define HP_PATH_MAX 4096
#define HP_LIVE_SLOTS 7 /* keys in one cache line, beside the line's overflow count */
#define HP_LIVE_LEVELS 8
#define HP_LIVE_PROBES 4 /* groups that an address may be in, per level */
#define HP_BUCKET_LEVELS 4
#define HP_MODULES 65535u  /* what the module part of a frame can tell */
#define HP_MODULE_PAGE 64u /* modules whose memory is had at once */
#define HP_MODULE_SEGMENTS 4
#define HP_THREADS 65536u /* with numbers of their own at one time */
#define HP_THREAD_PAGE 1024u
#define HP_DEPTH_MAX 512
#define HP_ROW_CLASSES 24

#define HP_FRAME_MODULE_SHIFT 48
#define HP_FRAME_OFFSET_MASK ((1ull << HP_FRAME_MODULE_SHIFT) - 1)

/* Changed as one, by two words at a time. */
struct hp_tally {
    uint64_t objects, bytes;
} __attribute__((aligned(16)));

/* Offsets of rows are in units of 16 bytes from the start of the file; 0 is none. */
typedef uint32_t hp_offset;

/* What a row counts. */
enum hp_kind { HP_KIND_HEAP };

/* alloc.objects of a row. */
#define HP_ROW_DEAD (1ull << 63)
#define HP_ROW_GENERATION_SHIFT 48
#define HP_ROW_COUNT_MASK ((1ull << HP_ROW_GENERATION_SHIFT) - 1)

/* What tells a row from others. */
struct hp_key {
    const uint64_t *frames; /* innermost first */
    uint64_t hash;          /* by hp_key_hash */
    uint64_t interval;      /* bytes, that its objects were sampled at */
    uint32_t label;         /* of a later version; 0 */
    uint16_t depth, size_class;
    uint8_t kind; /* enum hp_kind */
    bool folded;  /* a fold row: of an innermost frame (depth 1), or of all (depth 0) */
};

struct hp_ledger_row {
    hp_offset next; /* in its chain */
    uint16_t depth;
    uint8_t kind;
    uint8_t folded;
    uint64_t hash;
    struct hp_tally alloc; /* objects: HP_ROW_DEAD, generation, count */
    struct hp_tally freed;
    struct hp_tally peak, temporary; /* room for what a later version counts */
    uint64_t interval;
    uint32_t label;
    uint16_t size_class;
    uint8_t slot_class; /* of the slot; never changes */
    uint8_t hot;        /* 1: there was a sample since the clock of folding went by */
    uint64_t frames[];
};

/* One cache line. key: 0 empty, address | 1 being written or taken, address. */
struct hp_live_group {
    uint64_t keys[HP_LIVE_SLOTS];
    uint32_t overflow; /* addresses of this group that live in the groups after it */
    uint32_t unused;
};

struct hp_live_data {
    uint64_t size; /* bytes asked for */
    hp_offset row;
    uint32_t time_ms;  /* since the ledger's start */
    uint32_t thread;   /* number of the allocating thread, from 1; 0: not known */
    uint32_t label;    /* of a later version; 0 */
    uint64_t sequence; /* of a later version; 0 */
};

struct hp_live_level {
    uint64_t groups; /* a power of two; 0: not made yet */
    uint64_t at;     /* byte offset of the groups, and behind them of HP_LIVE_SLOTS arrays of data; 0: not made yet */
};

struct hp_bucket_level {
    uint64_t count; /* a power of two */
    uint64_t at;    /* byte offset of hp_offset[count]; 0: not made yet */
};

enum hp_module_state { HP_MODULE_FREE, HP_MODULE_BEING_WRITTEN, HP_MODULE_LOADED, HP_MODULE_UNLOADED };

struct hp_ledger_module {
    uint32_t state; /* enum hp_module_state; written last */
    uint32_t build_id_size;
    uint64_t base;         /* what is added to the file's virtual addresses */
    uint64_t start, limit; /* its mappings */
    uint64_t key;          /* tells one load of it from another at the same place */
    uint64_t path_at;      /* byte offset of the NUL-terminated path */
    uint8_t build_id[32];
    uint32_t segment_count;
    uint32_t unused;
    struct hp_segment {        /* executable ones */
        uint64_t address;      /* virtual, base not added */
        uint64_t size, offset; /* bytes; offset in the file */
    } segments[HP_MODULE_SEGMENTS];
};

/* A number is given to another thread when its thread is gone and nothing that it allocated is live. */
struct hp_ledger_thread {
    uint32_t tid;  /* the kernel's; 0: none */
    uint32_t live; /* samples */
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
    uint32_t source;            /* enum hp_figures_source */
    uint64_t time_ns;           /* CLOCK_MONOTONIC */
    uint64_t alloc, inuse, sys; /* bytes */
    uint64_t released;          /* bytes; when not known: bytes in use outside of the arenas (mmapped chunks) */
    uint64_t metadata;         /* bytes that the allocator took for itself, beside sys (tcmalloc) or in it (jemalloc) */
    uint64_t lost;             /* bytes of a walk of which it is not known whether they are in use */
    uint64_t error;            /* half-width of the 95 % interval of inuse, in bytes */
    uint64_t live;             /* live_estimate at that moment: tells whether much has changed since */
    uint32_t metadata_in_idle; /* 1: it counts as idle, sys - inuse */
    uint32_t released_known;   /* 0: the writer of the profile finds out how much of the arenas is resident */
};

/* What samples read of glibc's heap by plain loads: each field a word of its own, changed at any time. */
struct hp_heap_now {
    struct hp_glibc glibc; /* its `arena` is written last */
    uint64_t sys, mapped;  /* bytes */
    uint64_t time_ns;      /* CLOCK_MONOTONIC; 0: not known */
};

struct hp_audit {
    uint64_t samples, lost, truncated, unmatched_frees;
    uint64_t folded;         /* rows */
    uint64_t unnamed_frames; /* of modules that there was no room for */
    /* The library's own CPU time: of `calls` of the cold path `timed` were timed. */
    uint64_t calls, timed, timed_ns;
    uint64_t other_ns; /* the first call, which prepares much, and all dumps */
};

/* NONE; ADDING: `before` and the row's counters hold, instead of the fold row's own; ADDED: the fold row has the row's
 * counters, and the row does not count any more. */
enum hp_journal_state { HP_JOURNAL_NONE, HP_JOURNAL_ADDING, HP_JOURNAL_ADDED };

/* A fold under way. */
struct hp_journal {
    uint32_t state; /* enum hp_journal_state */
    hp_offset row, fold_row;
    uint32_t unused;
    struct hp_tally before_alloc, before_freed; /* of the fold row; alloc without DEAD and generation */
};

struct hp_folding {
    uint64_t lock;       /* 0: free; else tid << 32 | stack address / 16, as 32 bits, of who folds */
    uint64_t since_ms;   /* when it was taken, since the ledger's start */
    uint64_t hand;       /* chain that is looked at next */
    uint64_t count;      /* folds begun and ended: odd while one is under way */
    uint64_t rows;       /* fold rows of one frame */
    uint64_t fruitless;  /* looks since a row was folded last */
    uint64_t free_bytes; /* of the slots in free_slots */
    hp_offset spare;     /* a slot for a fold row, for when there is no memory at all; only who folds takes it */
    uint32_t unused;
    struct hp_journal journal;
    uint64_t free_slots[HP_ROW_CLASSES]; /* lists by `next`: tag << 32 | hp_offset */
};

struct hp_ledger {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size;
    uint64_t budget;   /* most bytes that may be reserved, with the header's; may be lowered */
    uint64_t size;     /* of the file */
    uint64_t reserved; /* bytes */
    uint64_t end;      /* byte offset of what was never handed out */

    int32_t pid;
    uint32_t uid;
    int32_t parent_pid;       /* of a forked child: whose live objects it started with; 0 otherwise */
    uint32_t closed;          /* 1: the process exited normally */
    int32_t signal;           /* that asks for a dump; 0: none */
    uint32_t signal_answered; /* 1: its handler was the library's when the library last saw it change */
    uint64_t start_time_ns;   /* CLOCK_REALTIME */
    uint64_t start_clock_ns;  /* CLOCK_MONOTONIC */
    uint64_t made_ticks;      /* when the ledger was made: hp_boot_ticks() */
    uint64_t pid_namespace;   /* inode of /proc/PID/ns/pid, in which pid counts; 0 if not known */

    uint32_t depth;
    uint64_t interval;        /* in force, bytes; 0: nothing is sampled */
    uint64_t armed_interval;  /* the last one that was not 0: what profiles are given in */
    uint64_t wanted_interval; /* what the target takes over at its next sample; set from outside */
    uint64_t cgroup_limit;    /* memory.max of the target's memory cgroup, bytes; 0: none, or not known */

    struct hp_bucket_level buckets[HP_BUCKET_LEVELS];
    struct hp_live_level live[HP_LIVE_LEVELS];
    uint64_t
        modules_at[(HP_MODULES + HP_MODULE_PAGE) / HP_MODULE_PAGE]; /* byte offsets of HP_MODULE_PAGE modules each */
    uint64_t threads_at[HP_THREADS / HP_THREAD_PAGE];               /* byte offsets of HP_THREAD_PAGE threads each */
    uint32_t module_count;                                          /* slots handed out */
    uint32_t thread_count;                                          /* numbers handed out */
    uint32_t thread_hand; /* number that is tried next when all were handed out */
    uint32_t row_count;   /* linked rows */
    uint64_t row_bytes;   /* of slots, free ones too */
    struct hp_folding fold;

    struct hp_audit audit;
    struct hp_figures figures;
    struct hp_heap_now heap;
    struct hp_resident_kept resident;
    uint64_t live_estimate; /* bytes, scaled; a running sum for triggers and `ps`, not for reports */
    uint64_t peak_generation, peak_bytes, peak_time_ns; /* room for what a later version keeps */
    uint32_t dump_sequence;
    uint32_t unused;

    char exe[HP_PATH_MAX];
    char program[64];                   /* the name it was started by, which a link may make another than exe's */
    char allocator[64];                 /* "glibc 2.36" */
    uint64_t block_map[HP_BLOCKS / 64]; /* reserved blocks */
};

/* Any of these may be NULL: then everything is mapped, or there is nothing to do. */
struct hp_store_ways {
    /* Reserve [offset, offset + size), whose chunks are mapped, before its first touch: 0 or -errno. */
    int (*reserve)(const struct hp_ledger *ledger, void *memory, uint64_t size);
    /* Map the chunk of this index, and maybe those after it: 0 or -errno. */
    int (*map)(uint64_t chunk);
    /* True if this thread of the process is gone. */
    bool (*is_gone)(uint32_t tid);
    /* Milliseconds since the ledger's start. */
    uint32_t (*now_ms)(const struct hp_ledger *ledger);
};

struct hp_store {
    struct hp_ledger *ledger;
    char **chunks; /* NULL: all of the ledger lies in one piece behind its header */
    struct hp_store_ways ways;
};

/* Of a byte offset whose block is reserved; no more than up to the end of its chunk. */
static inline void *hp_store_at(const struct hp_store *store, uint64_t offset)
{
    if (!store->chunks)
        return (char *)store->ledger + offset;
    return __atomic_load_n(&store->chunks[offset >> HP_CHUNK_SHIFT], __ATOMIC_ACQUIRE) + (offset & (HP_CHUNK - 1));
}

static inline struct hp_ledger_row *hp_row_at(const struct hp_store *store, hp_offset row)
{
    return hp_store_at(store, (uint64_t)row * 16);
}

/* Of a number below HP_MODULES; NULL: none near it was ever met. */
static inline struct hp_ledger_module *hp_module_at(const struct hp_store *store, uint32_t index)
{
    uint64_t page = __atomic_load_n(&store->ledger->modules_at[index / HP_MODULE_PAGE], __ATOMIC_ACQUIRE);
    return page ? (struct hp_ledger_module *)hp_store_at(store, page) + index % HP_MODULE_PAGE : NULL;
}

/* Of the file of a ledger with this budget (bytes): more than is ever reserved, because tables are sparse. */
uint64_t hp_ledger_size(uint64_t budget);
/* Of the header, as blocks that are reserved when the ledger is made. */
uint64_t hp_ledger_header_bytes(void);
/* Make a ledger in zero-filled memory, of which the header's bytes are reserved. False: not even the first tables fit.
 * */
bool hp_ledger_init(struct hp_store *store, uint64_t budget, uint32_t depth, uint64_t interval);

/* Bytes of memory that the ledger takes. */
static inline uint64_t hp_ledger_own_bytes(const struct hp_ledger *ledger)
{
    return __atomic_load_n(&ledger->reserved, __ATOMIC_RELAXED);
}

/* True if [offset, offset + size) may be touched, reserving and mapping it if need be and possible. */
bool hp_ledger_reserve(const struct hp_store *store, uint64_t offset, uint64_t size);

static inline bool hp_ledger_is_reserved(const struct hp_ledger *ledger, uint64_t offset)
{
    uint64_t block = offset / HP_BLOCK;
    return __atomic_load_n(&ledger->block_map[block / 64], __ATOMIC_ACQUIRE) >> (block % 64) & 1;
}

/* A byte offset of `size` bytes that were never used, 64-aligned; in one chunk, if they fit into one. Not reserved yet.
 * 0 when there is no more. */
uint64_t hp_ledger_take(const struct hp_store *store, uint64_t size);
/* Give back what was taken, and never used: only if nobody took any since. */
void hp_ledger_give_back(const struct hp_store *store, uint64_t at, uint64_t size);
/* ... and reserved. */
uint64_t hp_ledger_allocate(const struct hp_store *store, uint64_t size);

uint64_t hp_key_hash(const struct hp_key *key);
/* Frames that a slot of this class holds. */
unsigned hp_slot_depth(unsigned slot_class);

/* The row of this key, or 0. */
hp_offset hp_row_find(const struct hp_store *store, const struct hp_key *key);
/* Count an allocation of `size` bytes in the row of this key, which is made if need be; *truncated: there was only room
 * for fewer frames. The row, or 0 when memory is out. `here`: an address in the caller's stack frame, and `tid` its
 * thread, to tell who folds. */
hp_offset hp_row_count(const struct hp_store *store, const struct hp_key *key, uint64_t size, uint32_t tid,
                       const void *here, bool *truncated);

/* Objects and bytes of row.alloc, without what else is in it. */
static inline struct hp_tally hp_row_counted(struct hp_tally alloc)
{
    return (struct hp_tally){alloc.objects & HP_ROW_COUNT_MASK, alloc.bytes};
}

/* Look at `looks` rows, or some more chains without any, and fold those that are dead and were not hit lately. False:
 * somebody else is at it. (fold.c) */
bool hp_fold(const struct hp_store *store, unsigned looks, uint32_t tid, const void *here);
/* Wait while another thread folds, for the time of a few samples at the most. False: it is this thread, interrupted. */
bool hp_fold_wait(const struct hp_store *store, uint32_t tid);

/* A number for a thread of this kernel's number; 0: there is none left. */
uint32_t hp_thread_number(const struct hp_store *store, uint32_t tid);
/* Of a number, or NULL. */
struct hp_ledger_thread *hp_thread_of(const struct hp_store *store, uint32_t number);

void hp_tally_add(struct hp_tally *tally, uint64_t objects, uint64_t bytes);
/* True if it still was `expected`. */
bool hp_tally_swap(struct hp_tally *tally, struct hp_tally expected, struct hp_tally desired);
/* A tally as it was at one moment, while writers go on. */
struct hp_tally hp_tally_read(const struct hp_tally *tally);

uint16_t hp_size_class(uint64_t size);

/* Where a live object stands. */
struct hp_live_ref {
    uint64_t *key;
    struct hp_live_data *data;
    uint32_t *overflow; /* of the home group when it lives elsewhere; otherwise NULL */
    uint64_t address;
};

/* Insert; false when memory is out. The address must not be there. */
bool hp_live_insert(const struct hp_store *store, uint64_t address, const struct hp_live_data *data);
/* Find `address` and make it invisible; then finish with hp_live_drop or hp_live_restore. */
bool hp_live_take(const struct hp_store *store, uint64_t address, struct hp_live_ref *ref);
void hp_live_drop(struct hp_live_ref *ref);
void hp_live_restore(struct hp_live_ref *ref);
/* Calls `visit` for each object; those that are being written or taken are passed over. */
void hp_live_each(const struct hp_store *store,
                  void (*visit)(void *state, uint64_t address, const struct hp_live_data *data), void *state);

static inline uint64_t hp_interval_now(const struct hp_ledger *ledger)
{
    return __atomic_load_n(&ledger->interval, __ATOMIC_RELAXED);
}

/* Counters that threads go on adding to. */
struct hp_audit hp_audit_read(const struct hp_ledger *ledger);
/* CPU time that the library spent, estimated from the calls that were timed. */
uint64_t hp_audit_own_ns(const struct hp_audit *audit);

#define hp_count(counter, n) ((void)__atomic_fetch_add((counter), (n), __ATOMIC_RELAXED))

#endif
