/* The memory of a ledger: where its file goes, what is refused, how it grows, full disks, limits and locked memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/ledger_view.h"
#include "ledger/ledger_file.h"
#include "ledger/region.h"
#include "ledger_help.h"

#define BUDGET (32ull << 20)
#define INTERVAL 4096

static void skip_since(const char *reason)
{
    print_message("[ SKIPPED  ] %s\n", reason);
    skip();
}

static char folder[] = "/dev/shm/heapprof-test-XXXXXX";
static char file[HP_PATH_MAX], inner[128];
static struct hp_region region;

static int make_folder(void **state)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(inner, sizeof inner, "%s/heapprof-%u", folder, (unsigned)geteuid());
    return hp_ledger_file_path(file, folder, geteuid(), getpid(), 0);
}

static int remove_folder(void **state)
{
    hp_region_remove(&region);
    if (region.store.ledger)
        hp_region_leave(&region);
    region = (struct hp_region){0};
    unlink(file);
    unlink(inner);
    rmdir(inner);
    rmdir(folder);
    return 0;
}

static void assert_usable(uint64_t budget)
{
    const struct hp_ledger *ledger = region.store.ledger;
    assert_non_null(ledger);
    assert_true(ledger->magic == HP_LEDGER_MAGIC);
    assert_int_equal(ledger->budget, budget);
    assert_int_equal(ledger->interval, INTERVAL);
    const uint64_t frames[] = {1, 2, 3};
    const struct hp_key key = make_key(&region.store, frames, 3, 1);
    assert_true(add_object(&region.store, &key, 4096, 1));
    assert_true(remove_object(&region.store, 4096));
}

/* Objects at addresses of their own, of ever new stacks; how many were taken. */
static uint64_t fill(uint64_t count)
{
    uint64_t taken = 0;
    for (uint64_t i = 1; i <= count; i++) {
        const struct hp_key key = make_key(&region.store, &i, 1, 1);
        taken += add_object(&region.store, &key, i * 4096, i);
    }
    return taken;
}

static bool holds(uint64_t objects)
{
    struct ledger_sums sums = sum_ledger(&region.store);
    struct hp_tally live = sum_live(&region.store);
    return live.objects == objects && sums.alloc.objects - sums.freed.objects == objects &&
           sums.alloc.bytes - sums.freed.bytes == live.bytes;
}

