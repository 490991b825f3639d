#include "../profile/profile_help.h"

#include "report/statistics/slope.h"
#include "report/core/trend.h"

#define INTERVAL 524288
#define SIZE 64
#define SITES 300
#define MOMENTS 20
#define SERIES 60
#define LEAK SITES
#define WARM (SITES + 1)

/* xorshift64*, so that each run draws the same. */
static double draw(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return ((double)(*seed * 0x2545f4914f6cdd1du >> 12) + 0.5) / 4503599627370496.0;
}

static double wait(uint64_t *seed, double mean)
{
    return -mean * log(draw(seed));
}

static void weights_make_least_squares(void **state)
{
    const double even[] = {0, 1, 2, 3, 4}, uneven[] = {0, 4, 8, 9, 10};
    double weights[5], slope = 0, sum = 0;
    hp_trend_weights(even, 5, weights);
    for (int i = 0; i < 5; i++) {
        slope += weights[i] * (7 + 3 * even[i]);
        sum += weights[i];
    }
    assert_true(fabs(slope - 3) < 1e-12 && fabs(sum) < 1e-12);
    hp_trend_weights(uneven, 5, weights);
    slope = 0;
    for (int i = 0; i < 5; i++)
        slope += weights[i] * (7 + 3 * uneven[i]);
    assert_true(fabs(slope - 3) < 1e-12);
    assert_true(fabs(weights[0]) > fabs(weights[4])); /* stands for 2 s, and not for half a second */
    hp_trend_weights((const double[]){5, 5, 5}, 3, weights);
    assert_true(weights[0] == 0 && weights[1] == 0 && weights[2] == 0);
}

static void what_never_changes_has_no_error(void **state)
{
    const double seconds[] = {0, 1, 2, 3}, levels[] = {50, 50, 50, 50}, came[] = {5, 0, 0, 0}, went[] = {0, 0, 0, 0};
    double weights[4];
    hp_trend_weights(seconds, 4, weights);
    struct hp_estimate slope = hp_trend_slope(&(struct hp_trend_entry){levels, came, went, 10}, weights, 4, NULL, NULL);
    assert_true(fabs(slope.value) < 1e-12 && slope.variance < 1e-20 && hp_estimate_error(&slope) < 1e-9);
}

static void a_leak_has_the_error_of_its_arrivals(void **state)
{
    double seconds[101], levels[101], came[101], went[101] = {0}, weights[101];
    for (int i = 0; i <= 100; i++) {
        seconds[i] = i;
        came[i] = i ? 4 : 0;
        levels[i] = 4 * i;
    }
    hp_trend_weights(seconds, 101, weights);
    struct hp_estimate slope =
        hp_trend_slope(&(struct hp_trend_entry){levels, came, went, 1}, weights, 101, NULL, NULL);
    assert_true(fabs(slope.value - 4) < 1e-9);
    /* 400 arrivals in 100 s: the rate has the variance 400 / 100^2, and least squares 6/5 of it. */
    assert_true(fabs(slope.variance / (1.2 * 400 / 1e4) - 1) < 0.02);
    assert_int_equal(slope.samples, 400);
}

/* ------------------------------------------------------------------ simulated series */

static void moment_times(double *seconds, bool thinned)
{
    for (int i = 0; i < MOMENTS; i++)
        seconds[i] = !thinned ? 10 * i : i < MOMENTS / 2 ? 20 * i : 10 * (i + MOMENTS / 2 - 1);
}

/* Adds objects that come at `rate` a second in [from, until) and live `life` seconds in the mean
 * (0: for ever) to the counts of a site. A steady site starts long before the first moment. */
static void simulate(uint64_t *seed, struct hp_series *series, const double *seconds, size_t site, double rate,
                     double life, double from, double until)
{
    for (double born = from + wait(seed, 1 / rate); born < until; born += wait(seed, 1 / rate)) {
        double dies = life > 0 ? born + wait(seed, life) : INFINITY;
        for (int k = 0; k < MOMENTS; k++) {
            struct hp_counts *counts = &series->moments[k].counts[site];
            if (born > seconds[k])
                continue;
            counts->alloc_objects++;
            counts->alloc_bytes += SIZE;
            if (dies > seconds[k]) {
                counts->live_objects++;
                counts->live_bytes += SIZE;
            }
        }
    }
}

