/* The sampler: gaps are exponential, an object of size s is sampled with probability 1 - exp(-s / interval) whatever
 * came before, and neither fresh threads, changed intervals nor the cut at HP_STRIDE bias that. Seeds are fixed: a test
 * fails always or never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kinds/heap/sampler.h"
#include "uniform.h"

/* As the hooks do it. */
static bool allocate(size_t size, uint64_t interval)
{
    return hp_charge(size) && hp_sampler_due(&hp_thread, size, interval);
}

static void start_thread(uint64_t seed)
{
    memset(&hp_thread, 0, sizeof hp_thread);
    hp_thread.random = seed;
}

static void gaps_are_exponential(void **state)
{
    enum { COUNT = 100000 };
    static const uint64_t intervals[] = {4096, 65536, 524288, 1 << 24, 1ull << 30, 1ull << 40};
    double *uniform = malloc(COUNT * sizeof *uniform);
    for (size_t k = 0; k < sizeof intervals / sizeof intervals[0]; k++) {
        uint64_t random = 1000 + k;
        double interval = (double)intervals[k], sum = 0;
        for (size_t i = 0; i < COUNT; i++) {
            uint64_t gap = hp_sampler_gap(&random, intervals[k]);
            assert_true(gap >= 1);
            sum += (double)gap;
            uniform[i] = -expm1(-((double)gap - 0.5) / interval); /* middle of the whole number's range */
        }
        double a2 = anderson_darling(uniform, COUNT);
        double mean = sum / COUNT, error = (mean - 0.5 - interval) / (interval / sqrt(COUNT));
        print_message("interval %.0f: A2 %.2f, mean off by %.2f sigma\n", interval, a2, error);
        assert_true(a2 < 3.857);
        assert_true(fabs(error) < 4);
    }
    free(uniform);
}

static void small_gaps_are_exact(void **state)
{
    enum { COUNT = 1000000 };
    const uint64_t interval = 16;
    uint64_t random = 7, at_most[65] = {0};
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t gap = hp_sampler_gap(&random, interval);
        for (uint64_t s = gap; s <= 64; s++)
            at_most[s]++;
    }
    for (unsigned s = 1; s <= 64; s++) {
        double p = -expm1(-(double)s / (double)interval);
        double sigma = sqrt(p * (1 - p) * COUNT);
        assert_true(fabs((double)at_most[s] - p * COUNT) < 4.5 * sigma); /* 64 dependent comparisons */
    }
}

struct tally {
    double sigma; /* how far the share of samples is off */
    uint64_t samples;
};

static struct tally sample_many(size_t size, uint64_t interval, uint64_t count)
{
    struct tally tally = {0};
    for (uint64_t i = 0; i < count; i++)
        tally.samples += allocate(size, interval);
    double p = -expm1(-(double)size / (double)interval);
    double variance = p * (1 - p) * (double)count + 1; /* 1: below it nothing is normally distributed */
    tally.sigma = ((double)tally.samples - p * (double)count) / sqrt(variance);
    return tally;
}

static void objects_of_each_size_are_sampled_as_promised(void **state)
{
    static const uint64_t intervals[] = {4096, 524288, 1 << 22};
    for (size_t k = 0; k < sizeof intervals / sizeof intervals[0]; k++) {
        for (size_t size = 1; size <= 4 << 20; size *= 4) {
            start_thread(size + k);
            uint64_t count = size < 4096 ? 4000000 : 400000;
            struct tally tally = sample_many(size, intervals[k], count);
            print_message("interval %lu size %zu: %lu samples, off by %.2f sigma\n", (unsigned long)intervals[k], size,
                          (unsigned long)tally.samples, tally.sigma);
            assert_true(fabs(tally.sigma) < 4);
        }
    }
}

