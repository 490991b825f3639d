#include "ledger/region.h"

#include <string.h>

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

static size_t append(char *path, size_t at, const char *text)
{
    while (*text && at + 1 < HP_PATH_MAX)
        path[at++] = *text++;
    path[at] = '\0';
    return at;
}

static size_t append_number(char *path, size_t at, uint64_t value)
{
    char digits[21], *p = digits + sizeof digits - 1;
    *p = '\0';
    do {
        *--p = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return append(path, at, p);
}

/* A folder of our own that nobody else can write to: made 0700, or found so. */
static int own_folder(const char *path)
{
    struct stat status;
    int error = hp_sys_mkdir(path, 0700);
    if (error < 0 && error != -EEXIST)
        return error;
    error = hp_sys_lstat(path, &status);
    if (error < 0)
        return error;
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    if (status.st_uid != hp_sys_getuid() || status.st_mode & 022)
        return -EPERM;
    return 0;
}

/* path: FOLDER/heapprof-UID/PID.ledger */
static int file_in(char *path, const char *folder)
{
    size_t at = append(path, 0, folder);
    at = append(path, at, "/heapprof-");
    at = append_number(path, at, hp_sys_getuid());
    int error = own_folder(path);
    if (error < 0)
        return error;
    at = append(path, at, "/");
    at = append_number(path, at, (uint64_t)hp_sys_getpid());
    at = append(path, at, ".ledger");
    if (at + 1 >= HP_PATH_MAX)
        return -ENAMETOOLONG;
    hp_sys_unlink(path); /* of the program that this process ran before exec, or of a dead one with our number */
    return hp_sys_open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

/* Never more than a quarter of what the file system has left: /dev/shm is small in containers. */
static int lower_to_affordable(const char *folder, uint64_t *budget)
{
    struct statfs status;
    int error = hp_sys_statfs(folder, &status);
    if (error < 0)
        return error;
    uint64_t quarter = (uint64_t)status.f_bavail * (uint64_t)status.f_bsize / 4;
    if (status.f_blocks && quarter < *budget)
        *budget = quarter;
    return 0;
}

static uint64_t within_limit(int resource, uint64_t share, uint64_t budget)
{
    struct rlimit limit;
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
    uint64_t most = *budget;
    int error = lower_to_affordable(folder, &most);
    if (error < 0)
        return error;
    most = within_limit(RLIMIT_FSIZE, 1, most);
    if (most < BUDGET_LEAST)
        return -ENOSPC;
    int fd = file_in(region->path, folder);
    if (fd < 0) {
        region->path[0] = '\0';
        return fd;
    }
    uint64_t size = hp_ledger_layout(most).size;
    struct hp_ledger *ledger = map_file(fd, size, address);
    error = ledger ? hp_sys_madvise(ledger, (size_t)hp_ledger_header_blocks() * HP_BLOCK, MADV_POPULATE_WRITE)
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

/* The copy: the used blocks, with their numbers. Other threads go on while it is made, so its order matters: live objects
 * first, then the buckets through which their entries are found, which were published before them, then the arena,
 * in which all records that the buckets lead to are complete; arena_next last, so that no such record lies beyond it. */
struct copy {
    uint64_t arena_next;
    uint64_t room; /* bytes for blocks */
    uint32_t count;
    uint32_t numbers[HP_BLOCK_MAX];
    char blocks[];
};

#define COPY_SLACK (64ull << 20) /* address space for what other threads reserve meanwhile */

/* The used blocks of [from, to), byte offsets. */
static void copy_blocks(struct copy *copy, const struct hp_ledger *ledger, uint64_t from, uint64_t to)
{
    for (uint64_t block = from / HP_BLOCK; block < to / HP_BLOCK; block++) {
        if (block % 64 == 0 && !__atomic_load_n(&ledger->block_map[block / 64], __ATOMIC_ACQUIRE)) {
            block += 63;
            continue;
        }
        uint64_t used = (uint64_t)copy->count * HP_BLOCK;
        if (!hp_ledger_is_reserved(ledger, block * HP_BLOCK) || used + HP_BLOCK > copy->room)
            continue;
        memcpy(copy->blocks + used, (const char *)ledger + block * HP_BLOCK, HP_BLOCK);
        copy->numbers[copy->count++] = (uint32_t)block;
    }
}

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
    const struct hp_layout *layout = &ledger->layout;
    copy->room = room;
    copy_blocks(copy, ledger, layout->live[0].groups_at, layout->arena_at);
    copy_blocks(copy, ledger, 0, layout->live[0].groups_at);
    copy_blocks(copy, ledger, layout->arena_at, layout->arena_limit);
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
    for (uint32_t i = 0; i < copy->count; i++)
        memcpy((char *)ledger + (uint64_t)copy->numbers[i] * HP_BLOCK, copy->blocks + (uint64_t)i * HP_BLOCK, HP_BLOCK);
    memset(ledger->block_map, 0, sizeof ledger->block_map);
    for (uint32_t i = 0; i < copy->count; i++)
        ledger->block_map[copy->numbers[i] / 64] |= 1ull << (copy->numbers[i] % 64);
    ledger->arena_next = copy->arena_next;
    ledger->reserved = (copy->count - (uint64_t)hp_ledger_header_blocks()) * HP_BLOCK;
}

/* What the copy needs, reserved before it is written; private memory needs nothing. */
static int reserve_for(struct hp_region *region, const struct copy *copy)
{
    int error = 0;
    for (uint32_t i = 0; region->shared && i < copy->count && error == 0; i++)
        error = populate(region->ledger, (uint64_t)copy->numbers[i] * HP_BLOCK, HP_BLOCK);
    return error;
}

/* No copy was made: memory was out, or fork went around the handlers. The child starts without samples, apart from its
 * parent's region, but with its settings. */
static int start_empty(struct hp_region *region)
{
    struct hp_ledger *ledger = region->ledger;
    struct hp_ledger *kept = hp_sys_mmap(NULL, sizeof *kept, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (!kept)
        return -ENOMEM;
    memcpy(kept, ledger, sizeof *kept);
    int error = create_private(region, kept->budget, ledger);
    if (error == 0) {
        memcpy(ledger, kept, offsetof(struct hp_ledger, layout));
        memcpy(ledger->exe, kept->exe, sizeof ledger->exe);
        memcpy(ledger->allocator, kept->allocator, sizeof ledger->allocator);
        ledger->reserved = 0;
        hp_ledger_init(ledger, kept->budget, kept->depth);
        start_using(region);
    }
    hp_sys_munmap(kept, sizeof *kept);
    return error;
}

void hp_region_fork_child(struct hp_region *region, const char *folder)
{
    const struct copy *copy = region->copy;
    struct hp_ledger *ledger = region->ledger;
    if (!ledger)
        return;
    if (region->shared) {
        uint64_t budget = ledger->budget, wanted = budget;
        int file_error = 0;
        if (!copy) {
            if (start_empty(region) < 0)
                region->ledger = NULL;
            return;
        }
        /* A sealed target may not open files any more; mapping memory is what its allocator does all the time. */
        if (create_anywhere(region, sealed ? "none" : folder, &wanted, ledger, &file_error) < 0) {
            region->ledger = NULL;
            return;
        }
        /* A smaller region than the parent's (a file system that filled up) could not hold the copy. */
        if (region->shared && (wanted != budget || reserve_for(region, copy) < 0)) {
            hp_sys_unlink(region->path);
            if (create_private(region, budget, ledger) < 0) {
                region->ledger = NULL;
                return;
            }
        }
        unpack(ledger, copy);
        hp_sys_munmap(region->copy, region->copy_size);
        region->copy = NULL;
        start_using(region);
    }
    hp_ledger_settle(ledger);
}

void hp_region_remove(struct hp_region *region)
{
    if (region->path[0])
        hp_sys_unlink(region->path);
    region->path[0] = '\0';
}
