#include "ledger/region.h"

#include <stddef.h>
#include <string.h>

#include "ledger/place.h"
#include "ledger/sys.h"

#define BUDGET_LEAST (1u << 20)
#define PAGE 4096u
#define NAMES (4 * HP_DEAD_MOST) /* that are tried for the file */

static bool sealed;

/* Unlike a plain touch, populating reports a full file system as an error. */
static int populate(struct hp_ledger *ledger, uint64_t offset, uint64_t size)
{
    return sealed ? -EPERM : hp_sys_madvise((char *)ledger + offset, size, MADV_POPULATE_WRITE);
}

/* A ledger that nobody holds: of the program that this process ran before exec, or of a dead process? */
static bool is_our_own(const char *path)
{
    uint64_t made = 0;
    int fd = hp_sys_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool is_read = hp_sys_pread(fd, &made, sizeof made, offsetof(struct hp_ledger, made_ticks)) == (long)sizeof made;
    hp_sys_close(fd);
    uint64_t start = hp_process_start(0);
    return is_read && start && made >= start;
}

static int file_in(struct hp_region *region, const char *folder)
{
    unsigned uid = hp_sys_getuid();
    int error = hp_place_folder(region->path, folder, uid);
    if (error < 0)
        return error;
    int pid = hp_sys_getpid();
    if ((uint32_t)pid * 0x9e3779b1u >> 30 == 0) /* looking at many processes takes time; one start in four is enough */
        hp_place_prune(region->path);
    for (uint64_t number = 0; number < NAMES; number++) {
        error = hp_place_ledger(region->path, folder, uid, pid, number);
        if (error < 0)
            return error;
        int fd = hp_sys_open(region->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (fd != -EEXIST)
            return fd;
        if (number == 2 * HP_DEAD_MOST) { /* as in containers, where a program has the same number each time */
            char of_user[HP_PATH_MAX];
            if (hp_place_folder(of_user, folder, uid) >= 0)
                hp_place_prune(of_user);
        }
        if (hp_place_is_held(region->path, NULL) || !is_our_own(region->path))
            continue;
        hp_sys_unlink(region->path);
        return hp_sys_open(region->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    }
    return -EEXIST;
}

/* Never more than a quarter of what the file system has left: /dev/shm is small in containers. */
static int lower_to_affordable(const char *folder, uint64_t *budget)
{
    struct statfs status = {0};
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
    hp_place_hold(fd); /* before it has a size */
    if (hp_sys_ftruncate(fd, size) == 0)
        ledger = hp_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    hp_sys_close(fd);
    return ledger;
}

static int create_shared(struct hp_region *region, const char *folder, uint64_t *budget)
{
    uint64_t most = *budget;
    int error = lower_to_affordable(folder, &most);
    if (error < 0)
        return error;
    most = within_limit(RLIMIT_FSIZE, 1, most);
    if (most < BUDGET_LEAST)
        return -ENOSPC;
    int fd = file_in(region, folder);
    if (fd < 0)
        return fd;
    uint64_t size = hp_ledger_layout(most).size;
    struct hp_ledger *ledger = map_file(fd, size);
    error = ledger ? hp_sys_madvise(ledger, (sizeof *ledger + PAGE - 1) & ~(PAGE - 1ul), MADV_POPULATE_WRITE) : -ENOMEM;
    if (error < 0) {
        hp_sys_unlink(region->path);
        if (ledger)
            hp_sys_munmap(ledger, size);
        return error;
    }
    region->ledger = ledger;
    region->shared = true;
    *budget = most;
    return 0;
}

/* Unlike a file's, private memory counts against RLIMIT_DATA, and where overcommit is off (MAP_NORESERVE means nothing
 * there) also before it is used. */
static int create_private(struct hp_region *region, uint64_t *budget)
{
    void *memory = NULL;
    region->path[0] = '\0'; /* of a file that could not be had */
    *budget = within_limit(RLIMIT_DATA, 16, *budget);
    while (*budget >= BUDGET_LEAST && !(memory = hp_sys_mmap(NULL, hp_ledger_layout(*budget).size, PROT_READ | PROT_WRITE,
                                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1)))
        *budget /= 2;
    if (!memory)
        return -ENOMEM;
    region->ledger = memory;
    region->shared = false;
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
    return *file_error < 0 ? create_private(region, budget) : 0;
}

static void start_using(struct hp_region *region)
{
    hp_sys_madvise(region->ledger, region->ledger->layout.size, MADV_DONTDUMP);
    if (!region->shared) /* where the machine gives huge pages to all, a touched page would take 2 MiB */
        hp_sys_madvise(region->ledger, region->ledger->layout.size, MADV_NOHUGEPAGE);
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
    region->ledger->made_ticks = hp_boot_ticks();
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

static bool is_empty(const char *page)
{
    const uint64_t *words = (const uint64_t *)page;
    for (size_t i = 0; i < PAGE / sizeof *words; i++)
        if (words[i])
            return false;
    return true;
}

/* Write the pages of a block that hold anything; those beside each other at once. */
static int write_block(const struct hp_ledger *ledger, int fd, uint64_t at)
{
    const char *block = (const char *)ledger + at;
    int error = 0;
    for (uint64_t page = 0; page < HP_BLOCK && !error; page += PAGE) {
        uint64_t first = page;
        while (page < HP_BLOCK && !is_empty(block + page))
            page += PAGE;
        if (page > first)
            error = write_at(fd, block + first, page - first, at + first);
    }
    return error;
}

/* Write the used blocks of [from, to), byte offsets. The map is read again for each block: what a block leads to was
 * reserved before, lies behind it, and is not to be missed. */
static int write_blocks(const struct hp_ledger *ledger, int fd, uint64_t from, uint64_t to)
{
    int error = 0;
    for (uint64_t block = from / HP_BLOCK; block < to / HP_BLOCK && !error;) {
        uint64_t bits = __atomic_load_n(&ledger->block_map[block / 64], __ATOMIC_ACQUIRE) >> (block % 64);
        if (bits & 1)
            error = write_block(ledger, fd, block * HP_BLOCK);
        block += bits > 1 ? (unsigned)__builtin_ctzll(bits & ~1ull) : 64 - block % 64;
    }
    return error;
}

/* Write what is used into the child's file. Other threads go on meanwhile, so its order matters: live objects first,
 * then the buckets through which their entries are found, which were published before them, then the arena, in which all
 * records that the buckets lead to are complete; at the end the header without its block_map, whose arena_next no such
 * record lies beyond. */
static int write_copy(const struct hp_ledger *ledger, int fd)
{
    const struct hp_layout *layout = &ledger->layout;
    const uint64_t header = (uint64_t)hp_ledger_header_blocks() * HP_BLOCK;
    int error = write_blocks(ledger, fd, layout->live[0].groups_at, layout->arena_at);
    if (!error)
        error = write_blocks(ledger, fd, header, layout->live[0].groups_at);
    if (!error)
        error = write_blocks(ledger, fd, layout->arena_at, layout->arena_limit);
    return error ? error : write_at(fd, ledger, offsetof(struct hp_ledger, block_map), 0);
}

/* Reserve in the child's file what its map says is reserved. */
static bool populate_marked(struct hp_ledger *ledger)
{
    uint64_t blocks = 0;
    int error = 0;
    for (uint64_t word = 0; word < HP_BLOCK_MAX / 64; word++) {
        for (uint64_t left = ledger->block_map[word]; left;) { /* blocks beside each other at once */
            unsigned first = (unsigned)__builtin_ctzll(left);
            uint64_t gone = left + (1ull << first); /* 0: up to the word's end */
            unsigned count = (gone ? (unsigned)__builtin_ctzll(gone) : 64) - first;
            if (!error)
                error = hp_sys_madvise((char *)ledger + (word * 64 + first) * HP_BLOCK, (size_t)count * HP_BLOCK,
                                       MADV_POPULATE_WRITE);
            blocks += count;
            left &= gone;
        }
    }
    ledger->reserved = (blocks - hp_ledger_header_blocks()) * HP_BLOCK;
    return !error;
}

int hp_region_fork_prepare(const struct hp_region *region)
{
    char folder[HP_PATH_MAX];
    const char *slash = strrchr(region->path, '/');
    if (!region->ledger || !region->shared || !slash || sealed) /* sealed: no files any more */
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

/* Give the child's file the child's name, beside its parent's. Without /proc, or in a folder that it may not write to any
 * more, it stays without: the ledger is then only the child's. */
static void name_file(struct hp_region *region, int file)
{
    char link[HP_PATH_MAX];
    hp_place_descriptor(link, file);
    int error = -EEXIST;
    for (uint64_t number = 0; number < NAMES && error == -EEXIST; number++) {
        error = hp_place_beside(region->path, hp_sys_getpid(), number);
        if (!error)
            error = hp_sys_link(link, region->path);
    }
    if (error)
        region->path[0] = '\0';
}

/* The parent, too, has that open file until it gets to closing it, and would hold the ledger with it: for the program that
 * the child executes meanwhile, it would be that of another process. */
static int open_alone(const struct hp_region *region, int file)
{
    int own = region->path[0] ? hp_sys_open(region->path, O_RDWR | O_NOFOLLOW, 0) : -1;
    if (own < 0)
        return file;
    hp_sys_flock(file, LOCK_UN);
    hp_sys_close(file);
    hp_place_hold(own);
    return own;
}

/* The child still sees its parent's map, which by now may have more blocks than were written: empty ones here. */
static bool move_to_file(struct hp_region *region, int file)
{
    struct hp_ledger *ledger = region->ledger;
    if (file < 0)
        return false;
    if (write_at(file, ledger->block_map, sizeof ledger->block_map, offsetof(struct hp_ledger, block_map)) < 0) {
        hp_sys_close(file);
        return false;
    }
    hp_place_hold(file);
    name_file(region, file);
    file = open_alone(region, file);
    bool moved = hp_sys_mmap(ledger, ledger->layout.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file) &&
                 populate_marked(ledger);
    hp_sys_close(file);
    if (!moved)
        hp_region_remove(region);
    return moved;
}

static void copy_blocks(struct hp_ledger *to, const struct hp_ledger *from, const uint64_t *map, uint64_t size)
{
    for (uint64_t block = 0; block < size / HP_BLOCK; block++)
        if (map[block / 64] >> (block % 64) & 1)
            memcpy((char *)to + block * HP_BLOCK, (const char *)from + block * HP_BLOCK, HP_BLOCK);
}

/* Without a file, or when fork went around its handlers: a private copy of what the parent's region holds by now, with no
 * more system calls than an allocator makes. */
static bool move_to_private(struct hp_region *region)
{
    struct hp_ledger *ledger = region->ledger;
    const uint64_t size = ledger->layout.size;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    struct hp_ledger *copy = hp_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1);
    if (!copy)
        return false;
    memcpy(copy, ledger, sizeof *copy); /* and with it the map that says which blocks follow */
    copy_blocks(copy, ledger, copy->block_map, size);
    bool moved = hp_sys_mmap(ledger, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1) != NULL;
    if (moved)
        copy_blocks(ledger, copy, copy->block_map, size);
    hp_sys_munmap(copy, size);
    region->path[0] = '\0';
    region->shared = false;
    return moved;
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
    ledger->made_ticks = hp_boot_ticks();
    if (was_shared)
        start_using(region);
    if (!alone)
        hp_ledger_settle(ledger);
}
