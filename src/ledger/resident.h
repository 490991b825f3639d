/* resident.h - where the resident set goes, from /proc/PID/smaps.
 *
 * No malloc, no stdio; async-signal-safe.
 *
 * Invariant
 *   rss = heap + anonymous + stacks + program + files + shared + own
 */
#ifndef HP_LEDGER_RESIDENT_H
#define HP_LEDGER_RESIDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes resident, by what the mappings are. */
struct hp_resident {
    bool known;
    uint64_t rss;
    uint64_t heap;      /* [heap], and mappings that start where glibc's other arenas do; see hp_resident_settle */
    uint64_t anonymous; /* the rest of what has no file: large blocks, other allocators, mmap, static data */
    uint64_t stacks;
    uint64_t program;   /* files of which a part is executable, and the kernel's own pages of code */
    uint64_t files;     /* others */
    uint64_t shared;    /* System V, POSIX, memfd, anonymous and shared */
    uint64_t own;       /* the ledger, the library */
    uint64_t swapped;   /* not part of rss */
};

struct hp_range {
    uint64_t start, limit;
};

/* What the mappings don't tell. */
struct hp_resident_hints {
    struct hp_range own[2];    /* memory of the profiler without a name */
    uint64_t ledger_inode;     /* 0: not known */
    uint64_t stack_size;       /* bytes of a thread's stack; 0: not known */
    int pagemap;               /* descriptor of /proc/PID/pagemap, or -1 */
};

/* Reads `smaps` (a descriptor) to its end. `buffer` is scratch. Not known: it can't be read. */
struct hp_resident hp_resident_read(int smaps, const struct hp_resident_hints *hints, char *buffer, size_t size);

/* Opens and reads what there is of that process; `process`: "self" or a number. Fills in stack_size and pagemap. */
struct hp_resident hp_resident_of(const char *process, int pid, struct hp_resident_hints *hints, char *buffer,
                                  size_t size);

/* Move to `heap` what of `anonymous` the allocator holds: `held` bytes, or, of an allocator that uses arenas (glibc), the
 * `held` ones outside of them; as far as they are resident. */
void hp_resident_settle(struct hp_resident *resident, uint64_t held, bool outside_arenas);

#endif
