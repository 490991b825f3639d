/* The memory of a ledger: where its file goes, what is refused, full disks and limits, and fork. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/place.h"
#include "ledger/region.h"
#include "ledger_help.h"

#define BUDGET (32ull << 20)

static char folder[] = "/dev/shm/heapprof-test-XXXXXX";
static char file[HP_PATH_MAX], inner[128];
static struct hp_region region;

static int make_folder(void **state)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(inner, sizeof inner, "%s/heapprof-%u", folder, (unsigned)geteuid());
    return hp_place_ledger(file, folder, geteuid(), getpid(), 0);
}

static int remove_folder(void **state)
{
    hp_region_remove(&region);
    if (region.ledger)
        free_ledger(region.ledger);
    region = (struct hp_region){0};
    hp_ledger_set_reserve(NULL);
    unlink(file);
    unlink(inner);
    rmdir(inner);
    rmdir(folder);
    return 0;
}

static void assert_usable(uint64_t budget)
{
    assert_non_null(region.ledger);
    assert_true(region.ledger->magic == HP_LEDGER_MAGIC);
    assert_int_equal(region.ledger->budget, budget);
    const uint64_t frames[] = {1, 2, 3};
    hp_offset entry = hp_ledger_entry(region.ledger, add_stack(region.ledger, frames, 3), 1, 0);
    assert_int_not_equal(entry, 0);
    assert_true(add_object(region.ledger, entry, 4096, 1));
    assert_true(remove_object(region.ledger, 4096));
}

static void makes_a_file_in_a_given_folder(void **state)
{
    struct stat status;
    int error = -1;
    assert_int_equal(hp_region_create(&region, folder, BUDGET, 99, &error), 0);
    assert_int_equal(error, 0);
    assert_true(region.shared);
    assert_string_equal(region.path, file);
    assert_int_equal(lstat(inner, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(lstat(file, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, region.ledger->layout.size);
    assert_true(status.st_blocks * 512 < 1 << 20); /* sparse */
    assert_int_equal(region.ledger->depth, 99);
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
    assert_int_equal(hp_region_create(&region, "none", BUDGET, 128, &error), 0);
    assert_true(error < 0);
    assert_false(region.shared);
    assert_string_equal(region.path, "");
    assert_usable(BUDGET);
    assert_small_pages(region.ledger);
}

