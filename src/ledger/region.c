#include "ledger/region.h"

#include <linux/futex.h>
#include <stddef.h>
#include <string.h>

#include "ledger/ledger_file.h"
#include "base/sys.h"

#define BUDGET_LEAST (1u << 20)
#define NAMES (4 * HP_DEAD_MOST) /* that are tried for the file */

/* Of this process's only region. A chunk is mapped by whoever needs it first, and stays. */
static char *chunks[HP_CHUNKS];
static uint64_t chunk_limit; /* there is none from here on */
static bool sealed, is_shared;

/* Before Linux 5.14 there is no MADV_POPULATE_WRITE. A futex operation that adds 0 to a word writes it without changing
 * it, whoever else is at work there, and answers EFAULT where a store would raise SIGBUS. */
static int populate_by_futex(void *memory, uint64_t size)
{
    const int add_nothing = FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 1);
    for (uint64_t at = 0; at < size; at += HP_PAGE) {
        long word = (long)((char *)memory + at);
        long result = hp_syscall(SYS_futex, word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, word, add_nothing);
        if (result < 0)
            return (int)result;
    }
    return 0;
}

/* Unlike a plain touch, populating reports a full file system as an error. */
static int populate(void *memory, uint64_t size)
{
    int error = hp_sys_madvise(memory, size, MADV_POPULATE_WRITE);
    return error == -EINVAL ? populate_by_futex(memory, size) : error;
}

static int reserve(const struct hp_ledger *ledger, void *memory, uint64_t size)
{
    if (!is_shared)
        return 0;
    return sealed ? -EPERM : populate(memory, size);
}

