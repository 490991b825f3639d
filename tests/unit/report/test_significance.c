#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "report/statistics/significance.h"

/* Two-sided: twice the chance of `most` or more heads in `n` throws of a coin. */
static double binomial(int n, int most)
{
    double sum = 0;
    for (int k = most; k <= n; k++)
        sum += exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * M_LN2);
    return fmin(1, 2 * sum);
}

static double one_weight(double before, double after)
{
    return hp_noise_probability(&(struct hp_noise){524288, 0.999, before, after}, 1, false);
}

static void follows_the_exact_binomial_test(void **state)
{
    for (int n = 1; n <= 60; n++)
        for (int after = n / 2 + 1; after <= n; after++) {
            double exact = binomial(n, after), got = one_weight(n - after, after);
            if (exact < 0.5)
                assert_true(fabs(log(got / exact)) < 0.15);
        }
}

static void knows_no_direction(void **state)
{
    assert_true(one_weight(3, 20) == one_weight(20, 3));
    assert_true(one_weight(7, 7) == 1);
    assert_true(one_weight(0, 0) == 1);
    assert_true(hp_noise_probability(NULL, 0, false) == 1);
}

static void large_objects_make_no_noise(void **state)
{
    /* 10 MiB at 512 KiB: the chance that one was overlooked is 2e-9. */
    struct hp_noise large = {10485760, exp(-20.0), 0, 1};
    double p = hp_noise_probability(&large, 1, false);
    assert_true(p > 0 && p < 1e-6);
    /* Exact: no chance at all. */
    large.keep = 0;
    assert_true(hp_noise_probability(&large, 1, false) == 0);
    /* As large as the interval: a single one may well have a sibling that was overlooked. */
    assert_true(hp_noise_probability(&(struct hp_noise){829000, exp(-1.0), 0, 1}, 1, false) > 0.1);
    /* A few small samples do not hide a large object. */
    struct hp_noise mixed[] = {{524288, 0.999, 3, 2}, {104857600, exp(-200.0), 0, 1}};
    assert_true(hp_noise_probability(mixed, 2, false) < 1e-9);
}

static double choose(int n, int k)
{
    return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1));
}

/* Of `pairs` objects that came and as many that went, each is overlooked with probability q: the
 * chance to see at least `excess` more that came than went. */
static double exact_excess(int pairs, int excess, double q)
{
    double sum = 0;
    for (int came = 0; came <= pairs; came++)
        for (int went = 0; went <= pairs; went++)
            if (came - went >= excess)
                sum += choose(pairs, came) * pow(1 - q, came) * pow(q, pairs - came) * choose(pairs, went) *
                       pow(1 - q, went) * pow(q, pairs - went);
    return fmin(1, 2 * sum);
}

static void rare_misses_are_not_taken_for_impossible(void **state)
{
    for (double q = 0.4; q > 1e-12; q *= 0.4)
        for (int after = 1; after <= 6; after++)
            for (int before = 0; before < after; before++) {
                double got = hp_noise_probability(&(struct hp_noise){1e7, q, before, after}, 1, false);
                /* As many on each side as the samples allow. */
                double exact = exact_excess(after, after - before, q);
                if (exact < 0.2)
                    assert_true(got > exact / 1.2 && got < exact * 1.5);
            }
}

static void churn_is_no_growth(void **state)
{
    /* 12 large objects came and 5 went: no sampling noise, but nothing unusual where objects come
     * and go. */
    struct hp_noise large = {10485760, exp(-20.0), 5, 12, true};
    assert_true(hp_noise_probability(&large, 1, false) < 1e-6);
    assert_true(hp_noise_probability(&large, 1, true) > 0.1);
    large.after = 100;
    assert_true(hp_noise_probability(&large, 1, true) < 1e-9);
    struct hp_noise terms[] = {{1, 0, 0, 1, false}, {1, 0, 0, 2, false}};
    assert_true(hp_noise_one_way(terms, 2));
    terms[1].churns = true;
    assert_false(hp_noise_one_way(terms, 2));
    terms[1] = (struct hp_noise){1, 0, 1, 0, false};
    assert_false(hp_noise_one_way(terms, 2));
    assert_true(hp_noise_one_way(&terms[1], 1));
}