static void makes_a_file_in_a_given_folder(void **state)
{
    struct stat status;
    int error = -1;
    assert_int_equal(hp_region_create(&region, folder, BUDGET, 99, INTERVAL, &error), 0);
    assert_int_equal(error, 0);
    assert_true(region.shared);
    assert_string_equal(region.path, file);
    assert_int_equal(lstat(inner, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(lstat(file, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, region.store.ledger->size);
    assert_true(status.st_blocks * 512 < 1 << 20); /* sparse */
    assert_int_equal(region.store.ledger->depth, 99);
    assert_usable(BUDGET);
    hp_region_remove(&region);
    assert_int_equal(lstat(file, &status), -1);
    assert_string_equal(region.path, "");
    assert_usable(BUDGET); /* the mapping stays */
}

/* Huge pages would make each touched page of the region 2 MiB where the machine's setting is "always". */
static void assert_small_pages(const void *memory)
{
    unsigned long at = (unsigned long)memory, start, limit;
    bool inside = false, found = false;
    char line[1024];
    FILE *smaps = fopen("/proc/self/smaps", "re");
    assert_non_null(smaps);
    while (fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%lx-%lx ", &start, &limit) == 2)
            inside = start <= at && at < limit;
        found = found || (inside && !strncmp(line, "VmFlags:", 8) && strstr(line, " nh"));
    }
    fclose(smaps);
    assert_true(found || access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0);
}

static void stays_private_when_told(void **state)
{
    int error = 0;
    assert_int_equal(hp_region_create(&region, "none", BUDGET, 128, INTERVAL, &error), 0);
    assert_true(error < 0);
    assert_false(region.shared);
    assert_string_equal(region.path, "");
    assert_usable(BUDGET);
    assert_small_pages(region.store.ledger);
}

static void assert_falls_back(const char *where, int expected)
{
    int error = 0;
    assert_int_equal(hp_region_create(&region, where, BUDGET, 128, INTERVAL, &error), 0);
    assert_int_equal(error, expected);
    assert_false(region.shared);
    assert_usable(BUDGET);
    hp_region_leave(&region);
    region = (struct hp_region){0};
}

static void falls_back_from_bad_folders(void **state)
{
    static char long_name[HP_PATH_MAX];
    assert_falls_back("/nowhere/at/all", -ENOENT);
    assert_falls_back("/proc", -ENOENT);
    assert_falls_back("", -ENOENT);
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[0] = '/';
    assert_falls_back(long_name, -ENAMETOOLONG);
    assert_int_equal(open(inner, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0, 0);
    assert_falls_back(folder, -ENOTDIR);
}

static void refuses_links_and_open_folders(void **state)
{
    char target[160];
    struct stat status;
    snprintf(target, sizeof target, "%s/target", folder);
    assert_int_equal(mkdir(target, 0700), 0);
    assert_int_equal(symlink(target, inner), 0);
    assert_falls_back(folder, -ENOTDIR);
    assert_int_equal(unlink(inner), 0);
    assert_int_equal(rmdir(target), 0); /* nothing was put into it */
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(chmod(inner, 0777), 0);
    assert_falls_back(folder, -EPERM);
    assert_int_equal(chmod(inner, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(inner, 12345, 12345), 0);
        assert_falls_back(folder, -EPERM);
        assert_int_equal(chown(inner, 0, 0), 0);
    }
    /* What has the file's name and is no ledger is left alone, and what a link points to: there are more names. */
    char next[HP_PATH_MAX], victim[160];
    assert_int_equal(hp_ledger_file_path(next, folder, geteuid(), getpid(), 1), 0);
    snprintf(victim, sizeof victim, "%s/victim", folder);
    int fd = open(victim, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), error = -1;
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    for (int is_link = 0; is_link < 2; is_link++) {
        assert_int_equal(is_link ? symlink(victim, file) : mkdir(file, 0700), 0);
        assert_int_equal(hp_region_create(&region, folder, BUDGET, 128, INTERVAL, &error), 0);
        assert_true(region.shared);
        assert_string_equal(region.path, next);
        assert_int_equal(lstat(next, &status), 0);
        assert_true(S_ISREG(status.st_mode));
        assert_int_equal(stat(victim, &status), 0);
        assert_int_equal(status.st_size, 8);
        hp_region_remove(&region);
        hp_region_leave(&region);
        region = (struct hp_region){0};
        assert_int_equal(is_link ? unlink(file) : rmdir(file), 0);
    }
    unlink(victim);
}

static void replaces_the_file_of_a_dead_process(void **state)
{
    int error = -1;
    assert_int_equal(mkdir(inner, 0700), 0);
    int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "old", 3), 3);
    assert_int_equal(hp_region_create(&region, folder, BUDGET, 128, INTERVAL, &error), 0);
    assert_true(region.shared);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 3); /* not written through */
    close(fd);
    assert_usable(BUDGET);
}

/* What changes limits or mounts runs in a child; `true` is success. */
static void assert_in_child(bool (*check)(void))
{
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        _exit(check() ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Bytes mapped. */
static uint64_t address_space(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm || fscanf(statm, "%lu", &pages) != 1)
        abort();
    fclose(statm);
    return pages * 4096ull;
}

static bool obeys_file_limit(void)
{
    struct rlimit limit = {24 << 20, 24 << 20};
    int error = 0;
    bool good = setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                hp_region_create(&region, folder, BUDGET, 128, INTERVAL, &error) == 0 && region.shared &&
                region.store.ledger->size <= 24 << 20 && region.store.ledger->budget >= 1 << 20;
    hp_region_remove(&region);
    hp_region_leave(&region);
    limit.rlim_cur = limit.rlim_max = 100000;
    region = (struct hp_region){0};
    return good && setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           hp_region_create(&region, folder, BUDGET, 128, INTERVAL, &error) == 0 && !region.shared && error == -ENOSPC;
}

static bool obeys_address_limit(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true; /* needs terabytes of address space itself */
#endif
    struct rlimit limit = {1ul << 30, 1ul << 30};
    int error = 0;
    const uint64_t before = address_space();
    if (setrlimit(RLIMIT_AS, &limit) || hp_region_create(&region, folder, 256 << 20, 128, INTERVAL, &error) ||
        !region.shared)
        return false;
    uint64_t taken = fill(600000);
    hp_region_remove(&region);
    print_message("%lu objects in %lu MiB of address space\n", (unsigned long)taken,
                  (unsigned long)((address_space() - before) >> 20));
    /* Rows of ever new stacks that live: half of the sixteenth, and not less. */
    return taken > 200000 && taken < 600000 && holds(taken) && address_space() - before <= (1ul << 30) / 16;
}

static void obeys_limits(void **state)
{
    assert_in_child(obeys_file_limit);
    assert_in_child(obeys_address_limit);
}

static bool mounted;

/* Fills the file system under a ledger: what was reserved still works, the rest is refused, nobody dies. */
static bool survives_a_full_file_system(void)
{
    char path[160];
    int error = 0;
    if (mount("heapprof-test", folder, "tmpfs", 0, "size=24m") < 0)
        return true;
    bool good = hp_region_create(&region, folder, BUDGET, 128, INTERVAL, &error) == 0 && region.shared &&
                region.store.ledger->budget <= 6 << 20;
    good = good && fill(1000) == 1000;
    for (uint64_t i = 1; i <= 1000; i++)
        good = good && remove_object(&region.store, i * 4096);
    snprintf(path, sizeof path, "%s/ballast", folder);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    static char block[65536];
    while (write(fd, block, sizeof block) > 0)
        ;
    const uint64_t taken = good ? fill(49999) : 0;
    good = good && taken >= 1000 && taken < 49999 && holds(taken);
    close(fd);
    umount2(folder, MNT_DETACH);
    return good;
}

static bool falls_back_on_a_small_file_system(void)
{
    int error = 0;
    if (mount("heapprof-test", folder, "tmpfs", 0, "size=2m") < 0)
        return true;
    bool good =
        hp_region_create(&region, folder, BUDGET, 128, INTERVAL, &error) == 0 && !region.shared && error == -ENOSPC;
    umount2(folder, MNT_DETACH);
    return good;
}

static void survives_full_file_systems(void **state)
{
    mounted = mount("heapprof-test", folder, "tmpfs", 0, "size=1m") == 0;
    if (!mounted)
        skip_since("no file system can be mounted here");
    umount2(folder, MNT_DETACH);
    assert_in_child(survives_a_full_file_system);
    assert_in_child(falls_back_on_a_small_file_system);
}

static struct hp_ledger_view open_file(void **memory, uint64_t *size)
{
    struct hp_ledger_view view;
    struct stat status;
    int fd = open(region.path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    *size = (uint64_t)status.st_size;
    *memory = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(*memory != MAP_FAILED);
    close(fd);
    assert_int_equal(hp_ledger_view_open(&view, *memory, NULL, *size), 0);
    return view;
}

static bool add_reading(void *state, const struct hp_row_reading *reading)
{
    struct hp_tally *sum = state;
    sum->objects += reading->alloc.objects - reading->freed.objects;
    sum->bytes += reading->alloc.bytes - reading->freed.bytes;
    return true;
}

/* What the target maps piece by piece without a descriptor is what others see in the file, in one piece. */
static void grows_chunk_by_chunk(void **state)
{
    int error;
    for (unsigned shared = 0; shared < 2; shared++) {
        const uint64_t before = address_space();
        assert_int_equal(hp_region_create(&region, shared ? folder : "none", BUDGET, 128, INTERVAL, &error), 0);
        assert_int_equal(address_space() - before, HP_CHUNK);
        assert_int_equal(fill(100000), 100000);
        assert_true(holds(100000));
        /* Rows, the tables of chains, and what of the live tables is touched; an eighth more is mapped ahead. */
        const uint64_t mapped = address_space() - before, reserved = region.store.ledger->reserved;
        print_message("%lu MiB mapped for %lu MiB\n", (unsigned long)mapped >> 20, (unsigned long)reserved >> 20);
        assert_true(mapped >= reserved && mapped < 2 * reserved + 8 * HP_CHUNK);
        if (shared) {
            void *memory;
            uint64_t size;
            struct hp_tally sum = {0}, live = sum_live(&region.store);
            struct hp_ledger_view view = open_file(&memory, &size);
            hp_ledger_view_each(&view, add_reading, &sum);
            assert_memory_equal(&sum, &live, sizeof sum);
            sum = (struct hp_tally){0};
            hp_ledger_view_live(&view, add_live_object, &sum);
            assert_memory_equal(&sum, &live, sizeof sum);
            munmap(memory, size);
        }
        hp_region_remove(&region);
        hp_region_leave(&region);
        assert_int_equal(address_space(), before);
    }
}

enum { GROWERS = 6, GROWN = 20000 };

static void *grow(void *state)
{
    const uint64_t number = (uint64_t)(uintptr_t)state;
    for (uint64_t i = 1; i <= GROWN; i++) {
        const uint64_t frames[] = {i, number, 3, 4, 5, 6, 7, 8, 9};
        const struct hp_key key = make_key(&region.store, frames, 9, 1);
        if (!add_object_by(&region.store, &key, (i * GROWERS + number) * 64, i, (uint32_t)number + 1))
            return (void *)1;
    }
    return NULL;
}

/* Chunks and blocks that several threads need first at the same time. */
static void grows_under_threads(void **state)
{
    int error;
    for (unsigned round = 0; round < 6; round++) {
        pthread_t threads[GROWERS];
        void *bad = NULL, *result;
        assert_int_equal(hp_region_create(&region, round % 2 ? folder : "none", 64 << 20, 128, INTERVAL, &error), 0);
        for (uintptr_t i = 0; i < GROWERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, grow, (void *)i), 0);
        for (unsigned i = 0; i < GROWERS; i++) {
            pthread_join(threads[i], &result);
            bad = result ? result : bad;
        }
        assert_null(bad);
        assert_true(holds(GROWERS * GROWN));
        hp_region_remove(&region);
        hp_region_leave(&region);
    }
}

/* Bytes that are resident of the whole process. */
static uint64_t resident(void)
{
    unsigned long size, pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm || fscanf(statm, "%lu %lu", &size, &pages) != 2)
        abort();
    fclose(statm);
    return pages * 4096ull;
}

/* mlockall makes resident what is mapped: that must be what is used, not what the tables may grow to. */
static bool locks_what_is_used(const char *where)
{
    int error;
    if (hp_region_create(&region, where, BUDGET, 128, INTERVAL, &error) || mlockall(MCL_CURRENT | MCL_FUTURE))
        return false;
    const uint64_t before = resident(), first = region.store.ledger->reserved;
    bool good = fill(100000) == 100000 && holds(100000);
    const uint64_t grown = resident() - before, reserved = region.store.ledger->reserved - first;
    struct stat status = {0};
    if (region.shared && stat(region.path, &status) < 0)
        return false;
    print_message("%lu KiB more resident, %lu KiB in the file, for %lu KiB more\n", (unsigned long)grown >> 10,
                  (unsigned long)status.st_blocks / 2, (unsigned long)reserved >> 10);
    hp_region_remove(&region);
    return good && grown <= reserved + HP_CHUNK && (uint64_t)status.st_blocks * 512 <= first + reserved + HP_CHUNK;
}

static bool locks_what_is_used_of_a_file(void)
{
    return locks_what_is_used(folder);
}

static bool locks_what_is_used_in_private(void)
{
    return locks_what_is_used("none");
}

/* An ordinary user's limit counts locked memory: the ledger must leave that to the target. */
static bool leaves_the_limit_of_locked_memory(void)
{
    int error;
    const struct rlimit limit = {6 << 20, 6 << 20};
    if (chown(folder, 65534, 65534) || setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(65534, 65534, 65534) ||
        mlockall(MCL_FUTURE) || hp_region_create(&region, folder, 64 << 20, 128, INTERVAL, &error) || !region.shared)
        return false;
    const uint64_t taken = fill(100000);
    bool good = taken == 100000 && holds(taken);
    void *own = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!good || own == MAP_FAILED)
        print_message("%lu objects, the target's own memory: %s\n", (unsigned long)taken,
                      own == MAP_FAILED ? "no" : "yes");
    hp_region_remove(&region);
    return good && own != MAP_FAILED;
}

