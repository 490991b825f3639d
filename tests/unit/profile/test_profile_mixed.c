/* Profiles of a process whose interval was changed: `# heapprof.drawn` lines. */
#include "profile_help.h"

#define HEADER "heap profile: 1: 2 [3: 4] @ heap_v2/524288\n"

/* The interval was changed: estimates and errors are those of the samples' own intervals, not of
 * the profile's. */
static void test_changed_interval(void **state)
{
    const char *text = "heap profile: 24: 2400 [40: 4000] @ heap_v2/4096\n"
                       "16: 1600 [32: 3200] @ 0x1001\n# heapprof.drawn = 2: 200 [4: 400] @ 32768\n"
                       "8: 800 [8: 800] @ 0x1001\n"
                       "0: 0 [0: 0] @ 0x2001\n# heapprof.drawn = 1: 9 [1: 9] @ 1\n"
                       "MAPPED_LIBRARIES:\n";
    struct hp_profile *profile = read_string(text);
    struct memory written = text_of(profile, false);
    assert_string_equal(written.data, text);
    free(written.data);
    double p = -expm1(-100 / 32768.0);
    assert_true(profile->mixed && !hp_profile_exact(profile));
    struct hp_estimate e = hp_sample_estimate(profile, &profile->samples[0], HP_INUSE_SPACE, false);
    assert_true(fabs(e.value - 200 / p) < 1e-6 && e.samples == 2);
    assert_true(fabs(e.variance / (2 * 1e4 * (1 - p) / p / p) - 1) < 1e-9);
    e = hp_sample_estimate(profile, &profile->samples[2], HP_INUSE_OBJECTS, false);
    assert_true(e.value == 1 && e.variance == 0);
    /* Merged, and as profile.proto, the estimates stay. */
    const struct hp_profile *const both[] = {profile, profile};
    struct hp_profile *merged = NULL;
    struct hp_error error;
    assert_int_equal(hp_profile_merge(both, 2, &merged, &error), 0);
    assert_int_equal(merged->sample_count, 3);
    assert_true(fabs(total(merged, HP_ALLOC_SPACE) / total(profile, HP_ALLOC_SPACE) - 2) < 1e-9);
    struct memory packed = proto_of(merged);
    struct hp_profile *again = read_bytes(packed.data, packed.size);
    assert_true(fabs(total(again, HP_ALLOC_SPACE) / total(merged, HP_ALLOC_SPACE) - 1) < 1e-4);
    assert_true(again->prescaled && again->interval == 32768);
    hp_profile_free(again);
    free(packed.data);
    hp_profile_free(merged);
    hp_profile_free(profile);
    /* Everything was recorded only in the end. */
    profile = read_string("heap profile: 16: 1600 [16: 1601] @ heapprofile\n"
                          "16: 1600 [16: 1600] @ 0x1001\n# heapprof.drawn = 2: 200 [2: 200] @ 1000\n");
    assert_false(hp_profile_exact(profile));
    assert_true(hp_sample_estimate(profile, profile->samples, HP_INUSE_SPACE, false).variance > 0);
    hp_profile_free(profile);
}

static void test_malformed(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {HEADER "# heapprof.drawn = 1: 2 [3: 4] @ 8\n", "no entry that 'heapprof.drawn'"},
        {HEADER "1: 2 [3: 4] @\n# heapprof.drawn = 1: 2 [3: 4] @ 8\n# heapprof.drawn = 1: 2 [3: 4] @ 8\n",
         "test.heap:4: no entry"},
        {HEADER "1: 2 [3: 4] @\n# heapprof.drawn = 1: 2 [3: 4]\n", "expected '@ INTERVAL'"},
        {HEADER "1: 2 [3: 4] @\n# heapprof.drawn = 1: 2 [3: 4] @ 0\n", "expected '@ INTERVAL'"},
        {HEADER "1: 2 [3: 4] @\n# heapprof.drawn = 1: 2 [0: 4] @ 8\n", "bytes without objects"},
        {HEADER "1: 2 [3: 4] @\n# heapprof.drawn = 5: 2 [3: 4] @ 8\n", "more is live"},
        {HEADER "1: 2 [3: 4] @\n# heapprof.drawn = 1\n", "expected ':'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hp_error error;
        assert_int_not_equal(read_cut(cases[i].text, strlen(cases[i].text), &error), 0);
        if (!strstr(error.text, cases[i].error))
            fail_msg("case %zu says '%s'", i, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changed_interval),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