static void terms_add_up(void **state)
{
    struct hp_noise parts[] = {{524288, 0.999, 2, 9}, {524288, 0.999, 1, 6}, {524288, 0.999, 1, 4}};
    double whole = one_weight(4, 19), split = hp_noise_probability(parts, 3, false);
    assert_true(fabs(whole / split - 1) < 1e-6);
}

static void extremes_stay_numbers(void **state)
{
    double p = hp_noise_probability(&(struct hp_noise){1, 1, 0, 1e7}, 1, false);
    assert_true(p >= 0 && p < 1e-300);
    p = hp_noise_probability(&(struct hp_noise){1e18, 0.6, 1e9, 1e9 + 1e5}, 1, false);
    assert_true(p >= 0 && p <= 1);
    struct hp_noise uneven[] = {{1, 0.999, 5, 0}, {1e15, 0.7, 0, 1}, {1e10, 0.01, 2, 3}};
    p = hp_noise_probability(uneven, 3, false);
    assert_true(p >= 0 && p <= 1);
}

/* xorshift64*, so that each run draws the same. */
static double draw(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return (double)(*seed * 0x2545f4914f6cdd1du >> 11) / 9007199254740992.0;
}

static double poisson(uint64_t *seed, double mean)
{
    double limit = exp(-mean), product = draw(seed);
    int n = 0;
    for (; product > limit; n++)
        product *= draw(seed);
    return n;
}

#define SITES 1000
#define DIFFS 300

/* A diff of 1,000 sites of all sizes that do not grow; and the same with one that grew by about 25
 * samples. */
static void count_marks(size_t *diffs_with_marks, size_t *leaks_found)
{
    uint64_t seed = 42;
    static double probabilities[SITES];
    static bool significant[SITES];
    *diffs_with_marks = *leaks_found = 0;
    for (int diff = 0; diff < DIFFS; diff++) {
        for (int site = 0; site < SITES; site++) {
            double mean = 0.3 * exp(5 * (double)site / SITES);
            struct hp_noise terms[2] = {{524288, 0.999, poisson(&seed, mean), poisson(&seed, mean)},
                                        {600000, 0.6, poisson(&seed, mean / 3), poisson(&seed, mean / 3)}};
            probabilities[site] = hp_noise_probability(terms, 2, diff % 2);
        }
        hp_holm(probabilities, SITES, 0.05, significant);
        size_t marks = 0;
        for (int site = 0; site < SITES; site++)
            marks += significant[site];
        *diffs_with_marks += marks > 0;
        probabilities[SITES / 2] = one_weight(0, 25);
        hp_holm(probabilities, SITES, 0.05, significant);
        *leaks_found += significant[SITES / 2];
    }
}

static void marks_leaks_and_nothing_else(void **state)
{
    size_t diffs_with_marks, leaks_found;
    count_marks(&diffs_with_marks, &leaks_found);
    print_message("%zu of %d steady diffs with a mark, %zu leaks found\n", diffs_with_marks, DIFFS, leaks_found);
    assert_true(diffs_with_marks <= DIFFS / 20);
    assert_int_equal(leaks_found, DIFFS);
}

static void holm_steps_down(void **state)
{
    /* Bonferroni would keep 0.02: it is above 0.05 / 4; Holm gets there after the first two fell.
     */
    const double probabilities[] = {0.02, 0.001, 0.9, 0.01};
    bool significant[4];
    hp_holm(probabilities, 4, 0.05, significant);
    assert_true(significant[0] && significant[1] && !significant[2] && significant[3]);
    hp_holm(probabilities, 0, 0.05, significant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_exact_binomial_test),
        cmocka_unit_test(knows_no_direction),
        cmocka_unit_test(large_objects_make_no_noise),
        cmocka_unit_test(terms_add_up),
        cmocka_unit_test(churn_is_no_growth),
        cmocka_unit_test(rare_misses_are_not_taken_for_impossible),
        cmocka_unit_test(extremes_stay_numbers),
        cmocka_unit_test(marks_leaks_and_nothing_else),
        cmocka_unit_test(holm_steps_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
