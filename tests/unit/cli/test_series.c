#include "../profile/profile_help.h"

#include "cli/run/series_recorder.h"
#include "report/core/series.h"

#define HEAD(TIME, INTERVAL)                                                                                           \
    "# heapprof: pid=4242 exe=/opt/server start=77 time=" TIME " interval=" INTERVAL " depth=128\n"                    \
    "# HeapInuse = 5" TIME "\n# HeapIdle = 100\n"                                                                      \
    "MAPPED_LIBRARIES:\n400000-500000 r-xp 00000000 00:00 0 /opt/server\n"

static const char first[] = "heap profile: 3: 300 [4: 400] @ heap_v2/4096\n"
                            "2: 200 [3: 300] @ 0x401235 0x401350\n1: 100 [1: 100] @ 0x401999\n" HEAD("1000", "4096");
/* The first stack has an entry of another size now, the second one is gone, and there is a third.
 */
static const char second[] = "heap profile: 8: 4700 [13: 13100] @ heap_v2/4096\n"
                             "4: 4000 [4: 4000] @ 0x401235 0x401350\n3: 300 [8: 800] @ 0x401235 0x401350\n"
                             "1: 400 [1: 400] @ 0x401777\n" HEAD("1010", "4096");
static const char other_interval[] =
    "heap profile: 1: 100 [1: 100] @ heap_v2/8192\n1: 100 [1: 100] @ 0x401999\n" HEAD("1020", "8192");

static int add(struct hp_series *series, const char *text, struct hp_error *error)
{
    struct hp_profile *profile = read_string(text);
    int status = hp_series_add(series, profile, error);
    hp_profile_free(profile);
    return status;
}

static void entries_keep_their_numbers(void **state)
{
    struct hp_series series = {0};
    struct hp_error error;
    assert_int_equal(add(&series, first, &error), 0);
    assert_int_equal(add(&series, second, &error), 0);
    assert_int_equal(series.count, 2);
    assert_int_equal(series.stacks->sample_count, 4);
    const struct hp_counts was = hp_series_counts(&series, 0, 0), is = hp_series_counts(&series, 1, 0);
    assert_true(was.live_bytes + was.alloc_bytes == 500 || was.live_bytes + was.alloc_bytes == 200);
    size_t churn = was.live_bytes == 200 ? 0 : 1, gone = 1 - churn;
    assert_int_equal(hp_series_counts(&series, 1, churn).live_bytes, 300);
    assert_int_equal(hp_series_counts(&series, 1, churn).alloc_objects, 8);
    assert_int_equal(hp_series_counts(&series, 1, gone).live_objects, 0);
    assert_int_equal(hp_series_counts(&series, 1, gone).alloc_bytes, 100); /* was allocated all the same */
    uint64_t fresh = 0;
    for (size_t i = 2; i < 4; i++) {
        assert_int_equal(hp_series_counts(&series, 0, i).alloc_bytes, 0);
        fresh += hp_series_counts(&series, 1, i).live_bytes;
    }
    assert_int_equal(fresh, 4400);
    assert_true(is.alloc_bytes > 0);
    assert_true(series.moments[0].figures.inuse == 51000 && series.moments[1].figures.inuse == 51010);
    assert_int_equal(series.stacks->locations[0].module, 0);
    assert_string_equal(hp_profile_fact(series.stacks, "heapprof.time"), "1010");
    hp_series_free(&series);
}

static void what_is_no_series_is_refused(void **state)
{
    struct hp_series series = {0};
    struct hp_error error;
    assert_int_equal(add(&series, second, &error), 0);
    assert_true(add(&series, first, &error) < 0 && strstr(error.text, "is not later than"));
    assert_true(add(&series, other_interval, &error) < 0 && strstr(error.text, "different intervals"));
    assert_true(add(&series, "heap profile: 1: 1 [1: 1] @ heap_v2/4096\n1: 1 [1: 1] @ 0x1\n", &error) < 0);
    assert_true(strstr(error.text, "not from heapprof"));
    assert_int_equal(series.count, 1);
    hp_series_free(&series);
}

/* However long it lasts, the moments that are kept begin where it began, and no gap is too long. */
static void thinning_covers_the_whole_run(void **state)
{
    int64_t times[65];
    size_t count = 0;
    for (int64_t now = 0; now < 50000; now++) {
        times[count++] = now;
        if (count < 65)
            continue;
        size_t spare = hp_series_spare(times, count);
        memmove(&times[spare], &times[spare + 1], (--count - spare) * sizeof *times);
        assert_int_equal(times[0], 0);
        assert_int_equal(times[count - 1], now);
        for (size_t i = 1; i < count; i++)
            assert_true(times[i] - times[i - 1] <= now / 20 + 2);
    }
    assert_true(times[63] - times[53] < times[10] - times[0]); /* the later, the denser */
}

static void check_name(const char *pattern, const char *wanted)
{
    char *name = hp_series_file_name(pattern, "a/b c", 4711, 12, 1700000000);
    assert_string_equal(name, wanted);
    free(name);
}

static void files_are_named_by_the_pattern(void **state)
{
    check_name("heapprof.%e.%p.%n.heap", "heapprof.a_b_c.4711.s0012.heap");
    check_name("%t-%n%%.heap.gz", "1700000000-s0012%.heap.gz");
    check_name("mine.heap", "mine.s0012.heap");
    check_name("mine.%p.heap.gz", "mine.4711.s0012.heap.gz");
    check_name("mine.gz", "mine.s0012.gz");
    check_name("mine", "mine.s0012");
    check_name("50%%n", "50%n.s0012");
    check_name("end%", "end%.s0012");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_keep_their_numbers),
        cmocka_unit_test(what_is_no_series_is_refused),
        cmocka_unit_test(thinning_covers_the_whole_run),
        cmocka_unit_test(files_are_named_by_the_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