static void make_series(uint64_t *seed, bool thinned, struct hp_series *series, double *seconds)
{
    moment_times(seconds, thinned);
    *series = (struct hp_series){.count = MOMENTS};
    series->stacks = hp_profile_new("series");
    series->stacks->interval = INTERVAL;
    series->moments = calloc(MOMENTS, sizeof *series->moments);
    for (int k = 0; k < MOMENTS; k++) {
        series->moments[k].figures.time_ns = 1000000000000 + (int64_t)(seconds[k] * 1e9);
        series->moments[k].entry_count = WARM + 1;
        series->moments[k].counts = calloc(WARM + 1, sizeof(struct hp_counts));
    }
    double end = seconds[MOMENTS - 1];
    for (size_t site = 0; site < SITES; site++) {
        const double lives[] = {2, 25, 400}, life = lives[site % 3], level = 2 + 60 * draw(seed);
        simulate(seed, series, seconds, site, level / life, life, -8 * life, end);
    }
    simulate(seed, series, seconds, LEAK, 0.25, 0, 0, end);
    simulate(seed, series, seconds, WARM, 0.8, 0, 0, 0.4 * end);
    for (uint32_t site = 0; site <= WARM; site++) {
        uint32_t location = hp_profile_add_location(series->stacks, 0x1000 + site);
        hp_profile_add_sample(series->stacks, &location, 1, &series->moments[MOMENTS - 1].counts[site]);
    }
}

struct score {
    int covered, tried, series_with_marks, leaks, warm;
};

static void judge(const struct hp_trends *trends, struct score *score)
{
    int marks = 0;
    for (size_t i = 0; i < trends->count; i++) {
        const struct hp_trend *row = &trends->rows[i];
        size_t site = strtoul(row->place->label, NULL, 16) - 0x1000;
        if (site < LEAK)
            marks += row->significant;
        score->leaks += site == LEAK && row->significant;
        score->warm += site == WARM && row->significant;
        if (site == WARM || row->slope.samples < 10)
            continue;
        double truth = site == LEAK ? 0.25 * INTERVAL : 0;
        score->tried++;
        score->covered += fabs(row->slope.value - truth) <= hp_estimate_error(&row->slope);
    }
    score->series_with_marks += marks > 0;
}

static void finds_leaks_and_nothing_else(void **state)
{
    uint64_t seed = 7;
    for (int thinned = 0; thinned < 2; thinned++) {
        struct score score = {0};
        for (int i = 0; i < SERIES; i++) {
            const struct hp_report_options options = {.view = {.granularity = HP_BY_ADDRESS}};
            struct hp_series series;
            struct hp_trends trends;
            struct hp_error error;
            double seconds[MOMENTS];
            make_series(&seed, thinned, &series, seconds);
            assert_int_equal(hp_trends_build(&series, &options, &trends, &error), 0);
            judge(&trends, &score);
            hp_trends_free(&trends);
            hp_series_free(&series);
        }
        double coverage = 100.0 * score.covered / score.tried;
        print_message("%s moments: %.1f %% of %d intervals hold the truth; %d of %d series with a "
                      "false mark, %d leaks "
                      "found, %d warm-ups marked\n",
                      thinned ? "thinned" : "even", coverage, score.tried, score.series_with_marks, SERIES, score.leaks,
                      score.warm);
        assert_true(coverage > 93 && coverage < 98);
        assert_true(score.series_with_marks <= SERIES / 20 + 3);
        assert_true(score.leaks >= SERIES - 1);
        assert_int_equal(score.warm, 0);
    }
}

static void refuses_too_few(void **state)
{
    const struct hp_report_options options = {.view = {.granularity = HP_BY_ADDRESS}};
    struct hp_series series = {.count = 2};
    struct hp_trends trends;
    struct hp_error error;
    assert_true(hp_trends_build(&series, &options, &trends, &error) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_make_least_squares),
        cmocka_unit_test(what_never_changes_has_no_error),
        cmocka_unit_test(a_leak_has_the_error_of_its_arrivals),
        cmocka_unit_test(finds_leaks_and_nothing_else),
        cmocka_unit_test(refuses_too_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
