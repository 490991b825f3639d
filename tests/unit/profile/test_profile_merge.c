/* Merging: locations by file and offset, sums, facts, and that no estimate changes. */
#include "profile_help.h"

/* One of two runs of a program at different load addresses; b has a library more, where a has its
 * libc. */
#define RUN_A                                                                                                          \
    "heap profile: 0: 0 [0: 0] @ heap_v2/524288\n"                                                                     \
    "2: 2048 [4: 4096] @ 0x1011 0x9101\n"                                                                              \
    "3: 301 [3: 333] @ 0x9102\n"                                                                                       \
    "# heapprof: version=1 pid=1 exe=/bin/x samples=7 lost=1\n"                                                        \
    "# HeapInuse = 100\n# MaxRSS = 30\n# heapprof.allocator = glibc\n"                                                 \
    "# heapprof.module = 0x1000 aa\n"                                                                                  \
    "MAPPED_LIBRARIES:\n"                                                                                              \
    "1000-2000 r-xp 00001000 00:00 0 /bin/x\n"                                                                         \
    "9000-a000 r-xp 00000000 00:00 0 /lib/libc.so\n"
#define RUN_B                                                                                                          \
    "heap profile: 0: 0 [0: 0] @ heap_v2/524288\n"                                                                     \
    "3: 3072 [3: 3072] @ 0x5011 0x8101\n"                                                                              \
    "3: 302 [3: 333] @ 0x8102\n"                                                                                       \
    "5: 5 [5: 5] @ 0x9010 0x123456\n"                                                                                  \
    "# heapprof: version=1 pid=2 exe=/bin/x samples=5 lost=0\n"                                                        \
    "# HeapInuse = 11\n# MaxRSS = 20\n# heapprof.allocator = jemalloc\n"                                               \
    "# heapprof.module = 0x5000 aa\n"                                                                                  \
    "MAPPED_LIBRARIES:\n"                                                                                              \
    "5000-6000 r-xp 00001000 00:00 0 /tmp/copy-of-x\n"                                                                 \
    "8000-9000 r-xp 00000000 00:00 0 /lib/libc.so\n"                                                                   \
    "9000-a000 r-xp 00000000 00:00 0 /lib/other.so\n"

static struct hp_profile *merge(const char *first, const char *second)
{
    struct hp_profile *parts[] = {read_string(first), read_string(second)};
    struct hp_profile *merged = NULL;
    struct hp_error error;
    const struct hp_profile *const *list = (const struct hp_profile *const *)parts;
    assert_int_equal(hp_profile_merge(list, 2, &merged, &error), 0);
    for (int type = 0; type < HP_SAMPLE_TYPES; type++) {
        double sum = total(parts[0], type) + total(parts[1], type);
        assert_true(fabs(total(merged, type) - sum) <= 1e-9 * sum);
    }
    hp_profile_free(parts[0]);
    hp_profile_free(parts[1]);
    return merged;
}

static void test_two_runs(void **state)
{
    struct hp_profile *merged = merge(RUN_A, RUN_B);
    assert_false(merged->prescaled);
    /* 2: 2048 and 3: 3072 are one stack and one size; 3: 301 and 3: 302 one stack only. */
    assert_int_equal(merged->sample_count, 4);
    assert_int_equal(merged->samples[0].counts.live_objects, 5);
    assert_int_equal(merged->samples[0].counts.alloc_bytes, 7168);
    assert_int_equal(merged->module_count, 3);
    assert_int_equal(merged->location_count, 5);
    assert_string_equal(merged->modules[merged->locations[0].module].path, "/bin/x");
    assert_int_equal(merged->locations[0].offset, 0x1010);
    for (size_t i = 0; i < 3; i++) /* other.so had to make room for a's libc */
        for (size_t k = 0; k < i; k++)
            assert_true(merged->modules[i].start >= merged->modules[k].limit ||
                        merged->modules[k].start >= merged->modules[i].limit);
    assert_string_equal(hp_profile_fact(merged, "HeapInuse"), "111");
    assert_string_equal(hp_profile_fact(merged, "heapprof.samples"), "12");
    assert_string_equal(hp_profile_fact(merged, "heapprof.lost"), "1");
    assert_string_equal(hp_profile_fact(merged, "MaxRSS"), "30");
    assert_string_equal(hp_profile_fact(merged, "heapprof.exe"), "/bin/x");
    assert_null(hp_profile_fact(merged, "heapprof.pid"));
    assert_null(hp_profile_fact(merged, "heapprof.allocator"));

    /* The addresses say the same as the offsets: reading it back changes nothing. */
    struct memory text = text_of(merged, false);
    struct hp_profile *again = read_string(text.data);
    struct memory twice = text_of(again, false);
    assert_string_equal(text.data, twice.data);
    assert_string_equal(merged->modules[merged->locations[3].module].path, "/lib/other.so");
    for (size_t i = 0; i < again->location_count; i++)
        if (again->locations[i].offset == 0xf && again->locations[i].module != HP_NO_MODULE)
            assert_string_equal(again->modules[again->locations[i].module].path, "/lib/other.so");
    free(text.data);
    free(twice.data);
    hp_profile_free(again);
    hp_profile_free(merged);
}