/* Address space is for the target: a sixteenth of what it is allowed is ours at the most. */
static bool may_map(uint64_t size)
{
    struct rlimit limit = {0};
    uint64_t mapped = 0;
    if (hp_sys_getrlimit(is_shared ? RLIMIT_AS : RLIMIT_DATA, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return true;
    for (uint64_t i = 0; i < __atomic_load_n(&chunk_limit, __ATOMIC_RELAXED); i++)
        mapped += __atomic_load_n(&chunks[i], __ATOMIC_RELAXED) ? HP_CHUNK : 0;
    return mapped + size <= limit.rlim_cur / 16;
}

static void prepare(void *memory, uint64_t size)
{
    hp_sys_madvise(memory, size, MADV_DONTDUMP);
    if (!is_shared) /* where the machine gives huge pages to all, a touched page would take 2 MiB */
        hp_sys_madvise(memory, size, MADV_NOHUGEPAGE);
}

/* Where the target locks all memory that is yet to be mapped, this would be had as a whole at once, and count against
 * the target's limit. What may not be touched is not had; then it is unlocked. */
static char *map_private(uint64_t size)
{
    char *memory = hp_sys_mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!memory)
        return NULL;
    hp_sys_munlock(memory, size);
    if (hp_sys_mprotect(memory, size, PROT_READ | PROT_WRITE) == 0)
        return memory;
    hp_sys_munmap(memory, size);
    return NULL;
}

/* More of the file is had without a descriptor: mremap of 0 bytes of a shared mapping makes another one that starts at
 * the same place of the file, of any size. So from the last chunk before that is mapped; what is mapped twice is given
 * back. The copy of a locked one would be locked, and all of it be had at once. */
static char *map_more(uint64_t first, uint64_t count)
{
    if (!is_shared)
        return map_private(count * HP_CHUNK);
    uint64_t before = first;
    while (before > 0 && !__atomic_load_n(&chunks[before], __ATOMIC_ACQUIRE))
        before--;
    const uint64_t twice = (first - before) * HP_CHUNK;
    hp_sys_munlock(chunks[before], HP_CHUNK);
    char *memory = hp_sys_mremap(chunks[before], 0, twice + count * HP_CHUNK, MREMAP_MAYMOVE);
    if (memory && twice)
        hp_sys_munmap(memory, twice);
    return memory ? memory + twice : NULL;
}

/* An eighth of what there is at once, so that there are few mappings. */
static int map_chunk(uint64_t chunk)
{
    uint64_t known = __atomic_load_n(&chunk_limit, __ATOMIC_RELAXED), count = known / 8 + (known ? 2 : 1);
    if (sealed && is_shared)
        return -EPERM;
    while (count > 1 && (chunk + count > HP_CHUNKS || __atomic_load_n(&chunks[chunk + count - 1], __ATOMIC_RELAXED)))
        count--;
    if (!may_map(count * HP_CHUNK))
        return -ENOMEM;
    char *memory = map_more(chunk, count);
    if (!memory)
        return -ENOMEM;
    prepare(memory, count * HP_CHUNK);
    for (uint64_t i = 0; i < count; i++) {
        char *none = NULL;
        /* Another thread may have mapped it first. */
        if (!__atomic_compare_exchange_n(&chunks[chunk + i], &none, memory + i * HP_CHUNK, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE))
            hp_sys_munmap(memory + i * HP_CHUNK, HP_CHUNK);
    }
    while (known < chunk + count && !__atomic_compare_exchange_n(&chunk_limit, &known, chunk + count, false,
                                                                 __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return 0;
}

static bool is_gone(uint32_t tid)
{
    return !sealed && hp_syscall(SYS_tgkill, hp_sys_getpid(), (long)tid, 0, 0, 0, 0) == -ESRCH;
}

static uint32_t now_ms(const struct hp_ledger *ledger)
{
    uint64_t ns = hp_coarse_ns();
    return ns > ledger->start_clock_ns ? (uint32_t)((ns - ledger->start_clock_ns) / 1000000) : 0;
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

/* Give the file its name, which others see only now that all is in it; or make it under its name, where the file system
 * has no files without. `from`: "/proc/self/fd/N", or NULL. */
static int try_name(const char *path, const char *from)
{
    return from ? hp_sys_link(from, path) : hp_sys_open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

static int name_file(struct hp_region *region, const char *folder, const char *from)
{
    const unsigned uid = hp_sys_getuid();
    const int pid = hp_sys_getpid();
    for (uint64_t number = 0; number < NAMES; number++) {
        int error = hp_ledger_file_path(region->path, folder, uid, pid, number);
        if (error < 0)
            return error;
        int named = try_name(region->path, from);
        if (named != -EEXIST)
            return named;
        if (number == 2 * HP_DEAD_MOST) { /* as in containers, where a program has the same number each time */
            char of_user[HP_PATH_MAX];
            if (hp_ledger_folder_path(of_user, folder, uid) >= 0)
                hp_ledger_file_prune(of_user);
        }
        if (hp_ledger_file_is_held(region->path, NULL) || !is_our_own(region->path))
            continue;
        hp_sys_unlink(region->path);
        return try_name(region->path, from);
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

/* The largest budget whose file is within RLIMIT_FSIZE; 0: none. */
static uint64_t within_file_size(uint64_t budget)
{
    struct rlimit limit = {0};
    if (hp_sys_getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return budget;
    while (budget >= BUDGET_LEAST && hp_ledger_size(budget) > limit.rlim_cur)
        budget /= 2;
    return budget >= BUDGET_LEAST ? budget : 0;
}

/* Everything but the name: size, lock, the first chunk, the first tables. */
static int fill_file(struct hp_region *region, int fd, uint64_t budget, uint32_t depth, uint64_t interval)
{
    struct stat status = {0};
    is_shared = true;
    hp_ledger_file_hold(fd);
    region->inode = hp_sys_fstat(fd, &status) == 0 ? (uint64_t)status.st_ino : 0;
    int error = hp_sys_ftruncate(fd, hp_ledger_size(budget));
    if (error < 0)
        return error;
    char *memory = hp_sys_mmap(NULL, HP_CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    if (!memory)
        return -ENOMEM;
    region->store.ledger = (struct hp_ledger *)memory;
    chunks[0] = memory;
    chunk_limit = 1;
    prepare(memory, HP_CHUNK);
    error = populate(memory, hp_ledger_header_bytes());
    if (error == 0 && !hp_ledger_init(&region->store, budget, depth, interval))
        error = -ENOSPC;
    if (error < 0) {
        chunks[0] = NULL;
        region->store.ledger = NULL;
        hp_sys_munmap(memory, HP_CHUNK);
    }
    return error;
}

static int create_shared(struct hp_region *region, const char *folder, uint64_t budget, uint32_t depth,
                         uint64_t interval)
{
    int error = lower_to_affordable(folder, &budget);
    if (error < 0)
        return error;
    budget = within_file_size(budget);
    if (budget < BUDGET_LEAST)
        return -ENOSPC;
    error = hp_ledger_folder_path(region->path, folder, hp_sys_getuid());
    if (error < 0)
        return error;
    if ((uint32_t)hp_sys_getpid() * 0x9e3779b1u >> 30 == 0) /* takes time; one start in four is enough */
        hp_ledger_file_prune(region->path);
    char from[HP_PATH_MAX];
    int fd = hp_sys_open(region->path, O_RDWR | O_TMPFILE, 0600);
    if (fd >= 0) {
        hp_descriptor_path(from, fd);
        const bool made = fill_file(region, fd, budget, depth, interval) == 0 && name_file(region, folder, from) == 0;
        hp_sys_close(fd);
        if (made)
            return 0;
        if (region->store.ledger)
            hp_region_leave(region);
        /* No /proc to name it by, or no such call: as with file systems that know no files without a name. */
    }
    fd = name_file(region, folder, NULL);
    if (fd < 0)
        return fd;
    error = fill_file(region, fd, budget, depth, interval);
    hp_sys_close(fd);
    if (error < 0)
        hp_sys_unlink(region->path);
    return error;
}

static int create_private(struct hp_region *region, uint64_t budget, uint32_t depth, uint64_t interval)
{
    region->path[0] = '\0'; /* of a file that could not be had */
    is_shared = false;
    if (map_chunk(0) < 0)
        return -ENOMEM;
    region->store.ledger = (struct hp_ledger *)chunks[0];
    return hp_ledger_init(&region->store, budget, depth, interval) ? 0 : -ENOMEM;
}

int hp_region_create(struct hp_region *region, const char *folder, uint64_t budget, uint32_t depth, uint64_t interval,
                     int *file_error)
{
    *file_error = sealed ? -EPERM : -ENOENT;
    region->store = (struct hp_store){
        .chunks = chunks, .ways = {.reserve = reserve, .map = map_chunk, .is_gone = is_gone, .now_ms = now_ms}};
    if (strcmp(folder, "none") && !sealed) {
        if (strcmp(folder, "auto")) {
            *file_error = create_shared(region, folder, budget, depth, interval);
        } else {
            *file_error = create_shared(region, "/dev/shm", budget, depth, interval);
            if (*file_error < 0)
                *file_error = create_shared(region, "/tmp", budget, depth, interval);
        }
    }
    region->shared = *file_error >= 0;
    int error = region->shared ? 0 : create_private(region, budget, depth, interval);
    if (error == 0 && region->store.ledger)
        region->store.ledger->made_ticks = hp_boot_ticks();
    return error;
}

void hp_region_reserve_ahead(const struct hp_region *region, uint64_t bytes)
{
    const struct hp_store *store = &region->store;
    const struct hp_ledger *ledger = store->ledger;
    uint64_t none = 0;
    if (!ledger || sealed)
        return;
    /* A sample that is taken back makes the first tables. */
    const struct hp_live_data data = {.size = 0};
    struct hp_live_ref ref;
    if (hp_live_insert(store, 16, &data) && hp_live_take(store, 16, &ref))
        hp_live_drop(&ref);
    uint64_t live = ledger->live[0].at, first = 512 * (sizeof(struct hp_live_group) + HP_LIVE_SLOTS * sizeof data);
    if (live)
        hp_ledger_reserve(store, live, first);
    for (; none < bytes; none += HP_BLOCK)
        if (!hp_ledger_reserve(store, __atomic_load_n(&ledger->end, __ATOMIC_RELAXED) + none, 1))
            return;
}

void hp_region_seal(void)
{
    sealed = true;
}

bool hp_region_is_sealed(void)
{
    return sealed;
}

/* The chunks from this one on that lie side by side. */
static uint64_t run_of(uint64_t first)
{
    uint64_t count = 1;
    while (first + count < chunk_limit && chunks[first + count] == chunks[first] + count * HP_CHUNK)
        count++;
    return count;
}

void hp_region_hints(const struct hp_region *region, struct hp_resident_hints *hints)
{
    size_t used = 1;
    hints->ledger_inode = region->shared ? region->inode : 0;
    for (uint64_t i = 0; !region->shared && i < chunk_limit && used < sizeof hints->own / sizeof *hints->own;
         i += chunks[i] ? run_of(i) : 1)
        if (chunks[i])
            hints->own[used++] = (struct hp_range){(uint64_t)(uintptr_t)chunks[i],
                                                   (uint64_t)(uintptr_t)chunks[i] + run_of(i) * HP_CHUNK};
}

void hp_region_leave(struct hp_region *region)
{
    region->store.ledger = NULL;
    for (uint64_t i = 0, count; i < chunk_limit; i += count) {
        count = chunks[i] ? run_of(i) : 1;
        if (!chunks[i])
            continue;
        hp_sys_munmap(chunks[i], count * HP_CHUNK);
        memset(chunks + i, 0, count * sizeof *chunks);
    }
    chunk_limit = 0;
}

void hp_region_remove(struct hp_region *region)
{
    if (region->path[0])
        hp_sys_unlink(region->path);
    region->path[0] = '\0';
}
