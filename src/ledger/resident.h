/* resident.h - where the resident set goes, from /proc/PID/smaps.
 *
 * No malloc, no stdio; async-signal-safe.
 *
 * Invariants
 *   rss = heap + anonymous + stacks + program + files + shared + own
 *   maybe <= anonymous
 */
#ifndef HP_LEDGER_RESIDENT_H
#define HP_LEDGER_RESIDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes resident, by what the mappings are. */
struct hp_resident {
    uint64_t known; /* 0: nothing is; no bool, which may have two values only, because others write it */
    uint64_t rss;
    uint64_t
        heap; /* what can be told for an allocator's by its place: [heap], glibc's other arenas, mimalloc's segments */
    uint64_t anonymous; /* the rest of what has no file: large blocks, jemalloc's memory, mmap, static data */
    uint64_t maybe;     /* of mappings like full arenas of glibc, which a program's own may be by chance */
    uint64_t heap_size, maybe_size; /* bytes mapped, resident or not */
    uint64_t stacks;
    uint64_t program; /* files of which a part is executable, and the kernel's own pages of code */
    uint64_t files;   /* others */
    uint64_t shared;  /* System V, POSIX, memfd, anonymous and shared */
    uint64_t own;     /* the ledger, the library */
    uint64_t swapped; /* not part of rss */
};

/* The last reading, for whoever writes the next profile, in the target or outside: reading takes the longest of all in
 * large processes, and holds up the target's own calls of mmap. Guarded by `version`, as struct hp_figures is. */
struct hp_resident_kept {
    uint32_t version, unused;
    uint64_t time_ns, cost_ns; /* CLOCK_MONOTONIC at its start, and how long it took; 0: there is none */
    uint64_t live;             /* bytes estimated to be live then */
    struct hp_resident resident;
};
/* True if a reading is there whose age at `now_ns` is less than this many times what it took, and than a second, and if
 * about as much is live as was then: it will be compared with figures of now. */
enum hp_resident_costs { HP_RESIDENT_NOW = 0, HP_RESIDENT_SOON = 20, HP_RESIDENT_HASTY = 500 };
bool hp_resident_recall(const struct hp_resident_kept *kept, uint64_t now_ns, uint64_t live,
                        enum hp_resident_costs costs, struct hp_resident *resident, uint64_t *age_ns);
/* Keep it, unless another thread or process is just keeping its own. */
void hp_resident_keep(struct hp_resident_kept *kept, uint64_t start_ns, uint64_t end_ns, uint64_t live,
                      const struct hp_resident *resident);

/* Two amounts of live memory that are near enough to compare figures of two moments: 1 MiB or 3 % apart at most. */
bool hp_resident_about(uint64_t live, uint64_t other);

struct hp_range {
    uint64_t start, limit;
};

/* What the mappings don't tell. */
struct hp_resident_hints {
    struct hp_range own[8]; /* memory of the profiler without a name */
    uint64_t ledger_inode;  /* 0: not known */
    uint64_t stack_size;    /* bytes of a thread's stack; 0: not known */
    int pagemap;            /* descriptor of /proc/PID/pagemap, or -1 */
};

/* Reads `smaps` (a descriptor) to its end. `buffer` is scratch. Not known: it can't be read. */
struct hp_resident hp_resident_read(int smaps, const struct hp_resident_hints *hints, char *buffer, size_t size);

/* Opens and reads what there is of that process; `process`: "self" or a number. Fills in stack_size and pagemap. */
struct hp_resident hp_resident_of(const char *process, int pid, struct hp_resident_hints *hints, char *buffer,
                                  size_t size);

/* /proc/PROCESS/FILE, to be read; -errno. */
int hp_proc_open(const char *process, const char *file);
/* Pages in memory of [start, limit), by /proc/PID/pagemap. `entries` is scratch. */
uint64_t hp_resident_pages(int pagemap, uint64_t start, uint64_t limit, uint64_t *entries, size_t count);

/* Move from `anonymous` to `heap` what glibc's arenas, of `size` bytes in all, need of `maybe`. */
void hp_resident_add_arenas(struct hp_resident *resident, uint64_t size);
/* ... and `bytes` that the allocator holds elsewhere, as far as that much is resident. */
void hp_resident_add_heap(struct hp_resident *resident, uint64_t bytes);

#endif
