/* region.h - the memory that a ledger stands in, in the target: a sparse file that other processes map, or private
 * memory where no file can be had.
 *
 * One region per process. Made before threads use it; hp_region_fork_* around fork. No malloc, no stdio, no errno.
 */
#ifndef HP_LEDGER_REGION_H
#define HP_LEDGER_REGION_H

#include "ledger/ledger.h"

struct hp_region {
    struct hp_ledger *ledger;
    bool shared;
    char path[HP_PATH_MAX]; /* of the file; "" when private */
};

/* Make a region with room for `budget` bytes. `folder`: where the file goes; "auto": /dev/shm, or /tmp; "none":
 * private. Falls back to private memory, and to smaller budgets where limits of the process or the file system ask for
 * it. Returns 0, or -errno when not even that could be had. *file_error: why there is no file, 0 if there is. */
int hp_region_create(struct hp_region *region, const char *folder, uint64_t budget, uint32_t depth, int *file_error);

/* Reserve `bytes` more of the arena and the first live level now, and make no further system call: for targets that
 * are about to enter a seccomp filter. What does not fit later is lost and counted. */
void hp_region_seal(struct hp_region *region, uint64_t bytes);

/* Around fork: prepare writes what is used into a file for the child and returns its descriptor, or -1; parent closes
 * it; the child maps it in the place of its parent's region, and closes it. Several threads may fork at once. `alone`: no
 * other thread was there to be caught in the middle of something. */
int hp_region_fork_prepare(const struct hp_region *region);
void hp_region_fork_parent(int file);
void hp_region_fork_child(struct hp_region *region, int file, bool alone);

/* Remove the file. The mapping stays: other threads may still be at work. */
void hp_region_remove(struct hp_region *region);

#endif
