/* Scaling, its variance, and whether the 95 % interval holds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "profile/model.h"

#define KIB 1024.0
#define INTERVAL (512 * KIB)

#define assert_near(actual, expected, tolerance) assert_true(fabs((actual) - (expected)) <= (tolerance))

static struct hp_profile *one_sample(double interval, struct hp_counts counts)
{
    struct hp_profile *profile = hp_profile_new("test");
    profile->interval = interval;
    hp_profile_add_sample(profile, NULL, 0, &counts);
    return profile;
}

static void test_formulas(void **state)
{
    struct hp_profile *profile = one_sample(INTERVAL, (struct hp_counts){2, 2048, 5, 163840});
    const struct hp_sample *sample = profile->samples;
    double p = 1 - exp(-1024 / INTERVAL), q = 1 - exp(-32768 / INTERVAL);
    struct hp_estimate e = hp_sample_estimate(profile, sample, HP_INUSE_SPACE, false);
    assert_near(e.value, 2 * 1024 / p, 1e-3);
    assert_near(e.variance / (2 * 1024.0 * 1024 * (1 - p) / p / p), 1, 1e-9);
    assert_int_equal(e.samples, 2);
    assert_near(e.variance * e.variance / e.variance_squares, 2, 1e-9); /* effective samples */
    e = hp_sample_estimate(profile, sample, HP_INUSE_OBJECTS, false);
    assert_near(e.value, 2 / p, 1e-6);
    assert_near(e.variance / (2 * (1 - p) / p / p), 1, 1e-9);
    e = hp_sample_estimate(profile, sample, HP_ALLOC_SPACE, false); /* by its own mean size */
    assert_near(e.value, 163840 / q, 1e-3);
    e = hp_sample_estimate(profile, sample, HP_ALLOC_OBJECTS, true);
    assert_near(e.value, 5, 0);
    assert_near(e.variance, 0, 0);
    hp_profile_free(profile);
}

static void test_exact(void **state)
{
    const double intervals[] = {0, 1};
    for (size_t i = 0; i < 2; i++) {
        struct hp_profile *profile = one_sample(intervals[i], (struct hp_counts){3, 0, 7, 70});
        struct hp_estimate e = hp_sample_estimate(profile, profile->samples, HP_INUSE_OBJECTS, false);
        assert_near(e.value, 3, 0); /* objects of 0 bytes count here */
        e = hp_sample_estimate(profile, profile->samples, HP_ALLOC_SPACE, false);
        assert_near(e.value, 70, 0);
        assert_near(hp_estimate_error(&e), 0, 0);
        hp_profile_free(profile);
    }
}

static void test_nothing(void **state)
{
    struct hp_profile *profile = one_sample(INTERVAL, (struct hp_counts){0, 0, 1, 8});
    struct hp_estimate e = hp_sample_estimate(profile, profile->samples, HP_INUSE_SPACE, false);
    assert_near(e.value, 0, 0);
    assert_near(hp_estimate_error(&e), 0, 0);
    hp_profile_free(profile);
}

static void test_addition(void **state)
{
    struct hp_estimate sum = {0};
    const struct hp_estimate small = {100, 9, 1, 81}, large = {1000, 16, 2, 128};
    hp_estimate_add(&sum, &small);
    hp_estimate_add(&sum, &large);
    assert_near(sum.value, 1100, 0);
    assert_near(sum.variance, 25, 0);
    assert_near(sum.variance_squares, 209, 0);
    assert_int_equal(sum.samples, 3);
    assert_near(hp_estimate_error(&sum), 1.96 * sqrt(25 * (1 + 2 * 209 / 625.0)), 1e-9);
}

/* xorshift64*, so that every run draws the same. */
static double uniform(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return (double)((*seed * 0x2545f4914f6cdd1dU >> 11) + 1) / 9007199254740993.0;
}

/* How many of `objects` are drawn with p each, by the gaps between them. */
static uint64_t draw(uint64_t *seed, double objects, double p)
{
    uint64_t count = 0;
    double at = 0;
    for (;;) {
        at += floor(log(uniform(seed)) / log1p(-p)) + 1;
        if (at > objects)
            return count;
        count++;
    }
}

/* The share of trials in which the truth lies within the interval. sizes: `classes` of them from
 * `smallest`, each four times the one before and with the same expected number of samples. */
