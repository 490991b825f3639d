/* Where ledgers lie: which of them are held by a process, also one that /proc does not tell of, and
 * which are removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/ledger_file.h"
#include "ledger/region.h"

#define BUDGET (8ull << 20)
#define NOBODY 4194305 /* above any process number */

static char folder[] = "/dev/shm/heapprof-test-XXXXXX";
static char inner[128];

static int make_folder(void **state)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(inner, sizeof inner, "%s/heapprof-%u", folder, (unsigned)geteuid());
    return 0;
}

static int remove_folder(void **state)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

static struct hp_region create(void)
{
    struct hp_region region = {0};
    int error = -1;
    assert_int_equal(hp_region_create(&region, folder, BUDGET, 128, 524288, &error), 0);
    assert_int_equal(error, 0);
    return region;
}

static void destroy(struct hp_region *region)
{
    hp_region_remove(region);
    hp_region_leave(region);
}

/* A process has one region. Another ledger that is held: one that was left, but is mapped all the same. */
struct held {
    char path[HP_PATH_MAX];
    void *memory;
};

static struct held create_held(void)
{
    struct hp_region region = create();
    struct held held = {.memory = mremap(region.store.ledger, 0, HP_CHUNK, MREMAP_MAYMOVE)};
    assert_true(held.memory != MAP_FAILED);
    strcpy(held.path, region.path);
    hp_region_leave(&region);
    return held;
}

static void let_go(const struct held *held)
{
    munmap(held->memory, HP_CHUNK);
}

static const char *place(int pid, unsigned number)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%d.%u.ledger", inner, pid, number);
    return path;
}

static bool is_there(int pid, unsigned number)
{
    return access(place(pid, number), F_OK) == 0;
}

static void write_dead(unsigned number)
{
    FILE *file = fopen(place(NOBODY, number), "we");
    assert_non_null(file);
    assert_true(fputs("of a process that was killed", file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void is_held_while_mapped(void **state)
{
    struct hp_region region = create();
    char path[HP_PATH_MAX];
    strcpy(path, region.path);
    assert_true(hp_ledger_file_is_held(path, NULL));
    assert_true(hp_ledger_file_is_held(path, NULL)); /* asking changes nothing */
    hp_region_leave(&region);
    assert_false(hp_ledger_file_is_held(path, NULL));
    unlink(path);
    assert_false(hp_ledger_file_is_held(path, NULL));
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(hp_ledger_file_is_held(path, NULL)); /* being made */
    close(fd);
}

static void is_held_by_forked_children(void **state)
{
    struct hp_region region = create();
    int up[2], down[2], status;
    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    pid_t child = fork();
    if (child == 0) {
        char word, parent[HP_PATH_MAX] = "";
        close(down[1]);
        hp_region_leave(&region);
        region = create();
        hp_ledger_file_path(parent, folder, geteuid(), getppid(), 0);
        bool good = hp_ledger_file_is_held(region.path, NULL) && hp_ledger_file_is_held(parent, NULL);
        if (write(up[1], region.path, HP_PATH_MAX) != HP_PATH_MAX)
            good = false;
        while (read(down[0], &word, 1) > 0) /* until the parent closes it, or ends */
            ;
        _exit(good ? 0 : 1);
    }
    char path[HP_PATH_MAX] = "";
    assert_int_equal(read(up[0], path, sizeof path), sizeof path);
    assert_string_not_equal(path, region.path);
    assert_true(hp_ledger_file_is_held(path, NULL));
    close(down[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(hp_ledger_file_is_held(path, NULL));
    assert_true(hp_ledger_file_is_held(region.path, NULL));
    close(up[0]);
    close(up[1]);
    close(down[0]);
    destroy(&region);
}

static void prunes_the_oldest_dead_only(void **state)
{
    struct held other = create_held();
    struct hp_region own = create();
    /* As it looks to a process in another pid namespace: nobody has that number. */
    assert_int_equal(rename(other.path, place(NOBODY, 5)), 0);
    for (unsigned number = 10; number < 10 + 3 * HP_DEAD_MOST; number++)
        write_dead(number);
    hp_ledger_file_prune(inner);
    assert_true(is_there(NOBODY, 5));
    assert_true(access(own.path, F_OK) == 0);
    for (unsigned number = 10; number < 10 + 3 * HP_DEAD_MOST; number++)
        assert_int_equal(is_there(NOBODY, number), number >= 10 + 2 * HP_DEAD_MOST);
    let_go(&other);
    destroy(&own);
}

static void leaves_few_alone(void **state)
{
    struct hp_region region = create();
    for (unsigned number = 10; number < 10 + HP_DEAD_MOST; number++)
        write_dead(number);
    hp_ledger_file_prune(inner);
    for (unsigned number = 10; number < 10 + HP_DEAD_MOST; number++)
        assert_true(is_there(NOBODY, number));
    destroy(&region);
}

/* Processes of two pid namespaces may have the same number. */
static void does_not_take_a_held_name(void **state)
{
    struct held first = create_held(), second = create_held();
    assert_string_not_equal(first.path, second.path);
    assert_true(hp_ledger_file_is_held(first.path, NULL) && hp_ledger_file_is_held(second.path, NULL));
    let_go(&first); /* as exec does */
    struct hp_region third = create();
    assert_string_equal(third.path, first.path);
    let_go(&second);
    destroy(&third);
}

/* As in a container, in which a program that is killed again and again has the same number each time. */
static void keeps_the_ledgers_of_dead_processes(void **state)
{
    for (unsigned killed = 0; killed < 5 * HP_DEAD_MOST; killed++) {
        struct hp_region region = create();
        assert_true(region.shared);
        if (killed < HP_DEAD_MOST)
            for (unsigned number = 0; number <= killed; number++) {
                char path[HP_PATH_MAX];
                assert_int_equal(hp_ledger_file_path(path, folder, geteuid(), getpid(), number), 0);
                assert_int_equal(access(path, F_OK), 0);
            }
        region.store.ledger->made_ticks = 1; /* before this process was there */
        hp_region_leave(&region);
    }
}

static void reads_names(void **state)
{
    int pid;
    uint64_t number;
    assert_true(hp_ledger_file_parse("4711.1234567890123.ledger", &pid, &number));
    assert_int_equal(pid, 4711);
    assert_true(number == 1234567890123);
    assert_true(hp_ledger_file_parse("12.ledger", &pid, &number));
    assert_int_equal(pid, 12);
    assert_true(number == 0);
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "4711",
                                      "4711.",
                                      "4711.1",
                                      "4711.1.ledgers",
                                      ".1.ledger",
                                      "4711.1.",
                                      "4711.0.ledger",
                                      "4711..ledger",
                                      "99999999999.1.ledger",
                                      "1.99999999999999999999.ledger",
                                      "-1.1.ledger",
                                      "a.1.ledger"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(hp_ledger_file_parse(bad[i], &pid, &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_held_while_mapped, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(is_held_by_forked_children, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(prunes_the_oldest_dead_only, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(leaves_few_alone, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(does_not_take_a_held_name, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(keeps_the_ledgers_of_dead_processes, make_folder, remove_folder),
        cmocka_unit_test(reads_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