static void locks_little_memory(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    skip_since("AddressSanitizer's shadow would be locked, too");
#endif
    if (geteuid() != 0)
        skip_since("only root may lock memory beyond the limit");
    assert_in_child(locks_what_is_used_of_a_file);
    assert_in_child(locks_what_is_used_in_private);
    assert_in_child(leaves_the_limit_of_locked_memory);
}

/* As a kernel before Linux 5.14 answers. */
static bool forget_populating(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_POPULATE_WRITE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool survives_a_full_file_system_on_old_kernels(void)
{
    return forget_populating() && survives_a_full_file_system();
}

static bool works_on_old_kernels(void)
{
    int error;
    bool good = forget_populating() && hp_region_create(&region, folder, BUDGET, 128, INTERVAL, &error) == 0 &&
                region.shared && fill(100000) == 100000 && holds(100000);
    struct stat status = {0};
    good = good && stat(region.path, &status) == 0 && (uint64_t)status.st_blocks * 512 >= region.store.ledger->reserved;
    hp_region_remove(&region);
    return good;
}

static void runs_on_old_kernels(void **state)
{
    assert_in_child(works_on_old_kernels);
    if (!mounted)
        skip_since("no file system can be mounted here");
    assert_in_child(survives_a_full_file_system_on_old_kernels);
}

static bool sealed_child_makes_no_file(void)
{
    char own[HP_PATH_MAX];
    struct stat status;
    int error = 0;
    hp_region_leave(&region);
    if (hp_region_create(&region, folder, BUDGET, 128, INTERVAL, &error) ||
        hp_ledger_file_path(own, folder, getuid(), getpid(), 0))
        return false;
    const uint64_t taken = fill(1000);
    return !region.shared && error == -EPERM && lstat(own, &status) < 0 && taken == 1000 && holds(taken);
}

static bool seals(void)
{
    int error;
    if (hp_region_create(&region, folder, BUDGET, 128, INTERVAL, &error) || !region.shared || hp_region_is_sealed())
        return false;
    hp_region_reserve_ahead(&region, 1 << 20);
    hp_region_seal();
    const uint64_t reserved = region.store.ledger->reserved, mapped = address_space();
    if (reserved < 1 << 20 || !hp_region_is_sealed())
        return false;
    const uint64_t taken = fill(100000);
    bool good = taken > 500 && taken < 90000 && region.store.ledger->reserved == reserved && holds(taken) &&
                address_space() == mapped;
    pid_t child = fork();
    if (child == 0)
        _exit(sealed_child_makes_no_file() ? 0 : 1);
    int status = -1;
    waitpid(child, &status, 0);
    hp_region_remove(&region);
    return good && status == 0;
}

static void reserves_nothing_more_once_sealed(void **state)
{
    assert_in_child(seals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(makes_a_file_in_a_given_folder, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(stays_private_when_told, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(falls_back_from_bad_folders, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(refuses_links_and_open_folders, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(replaces_the_file_of_a_dead_process, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(obeys_limits, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(survives_full_file_systems, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(grows_chunk_by_chunk, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(grows_under_threads, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(locks_little_memory, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(runs_on_old_kernels, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reserves_nothing_more_once_sealed, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