static void mixed_sizes_do_not_disturb_each_other(void **state)
{
    enum { COUNT = 2000000 };
    static const size_t sizes[] = {16, 700, 40000, 600000};
    uint64_t samples[4] = {0}, counts[4] = {0}, order = 12345;
    const uint64_t interval = 65536;
    start_thread(99);
    for (unsigned i = 0; i < COUNT; i++) {
        order = order * 6364136223846793005ull + 1442695040888963407ull;
        unsigned k = order >> 62;
        counts[k]++;
        samples[k] += allocate(sizes[k], interval);
    }
    for (unsigned k = 0; k < 4; k++) {
        double p = -expm1(-(double)sizes[k] / (double)interval), n = (double)counts[k];
        assert_true(fabs((double)samples[k] - p * n) < 4 * sqrt(p * (1 - p) * n) + 1e-6);
    }
}

static void first_allocations_of_threads_are_not_biased(void **state)
{
    enum { THREADS = 400000 };
    static const size_t sizes[] = {64, 4096, 100000, 1 << 20};
    const uint64_t interval = 524288;
    uint64_t seed = 5;
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned nth = 1; nth <= 3; nth += 2) {
            uint64_t samples = 0;
            for (unsigned i = 0; i < THREADS; i++) {
                bool sampled = false;
                start_thread(seed += 0x1234567);
                for (unsigned j = 0; j < nth; j++)
                    sampled = allocate(sizes[k], interval);
                samples += sampled;
            }
            double p = -expm1(-(double)sizes[k] / (double)interval);
            assert_true(fabs((double)samples - p * THREADS) < 4 * sqrt(p * (1 - p) * THREADS));
        }
    }
    /* Their own seeds differ, too. */
    start_thread(0);
    allocate(1, interval);
    uint64_t first = hp_thread.random;
    start_thread(0);
    allocate(1, interval);
    assert_true(first && hp_thread.random && first != hp_thread.random);
}

static void changed_intervals_hold_from_the_next_allocation_on(void **state)
{
    static const uint64_t intervals[] = {1 << 20, 4096, 1 << 24, 65536};
    start_thread(3);
    for (unsigned i = 0; i < 4; i++) {
        struct tally tally = sample_many(1000, intervals[i], 2000000);
        assert_true(fabs(tally.sigma) < 4);
    }
    /* From off to on: the thread sees it when its stride is through, and is then not biased. */
    start_thread(4);
    for (unsigned i = 0; i < 100; i++)
        assert_false(allocate(1 << 20, 0));
    uint64_t passed = 0;
    while (hp_thread.drawn != 524288 + 1) {
        allocate(4096, 524288);
        passed += 4096;
    }
    assert_true(passed <= HP_STRIDE + 4096);
    assert_true(fabs(sample_many(4096, 524288, 1000000).sigma) < 4);
}

/* A thread learns of a change when its gap ends: the sample that is due there must not be lost, which stands for all
 * bytes of the gap, and none may come twice. With a martingale's variance: it is chance when a thread is through. */
static void a_change_loses_no_sample(void **state)
{
    enum { THREADS = 100000 };
    const uint64_t interval = 65536;
    static const uint64_t next_intervals[] = {4096, 1 << 20, 0, 1};
    static const size_t sizes[] = {1000, 65536, 200000};
    uint64_t seed = 77;
    for (unsigned k = 0; k < 12; k++) {
        uint64_t next = next_intervals[k % 4];
        size_t size = sizes[k / 4];
        double objects = 0, samples = 0, p = -expm1(-(double)size / (double)interval);
        for (unsigned i = 0; i < THREADS; i++) {
            start_thread(seed += 0x1234567);
            allocate(size, interval); /* draws the gap */
            while (hp_thread.drawn == interval + 1) {
                samples += allocate(size, next);
                objects++;
            }
            assert_int_equal(hp_thread.due_interval, interval);
        }
        print_message("to %lu, size %zu: %.0f of %.0f objects\n", (unsigned long)next, size, samples / p, objects);
        assert_true(fabs(samples - objects * p) < 4 * sqrt(objects * p * (1 - p)));
    }
}