static double coverage(double expected, double smallest, int classes, enum hp_sample_type type)
{
    const int trials = 4000;
    uint64_t seed = 88172645463325252U;
    int inside = 0;
    struct hp_profile *profile = one_sample(INTERVAL, (struct hp_counts){0});
    for (int trial = 0; trial < trials; trial++) {
        struct hp_estimate sum = {0};
        double truth = 0, size = smallest;
        for (int i = 0; i < classes; i++, size *= 4) {
            double p = -expm1(-size / INTERVAL);
            double objects = ceil(expected / classes / p);
            uint64_t drawn = draw(&seed, objects, p);
            truth += type == HP_INUSE_SPACE ? objects * size : objects;
            struct hp_sample sample = {.counts = {drawn, drawn * (uint64_t)size, drawn, 0}};
            struct hp_estimate e = hp_sample_estimate(profile, &sample, type, false);
            hp_estimate_add(&sum, &e);
        }
        inside += fabs(sum.value - truth) <= hp_estimate_error(&sum);
    }
    hp_profile_free(profile);
    return (double)inside / trials;
}

static void test_coverage(void **state)
{
    static const struct {
        double expected, smallest;
        int classes;
        double least, most;
    } cases[] = {
        /* one size, small: the Poisson limit. The counts are whole numbers, so coverage jumps
           around 95 %. */
        {3, 64, 1, 0.90, 0.99},
        {10, 64, 1, 0.93, 0.98},
        {14, 64, 1, 0.93, 0.97},
        {30, 64, 1, 0.93, 0.97},
        {100, 64, 1, 0.93, 0.97},
        {10, 1048576, 1, 0.85, 1},
        /* 64 bytes to 1 MiB together */
        {10, 64, 8, 0.93, 0.98},
        {20, 64, 8, 0.93, 0.97},
        {100, 64, 8, 0.93, 0.97},
        {100, 4096, 5, 0.93, 0.97},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double share = coverage(cases[i].expected, cases[i].smallest, cases[i].classes, HP_INUSE_SPACE);
        print_message("%g samples from %g bytes, %d sizes: %.3f\n", cases[i].expected, cases[i].smallest,
                      cases[i].classes, share);
        assert_true(share >= cases[i].least && share <= cases[i].most);
    }
}

static void test_scale_down(void **state)
{
    /* What scaling and rounding leave is enough to find the sampled pair, given the mean size. */
    static const double intervals[] = {1, 4096, 524288, 16777216};
    uint64_t seed = 4711;
    for (size_t i = 0; i < 4000; i++) {
        double interval = intervals[i % 4];
        struct hp_amount raw = {.objects = 1 + (uint64_t)(uniform(&seed) * 50)};
        uint64_t size = (uint64_t)exp(uniform(&seed) * 16) + 1;
        raw.bytes = raw.objects * size;
        struct hp_amount again = hp_scale_down(hp_scale_up(raw, interval), size, interval);
        assert_int_equal(again.objects, raw.objects);
        assert_int_equal(again.bytes, raw.bytes);
    }
}

static void test_scale_down_nonsense(void **state)
{
    /* Figures that no sampling makes still give a counter that readers take. */
    struct hp_amount raw = hp_scale_down((struct hp_amount){1, 1}, 0, INTERVAL);
    assert_int_equal(raw.objects, 1);
    raw = hp_scale_down((struct hp_amount){0, 1000000}, 0, INTERVAL);
    assert_int_equal(raw.objects, 2);
    raw = hp_scale_down((struct hp_amount){0, 0}, 16, INTERVAL);
    assert_int_equal(raw.objects, 0);
}

static void test_rounding(void **state)
{
    assert_int_equal(hp_round(-1), 0);
    assert_int_equal(hp_round(NAN), 0);
    assert_int_equal(hp_round(2.5), 3);
    assert_true(hp_round(INFINITY) == INT64_MAX);
    assert_true(hp_add_clamped(UINT64_MAX, 2) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formulas), cmocka_unit_test(test_exact),
        cmocka_unit_test(test_nothing),  cmocka_unit_test(test_addition),
        cmocka_unit_test(test_coverage), cmocka_unit_test(test_scale_down),
        cmocka_unit_test(test_rounding), cmocka_unit_test(test_scale_down_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