static void test_with_itself(void **state)
{
    struct hp_profile *merged = merge(DUMP, DUMP), *single = read_string(DUMP);
    assert_int_equal(merged->sample_count, single->sample_count);
    assert_int_equal(merged->location_count, single->location_count);
    assert_int_equal(merged->frame_count, single->frame_count);
    assert_true(merged->time_ns == single->time_ns);
    for (size_t i = 0; i < single->sample_count; i++)
        assert_int_equal(merged->samples[i].counts.live_bytes, 2 * single->samples[i].counts.live_bytes);
    hp_profile_free(merged);
    hp_profile_free(single);
}

static void test_intervals(void **state)
{
    static const char exact[] = "heap profile: 0: 0 [0: 0] @ heapprofile\n7: 70 [8: 80] @ 0x1011\n"
                                "MAPPED_LIBRARIES:\n1000-2000 r-xp 00001000 00:00 0 /bin/x\n";
    struct hp_profile *merged = merge(RUN_A, exact);
    assert_true(merged->prescaled);
    struct hp_estimate e = hp_sample_estimate(merged, &merged->samples[2], HP_INUSE_SPACE, false);
    assert_true(e.value == 70 && e.variance == 0 && e.samples == 7);
    struct hp_profile *single = read_string(RUN_A);
    for (int type = 0; type < HP_SAMPLE_TYPES; type++) {
        struct hp_estimate a = hp_sample_estimate(single, single->samples, type, false);
        struct hp_estimate b = hp_sample_estimate(merged, merged->samples, type, false);
        assert_true(fabs(a.variance / b.variance - 1) < 1e-9);
        assert_int_equal(a.samples, b.samples);
    }
    hp_profile_free(single);
    hp_profile_free(merged);
}

static void test_lines(void **state)
{
    static const char named[] = "heap profile: 0: 0 [0: 0] @ heapprofile\n"
                                "7: 70 [8: 80] @ 0x1011 0x2000\n#\t0x1010\tmain.f+0x1\t/a.go:1\n";
    static const char plain[] = "heap profile: 0: 0 [0: 0] @ heapprofile\n"
                                "7: 70 [8: 80] @ 0x1011 0x2000\n";
    static const char other[] = "heap profile: 0: 0 [0: 0] @ heapprofile\n"
                                "7: 70 [8: 80] @ 0x1011 0x2000\n#\t0x1010\tmain.g+0x1\t/a.go:1\n";
    static const struct {
        const char *first, *second;
        size_t samples, locations;
    } cases[] = {
        {named, plain, 1, 2}, /* one knows the name, for both */
        {plain, named, 1, 2},
        {named, named, 1, 2},
        {named, other, 2, 3}, /* two programs */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hp_profile *merged = merge(cases[i].first, cases[i].second);
        assert_int_equal(merged->sample_count, cases[i].samples);
        assert_int_equal(merged->location_count, cases[i].locations);
        assert_string_equal(frame(merged, 0, 0)->lines[0].function, "main.f");
        hp_profile_free(merged);
    }
}

static void test_nothing(void **state)
{
    struct hp_error error;
    struct hp_profile *merged;
    assert_true(hp_profile_merge(NULL, 0, &merged, &error) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_runs), cmocka_unit_test(test_with_itself), cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
