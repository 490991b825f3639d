#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbolize/perf_map.h"

static char path[] = "/tmp/test_perf_map.XXXXXX";

static void write_map(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *name_at(const struct hp_perf_map *map, uint64_t address)
{
    uint64_t entry;
    return hp_perf_map_find(map, address, &entry);
}

static void finds_names(void **state)
{
    write_map("7f0000001000 40 LazyCompile:*add /app/main.js:3\n"
              "7f0000002000 100 stub\n"
              "0x7f0000003000 10 with_prefix\n"
              "7f0000001040 20 next");
    struct hp_perf_map *map = hp_perf_map_read(path, 0);
    assert_non_null(map);
    uint64_t entry;
    assert_string_equal(hp_perf_map_find(map, 0x7f000000103f, &entry), "LazyCompile:*add /app/main.js:3");
    assert_int_equal(entry, 0x7f0000001000);
    assert_string_equal(name_at(map, 0x7f0000001040), "next");
    assert_string_equal(name_at(map, 0x7f0000003001), "with_prefix");
    assert_null(name_at(map, 0x7f0000001060));
    assert_null(name_at(map, 0x7f0000000fff));
    assert_null(name_at(map, UINT64_MAX));
    hp_perf_map_free(map);
}

static void later_lines_count(void **state)
{
    write_map("1000 40 old\n1000 20 new\n1010 8 inside\n");
    struct hp_perf_map *map = hp_perf_map_read(path, 0);
    assert_string_equal(name_at(map, 0x1001), "new");
    assert_string_equal(name_at(map, 0x1011), "inside");
    assert_null(name_at(map, 0x1030));
    hp_perf_map_free(map);
}

static void passes_over_what_is_no_line(void **state)
{
    write_map("\n \nhello\n1000\n1000 \n1000 10\n1000 10 \nzz 10 x\n-1 10 x\n1000 0 empty\n"
              "ffffffffffffffff 2 wraps\n11111111111111111111 1 long\n2000 10 good\n");
    struct hp_perf_map *map = hp_perf_map_read(path, 0);
    assert_null(name_at(map, 0x1001));
    assert_null(name_at(map, UINT64_MAX));
    assert_string_equal(name_at(map, 0x2000), "good");
    hp_perf_map_free(map);
    write_map("");
    map = hp_perf_map_read(path, 0);
    assert_null(name_at(map, 0));
    hp_perf_map_free(map);
}

static void stale_and_odd_files_are_none(void **state)
{
    write_map("1000 40 name\n");
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    int64_t changed = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    struct hp_perf_map *map = hp_perf_map_read(path, changed);
    assert_non_null(map);
    hp_perf_map_free(map);
    assert_null(hp_perf_map_read(path, changed + 1));
    assert_null(hp_perf_map_read("/tmp", 0));
    assert_null(hp_perf_map_read("/no/such/file", 0));
    assert_null(hp_perf_map_read("/dev/null", 0));
}

static int make_file(void **state)
{
    int descriptor = mkstemp(path);
    return descriptor < 0 ? -1 : close(descriptor);
}

static int remove_file(void **state)
{
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_names),
        cmocka_unit_test(later_lines_count),
        cmocka_unit_test(passes_over_what_is_no_line),
        cmocka_unit_test(stale_and_odd_files_are_none),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