/* Gaps of 64 MiB and more are handed out in strides; each stride asks, and most have no sample. */
static void the_stride_does_not_bias(void **state)
{
    const uint64_t interval = 256ull << 20;
    for (size_t size = 100000; size < 1ull << 28; size *= 20) {
        start_thread(size);
        struct tally tally = sample_many(size, interval, 2000000);
        assert_true(fabs(tally.sigma) < 4);
        assert_true(tally.samples > 100);
    }
    /* However large the gap, the thread looks up every HP_STRIDE bytes. */
    start_thread(8);
    uint64_t quiet = 0;
    for (unsigned i = 0; i < 100000; i++) {
        quiet += 1000;
        if (hp_charge(1000)) {
            hp_sampler_due(&hp_thread, 1000, 1ull << 40);
            assert_true(quiet <= HP_STRIDE + 1000);
            quiet = 0;
        }
    }
}

static void interval_one_takes_everything(void **state)
{
    start_thread(1);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(allocate(0, 1));
        assert_true(allocate(i, 1));
        assert_true(allocate(1ul << 40, 1));
    }
    assert_false(allocate(SIZE_MAX, 1)); /* cannot succeed */
    assert_true(allocate(1, 1));
    assert_false(allocate(1, 1ull << 30));
    assert_true(hp_thread.left > 1);
}

/* A handler that allocates right after the charge finds nothing due, and leaves less than there was. */
static void interval_one_survives_interruption(void **state)
{
    struct hp_thread thread = {.drawn = 1 + 1, .left = 0 - 100ull - 300ull};
    assert_true(hp_sampler_due(&thread, 100, 1));
    assert_int_equal(thread.left, 0);
}

static void interval_zero_takes_nothing(void **state)
{
    start_thread(1);
    for (unsigned i = 0; i < 100000; i++)
        assert_false(allocate(1 << 20, 0));
    assert_false(allocate(1ul << 50, 0));
    assert_int_equal(hp_thread.left, HP_STRIDE);
}

static void impossible_sizes_change_nothing(void **state)
{
    start_thread(6);
    allocate(1, 524288);
    const struct hp_thread before = hp_thread;
    assert_false(allocate(SIZE_MAX, 524288));
    assert_false(allocate((size_t)PTRDIFF_MAX + 1, 524288));
    assert_int_equal(hp_thread.left, before.left);
    assert_int_equal(hp_thread.beyond, before.beyond);
    assert_false(allocate(0, 524288));
    assert_int_equal(hp_thread.left, before.left);
    assert_true(allocate(PTRDIFF_MAX, 524288)); /* far larger than any gap */
}

static void weights_are_right(void **state)
{
    static const uint64_t intervals[] = {4096, 524288, 1 << 24, 1ull << 40};
    for (size_t k = 0; k < 4; k++) {
        for (double x = 1e-6; x < 100; x *= 1.1) {
            uint64_t size = (uint64_t)(x * (double)intervals[k]);
            if (!size || intervals[k] > 1ull << 30)
                continue;
            double exact = (double)size / -expm1(-(double)size / (double)intervals[k]);
            double off = ((double)hp_sampler_weight(size, intervals[k]) - exact) / exact;
            assert_true(fabs(off) < 0.0011);
        }
    }
    assert_int_equal(hp_sampler_weight(123, 1), 123);
    assert_int_equal(hp_sampler_weight(123, 0), 123);
    assert_int_equal(hp_sampler_weight(0, 4096), 4096);
    assert_true(hp_sampler_weight(PTRDIFF_MAX, 1ull << 40) >= PTRDIFF_MAX);
    assert_true(hp_sampler_weight(1ull << 40, 1ull << 40) > 1ull << 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_are_exponential),
        cmocka_unit_test(small_gaps_are_exact),
        cmocka_unit_test(objects_of_each_size_are_sampled_as_promised),
        cmocka_unit_test(mixed_sizes_do_not_disturb_each_other),
        cmocka_unit_test(first_allocations_of_threads_are_not_biased),
        cmocka_unit_test(changed_intervals_hold_from_the_next_allocation_on),
        cmocka_unit_test(a_change_loses_no_sample),
        cmocka_unit_test(the_stride_does_not_bias),
        cmocka_unit_test(interval_one_takes_everything),
        cmocka_unit_test(interval_one_survives_interruption),
        cmocka_unit_test(interval_zero_takes_nothing),
        cmocka_unit_test(impossible_sizes_change_nothing),
        cmocka_unit_test(weights_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
