/* Where the resident set goes, from texts like /proc/PID/smaps: each kind of mapping is told, the sums hold, whatever
 * the text and the buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ledger/resident.h"

#define KIB 1024ull
#define MIB (1024ull * KIB)

static struct hp_resident read_text(const char *text, const struct hp_resident_hints *hints, size_t buffer_size)
{
    static const struct hp_resident_hints none = {.pagemap = -1};
    char *buffer = malloc(buffer_size);
    int fd = memfd_create("smaps", 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    lseek(fd, 0, SEEK_SET);
    struct hp_resident resident = hp_resident_read(fd, hints ? hints : &none, buffer, buffer_size);
    close(fd);
    free(buffer);
    assert_int_equal(resident.rss, resident.heap + resident.anonymous + resident.stacks + resident.program +
                                       resident.files + resident.shared + resident.own);
    assert_true(resident.maybe <= resident.anonymous);
    return resident;
}

static void tells_each_kind(void **state)
{
    const char *text =
        "400000-401000 r--p 00000000 fe:01 1234                       /usr/bin/app\n"
        "Size:                  4 kB\nRss:                   1 kB\nSwap:                  7 kB\n"
        "401000-402000 r-xp 00001000 fe:01 1234                       /usr/bin/app\nRss: 2 kB\n"
        "402000-403000 rw-p 00002000 fe:01 1234                       /usr/bin/app\nRss: 4 kB\n"
        "403000-503000 rw-p 00000000 00:00 0 \nRss: 8 kB\n" /* its zero-initialised data */
        "600000-700000 rw-p 00000000 00:00 0                          [heap]\nRss: 16 kB\n"
        "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \nRss: 32 kB\n"
        "7f0000200000-7f0000300000 r--p 00000000 fe:01 55                       /usr/share/data\nRss: 64 kB\n"
        "7f0000300000-7f0000400000 rw-s 00000000 00:05 99    /dev/zero (deleted)\nRss: 128 kB\n"
        "7f0000400000-7f0000500000 rw-s 00000000 00:1b 77    /dev/shm/heapprof-0/12.3456.ledger (deleted)\n"
        "Rss: 256 kB\n"
        "7f0000500000-7f0000600000 r-xp 00000000 fe:01 66    /opt/lib/libheapprof.so\nRss: 512 kB\n"
        "7f0000600000-7f0000640000 rw-p 00000000 00:00 0 \nRss: 1024 kB\n" /* its data */
        "7f0000700000-7f0000701000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
        "7f0000701000-7f0000f01000 rw-p 00000000 00:00 0 \nRss: 2048 kB\n"
        "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0      [stack]\nRss: 4096 kB\n"
        "7ffc00031000-7ffc00032000 r-xp 00000000 00:00 0      [vdso]\nRss: 8192 kB\n";
    for (size_t size = 256; size < 5000; size += 71) {
        struct hp_resident resident = read_text(text, NULL, size);
        assert_true(resident.known);
        assert_int_equal(resident.rss, 16383 * KIB);
        assert_int_equal(resident.program, (1 + 2 + 4 + 8 + 8192) * KIB);
        assert_int_equal(resident.heap, 16 * KIB);
        assert_int_equal(resident.heap_size, MIB);
        assert_int_equal(resident.anonymous, 32 * KIB);
        assert_int_equal(resident.files, 64 * KIB);
        assert_int_equal(resident.shared, 128 * KIB);
        assert_int_equal(resident.own, (256 + 512 + 1024) * KIB);
        assert_int_equal(resident.stacks, (2048 + 4096) * KIB);
        assert_int_equal(resident.swapped, 7 * KIB);
    }
}

static void knows_own_memory_by_hints(void **state)
{
    const char *text = "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \nRss: 1 kB\n"
                       "7f0000200000-7f0000300000 rw-s 00000000 00:1b 4711    /dev/shm/#4711 (deleted)\nRss: 2 kB\n"
                       "7f0000400000-7f0000500000 rw-p 00000000 00:00 0 \nRss: 4 kB\n";
    const struct hp_resident_hints hints = {
        .own = {{0x7f0000000000, 0x7f0000100000}}, .ledger_inode = 4711, .pagemap = -1};
    struct hp_resident resident = read_text(text, &hints, 4096);
    assert_int_equal(resident.own, 3 * KIB);
    assert_int_equal(resident.anonymous, 4 * KIB);
}

