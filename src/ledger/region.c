#include "ledger/region.h"

#include <stddef.h>
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

static struct hp_ledger *map_file(int fd, uint64_t size)
{
    struct hp_ledger *ledger = NULL;
    if (hp_sys_ftruncate(fd, size) == 0)
        ledger = hp_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    hp_sys_close(fd);
    return ledger;
}

static int create_shared(struct hp_region *region, const char *folder, uint64_t *budget)
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
    struct hp_ledger *ledger = map_file(fd, size);
    int error = ledger ? hp_sys_madvise(ledger, (size_t)hp_ledger_header_blocks() * HP_BLOCK, MADV_POPULATE_WRITE)
                       : -ENOMEM;
    if (error < 0) {
        hp_sys_unlink(region->path);
        region->path[0] = '\0';
        if (ledger)
            hp_sys_munmap(ledger, size);
        return error;
    }
    region->ledger = ledger;
    region->shared = true;
    *budget = most;
    return 0;
}

static int create_private(struct hp_region *region, uint64_t budget)
{
    void *memory = hp_sys_mmap(NULL, hp_ledger_layout(budget).size, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!memory)
        return -ENOMEM;
    region->ledger = memory;
    region->shared = false;
    region->path[0] = '\0';
    return 0;
}

static int create_anywhere(struct hp_region *region, const char *folder, uint64_t *budget, int *file_error)
{
    *file_error = -ENOENT;
    if (strcmp(folder, "none")) {
        if (strcmp(folder, "auto")) {
            *file_error = create_shared(region, folder, budget);
        } else {
            *file_error = create_shared(region, "/dev/shm", budget);
            if (*file_error < 0)
                *file_error = create_shared(region, "/tmp", budget);
        }
    }
    return *file_error < 0 ? create_private(region, *budget) : 0;
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
    int error = create_anywhere(region, folder, &budget, file_error);
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

static int write_at(int fd, const void *data, size_t size, uint64_t offset)
{
    long n = hp_sys_pwrite(fd, data, size, offset);
    return n == (long)size ? 0 : n < 0 ? (int)n : -ENOSPC;
}

/* Write what is used into the child's file. Other threads go on meanwhile, so the order matters: buckets and live
 * objects stand before the arena and are written first, so that every record they refer to is complete in the copy;
 * arena_next is read last, so that no such record lies beyond it. */
static int write_copy(const struct hp_ledger *ledger, int fd)
{
    uint64_t reserved = 0;
    int error = 0;
    for (uint64_t word = 0; word < (ledger->layout.size / HP_BLOCK + 63) / 64 && !error; word++) {
        uint64_t copied = __atomic_load_n(&ledger->block_map[word], __ATOMIC_ACQUIRE);
        for (uint64_t bits = copied; bits && !error;) {
            uint64_t first = (uint64_t)__builtin_ctzll(bits), beyond = ~(bits >> first);
            uint64_t run = beyond ? (uint64_t)__builtin_ctzll(beyond) : 64 - first; /* blocks beside each other */
            uint64_t at = (word * 64 + first) * HP_BLOCK;
            error = write_at(fd, (const char *)ledger + at, run * HP_BLOCK, at);
            reserved += run * HP_BLOCK;
            bits &= run + first < 64 ? ~0ull << (run + first) : 0;
        }
        /* Blocks that are reserved while this goes on are not in the copy. */
        if (copied && !error)
            error = write_at(fd, &copied, sizeof copied, offsetof(struct hp_ledger, block_map) + word * sizeof copied);
    }
    uint64_t arena_next = __atomic_load_n(&ledger->arena_next, __ATOMIC_ACQUIRE);
    reserved -= (uint64_t)hp_ledger_header_blocks() * HP_BLOCK;
    if (!error)
        error = write_at(fd, &arena_next, sizeof arena_next, offsetof(struct hp_ledger, arena_next));
    return error ? error : write_at(fd, &reserved, sizeof reserved, offsetof(struct hp_ledger, reserved));
}

int hp_region_fork_prepare(const struct hp_region *region)
{
    char folder[HP_PATH_MAX];
    const char *slash = strrchr(region->path, '/');
    if (!region->ledger || !region->shared || !slash)
        return -1;
    memcpy(folder, region->path, (size_t)(slash - region->path));
    folder[slash - region->path] = '\0';
    int fd = hp_sys_open(folder, O_RDWR | O_TMPFILE, 0600); /* nobody sees it before the child names it */
    if (fd < 0)
        return -1;
    if (hp_sys_ftruncate(fd, region->ledger->layout.size) == 0 && write_copy(region->ledger, fd) == 0)
        return fd;
    hp_sys_close(fd);
    return -1;
}

void hp_region_fork_parent(int file)
{
    if (file >= 0)
        hp_sys_close(file);
}

/* Give the child's file the child's name. Without /proc, or in a folder that it may not write to any more, it stays
 * without: the ledger is then only the child's. */
static void name_file(struct hp_region *region, int file, const char *folder)
{
    char link[HP_PATH_MAX];
    unsigned uid = hp_sys_getuid();
    hp_place_descriptor(link, file);
    region->process_start = hp_process_start(0);
    bool named = hp_place_folder(region->path, folder, uid) >= 0 &&
                 hp_place_ledger(region->path, folder, uid, hp_sys_getpid(), region->process_start) == 0 &&
                 hp_sys_link(link, region->path) == 0;
    if (!named)
        region->path[0] = '\0';
}

/* The folder that the parent's file is in: its path less /heapprof-UID/NAME. */
static bool folder_of(const struct hp_region *region, char folder[HP_PATH_MAX])
{
    memcpy(folder, region->path, strlen(region->path) + 1);
    for (int parts = 0; parts < 2; parts++) {
        char *slash = strrchr(folder, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
    return true;
}

static bool move_to_file(struct hp_region *region, int file)
{
    char folder[HP_PATH_MAX];
    if (file < 0)
        return false;
    bool mapped = hp_sys_mmap(region->ledger, region->ledger->layout.size, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_FIXED, file) != NULL;
    if (mapped && folder_of(region, folder))
        name_file(region, file, folder);
    hp_sys_close(file);
    return mapped;
}

/* Without a file, or when fork went around its handlers: a private copy of what the parent's region holds by now. */
static bool move_to_private(struct hp_region *region)
{
    struct hp_ledger *ledger = region->ledger;
    uint64_t size = ledger->layout.size;
    char *copy = hp_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!copy)
        return false;
    for (uint64_t block = 0; block < size / HP_BLOCK; block++)
        if (hp_ledger_is_reserved(ledger, block * HP_BLOCK))
            memcpy(copy + block * HP_BLOCK, (char *)ledger + block * HP_BLOCK, HP_BLOCK);
    region->path[0] = '\0';
    region->shared = false;
    return hp_sys_mremap(copy, size, ledger) != NULL;
}

void hp_region_fork_child(struct hp_region *region, int file, bool alone)
{
    struct hp_ledger *ledger = region->ledger;
    if (!ledger)
        return;
    bool was_shared = region->shared;
    if (was_shared && !move_to_file(region, file) && !move_to_private(region)) {
        hp_sys_munmap(ledger, ledger->layout.size); /* it is the parent's */
        region->ledger = NULL;
        return;
    }
    if (was_shared)
        start_using(region);
    if (!alone)
        hp_ledger_settle(ledger);
}
