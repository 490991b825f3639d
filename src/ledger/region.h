/* region.h - the memory that a ledger stands in, in the target: a sparse file that other processes map, or private
 * memory where no file can be had. It is mapped chunk by chunk as it fills up, so that address space, locked memory and
 * limits of both see what is used.
 *
 * One region per process. Made before threads use it. No malloc, no stdio, no errno; async-signal-safe.
 */
#ifndef HP_LEDGER_REGION_H
#define HP_LEDGER_REGION_H

#include "ledger/ledger.h"

struct hp_region {
    struct hp_store store;
    bool shared;
    uint64_t inode;         /* of the file */
    char path[HP_PATH_MAX]; /* of the file; "" when private */
};

/* Make a region with room for `budget` bytes. `folder`: where the file goes; "auto": /dev/shm, or /tmp; "none":
 * private. Falls back to private memory, and to smaller budgets where limits of the process or the file system ask for
 * it. Returns 0, or -errno when not even that could be had. *file_error: why there is no file, 0 if there is. */
int hp_region_create(struct hp_region *region, const char *folder, uint64_t budget, uint32_t depth, uint64_t interval,
                     int *file_error);

/* Reserve memory for `bytes` of rows, and the first tables, now: for targets that may enter a seccomp filter soon. */
void hp_region_reserve_ahead(const struct hp_region *region, uint64_t bytes);
/* Make no system call any more: what does not fit into what was reserved is lost and counted. */
void hp_region_seal(void);
bool hp_region_is_sealed(void);

/* What tells its memory from the target's. own[0] is left to the caller. */
void hp_region_hints(const struct hp_region *region, struct hp_resident_hints *hints);

/* Unmap all of it; the file stays. Nobody may be at work in it. */
void hp_region_leave(struct hp_region *region);

/* Remove the file. The mapping stays: other threads may still be at work. */
void hp_region_remove(struct hp_region *region);

#endif