static void assert_falls_back(const char *where, int expected)
{
    int error = 0;
    assert_int_equal(hp_region_create(&region, where, BUDGET, 128, &error), 0);
    assert_int_equal(error, expected);
    assert_false(region.shared);
    assert_usable(BUDGET);
    free_ledger(region.ledger);
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
    assert_int_equal(hp_place_ledger(next, folder, geteuid(), getpid(), 1), 0);
    snprintf(victim, sizeof victim, "%s/victim", folder);
    int fd = open(victim, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), error = -1;
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    for (int is_link = 0; is_link < 2; is_link++) {
        assert_int_equal(is_link ? symlink(victim, file) : mkdir(file, 0700), 0);
        assert_int_equal(hp_region_create(&region, folder, BUDGET, 128, &error), 0);
        assert_true(region.shared);
        assert_string_equal(region.path, next);
        assert_int_equal(lstat(next, &status), 0);
        assert_true(S_ISREG(status.st_mode));
        assert_int_equal(stat(victim, &status), 0);
        assert_int_equal(status.st_size, 8);
        hp_region_remove(&region);
        free_ledger(region.ledger);
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
    assert_int_equal(hp_region_create(&region, folder, BUDGET, 128, &error), 0);
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

static bool obeys_file_limit(void)
{
    struct rlimit limit = {8 << 20, 8 << 20};
    int error = 0;
    bool good = setrlimit(RLIMIT_FSIZE, &limit) == 0 && hp_region_create(&region, folder, BUDGET, 128, &error) == 0 &&
                region.shared && region.ledger->layout.size <= 8 << 20 && region.ledger->budget >= 1 << 20;
    hp_region_remove(&region);
    limit.rlim_cur = limit.rlim_max = 100000;
    region = (struct hp_region){0};
    return good && setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           hp_region_create(&region, folder, BUDGET, 128, &error) == 0 && !region.shared && error == -ENOSPC;
}

static bool obeys_address_limit(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true; /* needs terabytes of address space itself */
#endif
    struct rlimit limit = {1ul << 30, 1ul << 30};
    int error = 0;
    if (setrlimit(RLIMIT_AS, &limit) || hp_region_create(&region, folder, 256 << 20, 128, &error))
        return false;
    hp_region_remove(&region);
    return region.ledger->layout.size <= 1ul << 26 && region.ledger->budget >= 1 << 20;
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
    bool good = hp_region_create(&region, folder, BUDGET, 128, &error) == 0 && region.shared &&
                region.ledger->budget <= 6 << 20;
    snprintf(path, sizeof path, "%s/ballast", folder);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    static char block[65536];
    while (write(fd, block, sizeof block) > 0)
        ;
    uint64_t refused = 0, taken = 0;
    for (uint64_t i = 1; good && i < 50000; i++) {
        hp_offset stack = add_stack(region.ledger, &i, 1);
        hp_offset entry = stack ? hp_ledger_entry(region.ledger, stack, 1, 0) : 0;
        bool there = entry && add_object(region.ledger, entry, i * 4096, 1);
        taken += there;
        refused += !there;
    }
    close(fd);
    umount2(folder, MNT_DETACH);
    return good && refused > 0 && refused + taken == 49999;
}

static bool falls_back_on_a_small_file_system(void)
{
    int error = 0;
    if (mount("heapprof-test", folder, "tmpfs", 0, "size=2m") < 0)
        return true;
    bool good = hp_region_create(&region, folder, BUDGET, 128, &error) == 0 && !region.shared && error == -ENOSPC;
    umount2(folder, MNT_DETACH);
    return good;
}

static void survives_full_file_systems(void **state)
{
    mounted = mount("heapprof-test", folder, "tmpfs", 0, "size=1m") == 0;
    if (!mounted)
        skip();
    umount2(folder, MNT_DETACH);
    assert_in_child(survives_a_full_file_system);
    assert_in_child(falls_back_on_a_small_file_system);
}

static uint32_t stop;

static void *mutate(void *state)
{
    uint64_t random = (uint64_t)(uintptr_t)state, number = random;
    uint64_t live[256] = {0};
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        unsigned slot = test_random(&random) % 256;
        if (live[slot]) {
            remove_object(region.ledger, live[slot]);
            live[slot] = 0;
            continue;
        }
        const uint64_t frames[] = {test_random(&random) % 5000, 7};
        hp_offset stack = add_stack(region.ledger, frames, 2);
        hp_offset entry = stack ? hp_ledger_entry(region.ledger, stack, 1, 0) : 0;
        uint64_t address = (slot * 16 + number) * 4096;
        if (entry && add_object(region.ledger, entry, address, 1 + slot))
            live[slot] = address;
    }
    return NULL;
}

/* After settling, counters and live objects agree for each entry. */
static bool is_consistent(const struct hp_ledger *ledger)
{
    struct ledger_sums sums = sum_ledger(ledger);
    struct hp_pair live = sum_live(ledger);
    return sums.alloc.objects - sums.freed.objects == live.objects &&
           sums.alloc.bytes - sums.freed.bytes == live.bytes && sums.entries > 0;
}

static int fork_file = -1; /* between prepare and parent or child */

/* The path that the ledger of this process has. */
static void own_name(char path[HP_PATH_MAX])
{
    assert_int_equal(hp_place_ledger(path, folder, getuid(), getpid(), 0), 0);
}

static bool check_child(void)
{
    const struct hp_ledger *before = region.ledger;
    char own[HP_PATH_MAX];
    struct stat status;
    hp_region_fork_child(&region, fork_file, false);
    own_name(own);
    bool placed = region.ledger == before && region.shared && !strcmp(region.path, own) && !lstat(own, &status);
    bool settled = is_consistent(region.ledger), usable = true;
    for (uint64_t i = 1; usable && i < 2000; i++) {
        const uint64_t frames[] = {i, 8};
        hp_offset entry = hp_ledger_entry(region.ledger, add_stack(region.ledger, frames, 2), 2, 0);
        usable = entry && add_object(region.ledger, entry, (1 << 30) + i * 4096, 5);
    }
    bool consistent = is_consistent(region.ledger);
    hp_region_remove(&region);
    if (!placed || !settled || !usable || !consistent)
        print_message("placed %d settled %d usable %d consistent %d\n", placed, settled, usable, consistent);
    return placed && settled && usable && consistent && lstat(own, &status) < 0;
}

static void gives_forked_children_their_own(void **state)
{
    int error;
    pthread_t threads[4];
    assert_int_equal(hp_region_create(&region, folder, BUDGET, 128, &error), 0);
    const uint64_t frames[] = {1};
    hp_offset entry = hp_ledger_entry(region.ledger, add_stack(region.ledger, frames, 1), 1, 0);
    for (uint64_t i = 1; i <= 1000; i++)
        assert_true(add_object(region.ledger, entry, (1ull << 40) + i * 4096, 3));
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, mutate, (void *)(i + 1));
    unsigned bad = 0; /* asserted when nobody works on the region any more */
    for (unsigned round = 0; round < 40; round++) {
        fork_file = hp_region_fork_prepare(&region);
        bad += fork_file < 0;
        pid_t child = fork();
        if (child == 0) {
            alarm(30);
            _exit(check_child() ? 0 : 1);
        }
        hp_region_fork_parent(fork_file);
        int status = -1;
        bad += waitpid(child, &status, 0) != child || status != 0;
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(bad, 0);
    assert_true(is_consistent(region.ledger)); /* the children changed nothing here */
    const struct hp_entry *first = hp_ledger_at(region.ledger, entry);
    assert_int_equal(first->alloc.objects, 1000);
}

static bool child_equals_parent(void)
{
    struct ledger_sums before = sum_ledger(region.ledger);
    struct hp_pair live = sum_live(region.ledger);
    hp_region_fork_child(&region, fork_file, false);
    struct ledger_sums after = sum_ledger(region.ledger);
    struct hp_pair live_after = sum_live(region.ledger);
    hp_region_remove(&region);
    return !memcmp(&before, &after, sizeof before) && !memcmp(&live, &live_after, sizeof live);
}

static void copies_exactly(void **state)
{
    int error;
    for (unsigned shared = 0; shared < 2; shared++) {
        assert_int_equal(hp_region_create(&region, shared ? folder : "none", BUDGET, 128, &error), 0);
        for (uint64_t i = 1; i <= 20000; i++) {
            hp_offset entry = hp_ledger_entry(region.ledger, add_stack(region.ledger, &i, 1), 1, 0);
            assert_true(entry && add_object(region.ledger, entry, i * 4096, i));
            if (i % 3 == 0)
                remove_object(region.ledger, i * 4096);
        }
        fork_file = hp_region_fork_prepare(&region);
        assert_in_child(child_equals_parent);
        hp_region_fork_parent(fork_file);
        hp_region_remove(&region);
        free_ledger(region.ledger);
        region = (struct hp_region){0};
    }
}

static bool child_copies_by_itself(void)
{
    struct hp_ledger *ledger = region.ledger;
    hp_region_fork_child(&region, fork_file, false);
    bool good = region.ledger == ledger && !region.shared && ledger->depth == 77 && ledger->intervals[3] == 4096 &&
                ledger->epoch == 3 && ledger->epoch_count == 4 && ledger->wanted_interval == 4096 &&
                !strcmp(ledger->exe, "/bin/app") && !strcmp(ledger->allocator, "glibc") && ledger->stack_count == 1 &&
                sum_live(ledger).objects == sum_live(region.ledger).objects;
    const uint64_t frames[] = {1};
    return good && hp_ledger_entry(ledger, add_stack(ledger, frames, 1), 1, 0);
}

static void copies_when_fork_went_around_its_handlers(void **state)
{
    int error;
    assert_int_equal(hp_region_create(&region, folder, BUDGET, 77, &error), 0);
    struct hp_ledger *ledger = region.ledger;
    ledger->intervals[3] = ledger->wanted_interval = 4096;
    ledger->epoch = 3;
    ledger->epoch_count = 4;
    strcpy(ledger->exe, "/bin/app");
    strcpy(ledger->allocator, "glibc");
    assert_usable(BUDGET);
    fork_file = -1;
    assert_in_child(child_copies_by_itself);
    assert_int_equal(ledger->stack_count, 1); /* the parent's is its own */
}

static bool sealed_child_makes_no_file(void)
{
    char own[HP_PATH_MAX];
    struct stat status;
    hp_region_fork_child(&region, fork_file, false);
    own_name(own);
    const uint64_t frames[] = {1};
    bool good = !region.shared && lstat(own, &status) < 0 && is_consistent(region.ledger);
    return good && hp_ledger_entry(region.ledger, add_stack(region.ledger, frames, 1), 1, 0);
}

static bool seals(void)
{
    int error;
    if (hp_region_create(&region, folder, BUDGET, 128, &error) || !region.shared)
        return false;
    hp_region_seal(&region, 1 << 20);
    uint64_t reserved = region.ledger->reserved, taken = 0;
    if (reserved < 1 << 20)
        return false;
    for (uint64_t i = 1; i < 100000; i++) {
        hp_offset stack = add_stack(region.ledger, &i, 1);
        hp_offset entry = stack ? hp_ledger_entry(region.ledger, stack, 1, 0) : 0;
        taken += entry && add_object(region.ledger, entry, i * 4096, 1);
    }
    bool good = taken > 500 && taken < 90000 && region.ledger->reserved == reserved && is_consistent(region.ledger);
    fork_file = hp_region_fork_prepare(&region);
    pid_t child = fork();
    if (child == 0)
        _exit(sealed_child_makes_no_file() ? 0 : 1);
    int status = -1;
    waitpid(child, &status, 0);
    hp_region_fork_parent(fork_file);
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
        cmocka_unit_test_setup_teardown(gives_forked_children_their_own, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(copies_exactly, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(copies_when_fork_went_around_its_handlers, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reserves_nothing_more_once_sealed, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