/* Beside a library anonymous memory may be anything; so may 64 MiB at a multiple of 64 MiB. */
static void does_not_guess(void **state)
{
    struct hp_resident resident =
        read_text("7f0000000000-7f0000100000 r-xp 00000000 fe:01 55                       /lib/libc.so.6\nRss: 1 kB\n"
                  "7f0000100000-7f0000200000 rw-p 00000000 00:00 0 \nRss: 2 kB\n"
                  "7f0010000000-7f0014000000 rw-p 00000000 00:00 0 \nRss: 4 kB\n"
                  "7f0018000000-7f0018100000 rw-p 00000000 00:00 0 \nRss: 8 kB\n" /* an arena: its tail follows */
                  "7f0018100000-7f001c000000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
                  "7f0020000000-7f0020100000 rw-p 00000000 00:00 0 \nRss: 16 kB\n"
                  "7f0020100000-7f0020200000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
                  "20000000000-20002000000 rw-p 00000000 00:00 0 \nRss: 32 kB\n" /* where mimalloc's segments are */,
                  NULL, 4096);
    assert_int_equal(resident.program, 1 * KIB);
    assert_int_equal(resident.heap, (8 + 32) * KIB);
    assert_int_equal(resident.heap_size, 33 * MIB);
    assert_int_equal(resident.anonymous, (2 + 4 + 16) * KIB);
    assert_int_equal(resident.maybe, (4 + 16) * KIB);
    assert_int_equal(resident.maybe_size, 65 * MIB);
    struct hp_resident same = resident;
    hp_resident_add_arenas(&same, 33 * MIB);
    assert_int_equal(same.heap, resident.heap);
    hp_resident_add_arenas(&same, (33 + 65) * MIB);
    assert_int_equal(same.heap, resident.heap + resident.maybe);
    hp_resident_add_heap(&same, 100 * MIB); /* no more than there is */
    assert_int_equal(same.anonymous, 0);
    assert_int_equal(same.maybe, 0);
    assert_int_equal(same.heap, resident.heap + resident.anonymous);
}

/* A stack and what lies above it, as one mapping. */
static void cuts_stacks_from_what_lies_above(void **state)
{
    const size_t pages = 64;
    char text[512], *memory = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(memory, pages * 4096, MADV_NOHUGEPAGE);
    for (size_t i = 10; i < pages; i += 2)
        memory[i * 4096] = 1;
    unsigned long start = (unsigned long)memory;
    snprintf(text, sizeof text,
             "%lx-%lx ---p 00000000 00:00 0 \nRss: 0 kB\n%lx-%lx rw-p 00000000 00:00 0 \nRss: %zu kB\n", start - 4096,
             start, start, start + pages * 4096, 4 * (pages - 10) / 2);
    struct hp_resident_hints hints = {.stack_size = 21 * 4096, .pagemap = hp_proc_open("self", "pagemap")};
    assert_true(hints.pagemap >= 0);
    struct hp_resident resident = read_text(text, &hints, 4096);
    assert_int_equal(resident.stacks, 5 * 4096); /* pages 10 to 18 */
    assert_int_equal(resident.anonymous, 22 * 4096);
    hints.stack_size = 64 * 4096;
    resident = read_text(text, &hints, 4096);
    assert_int_equal(resident.stacks, 27 * 4096);
    close(hints.pagemap);
    munmap(memory, pages * 4096);
}

