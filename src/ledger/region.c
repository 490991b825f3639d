#include "ledger/region.h"

#include <string.h>

#include "ledger/place.h"
#include "ledger/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define BUDGET_LEAST (1u << 20)

static bool sealed;

/* Unlike a plain touch, populating reports a full file system as an error. */
static int populate(struct hp_ledger *ledger, uint64_t offset, uint64_t size)
{
    return sealed ? -EPERM : hp_sys_madvise((char *)ledger + offset, size, MADV_POPULATE_WRITE);
}

static int file_in(struct hp_region *region, const char *folder)
{
    unsigned uid = hp_sys_getuid();
    int error = hp_place_folder(region->path, folder, uid);
    if (error < 0)
        return error;
    int pid = hp_sys_getpid();
    if (pid % 8 == 0) /* looking at many processes takes time; one start in eight is enough */
        hp_place_prune(region->path);
    region->process_start = hp_process_start(0);
    error = hp_place_ledger(region->path, folder, uid, pid, region->process_start);
    if (error < 0)
        return error;
    hp_sys_unlink(region->path); /* of the program that this process ran before exec */
    return hp_sys_open(region->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

/* Never more than a quarter of what the file system has left: /dev/shm is small in containers. */
static uint64_t affordable(const char *folder, uint64_t budget)
{
    struct statfs status = {0};
    if (hp_sys_statfs(folder, &status) < 0)
        return 0;
    uint64_t quarter = (uint64_t)status.f_bavail * (uint64_t)status.f_bsize / 4;
    return status.f_blocks && quarter < budget ? quarter : budget;
}

static uint64_t within_limit(int resource, uint64_t share, uint64_t budget)
{
    struct rlimit limit = {0};
    if (hp_sys_getrlimit(resource, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return budget;
    while (budget > BUDGET_LEAST && hp_ledger_layout(budget).size > limit.rlim_cur / share)
        budget /= 2;
    return hp_ledger_layout(budget).size > limit.rlim_cur / share ? 0 : budget;
}

static struct hp_ledger *map_file(int fd, uint64_t size, void *address)
{
    struct hp_ledger *ledger = NULL;
    if (hp_sys_ftruncate(fd, size) == 0)
        ledger = hp_sys_mmap(address, size, PROT_READ | PROT_WRITE, MAP_SHARED | (address ? MAP_FIXED : 0), fd);
    hp_sys_close(fd);
    return ledger;
}

static int create_shared(struct hp_region *region, const char *folder, uint64_t *budget, void *address)
{
    uint64_t most = within_limit(RLIMIT_FSIZE, 1, affordable(folder, *budget));
    if (most < BUDGET_LEAST)
        return -ENOSPC;
    int fd = file_in(region, folder);
    if (fd < 0) {
        region->path[0] = '\0';
        return fd;
    }
    uint64_t size = hp_ledger_layout(most).size;
    struct hp_ledger *ledger = map_file(fd, size, address);
    int error = ledger ? hp_sys_madvise(ledger, (size_t)hp_ledger_header_blocks() * HP_BLOCK, MADV_POPULATE_WRITE)
                       : -ENOMEM;
    if (error < 0) {
        hp_sys_unlink(region->path);
        region->path[0] = '\0';
        if (ledger && !address)
            hp_sys_munmap(ledger, size);
        return error;
    }
    region->ledger = ledger;
    region->shared = true;
    *budget = most;
    return 0;
}

static int create_private(struct hp_region *region, uint64_t budget, void *address)
{
    void *memory = hp_sys_mmap(address, hp_ledger_layout(budget).size, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (address ? MAP_FIXED : 0), -1);
    if (!memory)
        return -ENOMEM;
    region->ledger = memory;
    region->shared = false;
    region->path[0] = '\0';
    return 0;
}

/* With `address`, in place of the region that is there: a child's instead of its parent's. */
static int create_anywhere(struct hp_region *region, const char *folder, uint64_t *budget, void *address,
                           int *file_error)
{
    *file_error = -ENOENT;
    if (strcmp(folder, "none")) {
        if (strcmp(folder, "auto")) {
            *file_error = create_shared(region, folder, budget, address);
        } else {
            *file_error = create_shared(region, "/dev/shm", budget, address);
            if (*file_error < 0)
                *file_error = create_shared(region, "/tmp", budget, address);
        }
    }
    return *file_error < 0 ? create_private(region, *budget, address) : 0;
}

static void start_using(struct hp_region *region)
{
    hp_sys_madvise(region->ledger, region->ledger->layout.size, MADV_DONTDUMP);
    hp_ledger_set_reserve(region->shared ? populate : NULL);
}

int hp_region_create(struct hp_region *region, const char *folder, uint64_t budget, uint32_t depth, int *file_error)
{
    /* Address space is for the target; a sixteenth of what it is allowed is ours at the most. */
    budget = within_limit(RLIMIT_AS, 16, budget);
    if (!budget)
        return -ENOMEM;
    int error = create_anywhere(region, folder, &budget, NULL, file_error);
    if (error < 0)
        return error;
    hp_ledger_init(region->ledger, budget, depth);
    start_using(region);
    return 0;
}

void hp_region_seal(struct hp_region *region, uint64_t bytes)
{
    struct hp_ledger *ledger = region->ledger;
    if (!ledger || sealed)
        return;
    const struct hp_layout *layout = &ledger->layout;
    hp_ledger_reserve(ledger, layout->buckets[0].at, layout->buckets[0].count * sizeof(hp_offset));
    hp_ledger_reserve(ledger, layout->live[0].groups_at, layout->live[0].data_at - layout->live[0].groups_at);
    hp_ledger_reserve(ledger, layout->live[0].data_at,
                      layout->live[0].groups * HP_LIVE_SLOTS * sizeof(struct hp_live_data));
    hp_ledger_reserve(ledger, layout->modules_at, HP_MODULES / 8 * sizeof(struct hp_ledger_module));
    uint64_t left = layout->arena_limit - ledger->arena_next;
    hp_ledger_reserve(ledger, ledger->arena_next, bytes < left ? bytes : left);
    sealed = region->shared;
}

void hp_region_remove(struct hp_region *region)
{
    if (region->path[0])
        hp_sys_unlink(region->path);
    region->path[0] = '\0';
}

/* The copy: block_map as copied, arena_next, then the blocks. Other threads go on while it is made, so its order
 * matters: buckets and live objects stand before the arena in the region and are copied first, so that every record
 * they refer to is complete in the copy; arena_next is read last, so that no such record lies beyond it. */
struct copy {
    uint64_t block_map[HP_BLOCK_MAX / 64];
    uint64_t arena_next;
    char blocks[];
};

#define COPY_SLACK (64ull << 20) /* address space for what other threads reserve meanwhile */

void hp_region_fork_prepare(struct hp_region *region)
{
    struct hp_ledger *ledger = region->ledger;
    region->copy = NULL;
    if (!ledger || !region->shared)
        return;
    uint64_t room = __atomic_load_n(&ledger->reserved, __ATOMIC_RELAXED) + COPY_SLACK;
    region->copy_size = sizeof(struct copy) + room;
    struct copy *copy = hp_sys_mmap(NULL, region->copy_size, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!copy)
        return;
    uint64_t used = 0;
    for (uint64_t word = 0; word < (ledger->layout.size / HP_BLOCK + 63) / 64; word++) {
        uint64_t bits = __atomic_load_n(&ledger->block_map[word], __ATOMIC_ACQUIRE);
        for (; bits && used + HP_BLOCK <= room; bits &= bits - 1) {
            uint64_t bit = bits & -bits;
            uint64_t block = word * 64 + (uint64_t)__builtin_ctzll(bits);
            memcpy(copy->blocks + used, (char *)ledger + block * HP_BLOCK, HP_BLOCK);
            copy->block_map[word] |= bit;
            used += HP_BLOCK;
        }
    }
    copy->arena_next = __atomic_load_n(&ledger->arena_next, __ATOMIC_ACQUIRE);
    region->copy = copy;
}

void hp_region_fork_parent(struct hp_region *region)
{
    if (region->copy)
        hp_sys_munmap(region->copy, region->copy_size);
    region->copy = NULL;
}

static void unpack(struct hp_ledger *ledger, const struct copy *copy)
{
    uint64_t used = 0;
    for (uint64_t word = 0; word < HP_BLOCK_MAX / 64; word++) {
        for (uint64_t bits = copy->block_map[word]; bits; bits &= bits - 1) {
            uint64_t block = word * 64 + (uint64_t)__builtin_ctzll(bits);
            memcpy((char *)ledger + block * HP_BLOCK, copy->blocks + used, HP_BLOCK);
            used += HP_BLOCK;
        }
    }
    memcpy(ledger->block_map, copy->block_map, sizeof ledger->block_map);
    ledger->arena_next = copy->arena_next;
    ledger->reserved = used - (uint64_t)hp_ledger_header_blocks() * HP_BLOCK;
}

/* What the copy needs, reserved before it is written; private memory needs nothing. */
static int reserve_for(struct hp_region *region, const struct copy *copy)
{
    for (uint64_t word = 0; region->shared && word < HP_BLOCK_MAX / 64; word++) {
        for (uint64_t bits = copy->block_map[word]; bits; bits &= bits - 1) {
            uint64_t block = word * 64 + (uint64_t)__builtin_ctzll(bits);
            int error = populate(region->ledger, block * HP_BLOCK, HP_BLOCK);
            if (error < 0)
                return error;
        }
    }
    return 0;
}

/* From the parent's shared region to one with the copy's content, in the same place. */
static bool move_to_own(struct hp_region *region, const char *folder)
{
    struct hp_ledger *ledger = region->ledger;
    uint64_t budget = ledger->budget, wanted = budget;
    int file_error = 0;
    if (!region->copy) /* a fork without its handlers: of what the parent has by now */
        hp_region_fork_prepare(region);
    const struct copy *copy = region->copy;
    if (!copy || create_anywhere(region, folder, &wanted, ledger, &file_error) < 0)
        return false;
    /* A smaller region than the parent's (a file system that filled up) could not hold the copy. */
    if (region->shared && (wanted != budget || reserve_for(region, copy) < 0)) {
        hp_region_remove(region);
        if (create_private(region, budget, ledger) < 0)
            return false;
    }
    unpack(ledger, copy);
    hp_region_fork_parent(region);
    start_using(region);
    return true;
}

void hp_region_fork_child(struct hp_region *region, const char *folder)
{
    struct hp_ledger *ledger = region->ledger;
    if (!ledger)
        return;
    if (region->shared && !move_to_own(region, folder)) {
        hp_sys_munmap(ledger, ledger->layout.size); /* it is the parent's */
        region->ledger = NULL;
        return;
    }
    hp_ledger_settle(ledger);
}