static void takes_any_text(void **state)
{
    static const char *const texts[] = {"",
                                        "\n\n\n",
                                        "Rss:",
                                        "Rss: 99999999999999999999999999 kB\n",
                                        "7f0000000000",
                                        "7f0000000000-\n",
                                        "7f0000000000-7f0000001000 rw\n",
                                        "7f0000000000-7f0000001000 rw-p\n",
                                        "7f0000000000-7f0000001000 rw-p 0\n",
                                        "7f0000000000-7f0000001000 rw-p 0 x:y\n",
                                        "7f0000000000-7f0000001000 rw-p 0 0:0 \nRss: 1 kB",
                                        "ffffffffffffffffffff-0 rw-p 0 0:0 0\nRss: 4 kB\n0-0 ---p 0 0:0 0\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        read_text(texts[i], NULL, 64);
    char *line = malloc(100000); /* longer than the buffer, in the midst of it what looks like figures */
    memset(line, 'x', 99999);
    memcpy(line, "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 /", 49);
    memcpy(line + 50000, "Rss: 77 kB", 10);
    strcpy(line + 99980, "\nRss: 3 kB\n");
    assert_int_equal(read_text(line, NULL, 128).rss, 3 * KIB);
    free(line);
    assert_false(hp_resident_read(-1, &(struct hp_resident_hints){.pagemap = -1}, (char[64]){0}, 64).known);
}

/* What the kernel says of this very process. */
static void reads_a_process(void **state)
{
    char *buffer = malloc(16384);
    struct hp_resident_hints hints = {.pagemap = -1};
    struct hp_resident before = hp_resident_of("self", 0, &hints, buffer, 16384);
    char *memory = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, 32 * MIB);
    struct hp_resident after = hp_resident_of("self", 0, &hints, buffer, 16384);
    assert_true(before.known && after.known && before.program && before.stacks && before.heap);
    assert_int_equal(after.shared - before.shared, 32 * MIB);
    assert_true(hints.stack_size);
    assert_false(hp_resident_of("no-such-process", 0, &hints, buffer, 16384).known);
    assert_false(hp_resident_of("../../../../../../etc", 0, &hints, buffer, 16384).known);
    munmap(memory, 32 * MIB);
    free(buffer);
}

/* A reading is for figures of the same moment: not when it is old, and not when other memory was live then. */
static void keeps_a_reading_for_its_moment(void **state)
{
    const uint64_t second = 1000000000, live = 100 * MIB;
    struct hp_resident_kept kept = {0};
    struct hp_resident resident = {.known = 1, .rss = 5 * MIB}, recalled = {0};
    uint64_t age = 0;
    assert_false(hp_resident_recall(&kept, second, live, HP_RESIDENT_HASTY, &recalled, &age));
    hp_resident_keep(&kept, second, second + second / 100, live, &resident);
    assert_true(hp_resident_recall(&kept, second + second / 10, live, HP_RESIDENT_SOON, &recalled, &age));
    assert_int_equal(recalled.rss, 5 * MIB);
    assert_int_equal(age, second / 10);
    assert_false(hp_resident_recall(&kept, second + second / 2, live, HP_RESIDENT_SOON, &recalled, &age));
    assert_false(hp_resident_recall(&kept, second, live, HP_RESIDENT_NOW, &recalled, &age));
    assert_true(hp_resident_recall(&kept, second + second / 2, live + 3 * MIB, HP_RESIDENT_HASTY, &recalled, &age));
    assert_false(hp_resident_recall(&kept, second + 1, live + 5 * MIB, HP_RESIDENT_HASTY, &recalled, &age));
    assert_false(hp_resident_recall(&kept, second + 1, live - 5 * MIB, HP_RESIDENT_HASTY, &recalled, &age));
    hp_resident_keep(&kept, second, second + second / 100, MIB / 2, &resident);
    assert_true(hp_resident_recall(&kept, second + 1, MIB, HP_RESIDENT_HASTY, &recalled, &age)); /* little is little */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_each_kind),
        cmocka_unit_test(knows_own_memory_by_hints),
        cmocka_unit_test(does_not_guess),
        cmocka_unit_test(cuts_stacks_from_what_lies_above),
        cmocka_unit_test(takes_any_text),
        cmocka_unit_test(reads_a_process),
        cmocka_unit_test(keeps_a_reading_for_its_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
