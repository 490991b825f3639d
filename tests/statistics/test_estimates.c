/* Estimates are unbiased and spread as the formulas say: gaps are exponential (Anderson and
 * Darling), and z-scores of the estimates have mean 0 and variance 1, by size and by site, for
 * bytes and objects, live and cumulative.
 *
 *   z = (estimate - truth) / sqrt(sum of n s^2 (1 - p) / p)
 *
 * with the truth's n, not the sample's, and for objects without s^2.
 *
 * The variance of R of them is uncertain by sqrt((2 + 1 / m) / R), m the mean number of samples or,
 * for large objects, of objects not sampled: with m >= 20 and R = 2,000 runs 0.9 to 1.1 is 3
 * standard errors. Where less than 1 in 100 objects goes unseen (above 4.6 intervals) all runs are
 * taken together. Of the means 1 in 370 is more than 3 standard errors off by chance; as many are
 * let through as happens in 1 of 1,000 suites, and none above 4.5.
 *
 * Faults it was seen to catch: tests/statistics/faults.sh. */
#include "simulated_process.h"

#include "../unit/profile/profile_help.h"
#include "../unit/preload/uniform.h"
#include "kinds/heap/sampler.h"

#define INTERVAL 524288
#define SITES_MAX 64

/* Bytes from one sample to the next, among objects of one byte. */
static void gaps_are_exponential(void **state)
{
    static const uint64_t intervals[] = {4096, 32768, 524288, 1048576, 67108864};
    const size_t count = 100000ul * runs_factor();
    double *uniform = malloc(count * sizeof *uniform);
    for (size_t k = 0; k < sizeof intervals / sizeof *intervals; k++) {
        struct process process;
        process_start(&process, 100 + k, intervals[k]);
        struct stream *stream = stream_new(&process, 0, 1);
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            uint64_t before = stream->allocated;
            if (i % 2) /* every other one is a thread's first */
                process_new_thread(&process);
            while (!stream_allocate(stream, 1)) {
                uint64_t quiet = hp_thread.left > 1 ? hp_thread.left - 1 : 0; /* up to the next question */
                if (quiet)
                    stream_allocate(stream, quiet);
            }
            stream_free(stream, stream->allocated - stream->freed);
            double gap = (double)(stream->allocated - before);
            sum += gap;
            uniform[i] = -expm1(-(gap - 0.5) / (double)intervals[k]); /* the middle of a whole number's range */
        }
        double a2 = anderson_darling(uniform, count), mean = (sum / (double)count - 0.5) / (double)intervals[k];
        print_message("interval %8lu: A2 %.2f, mean %.4f intervals\n", (unsigned long)intervals[k], a2, mean);
        assert_true(a2 < 6);
        assert_true(fabs(mean - 1) < 3.5 / sqrt((double)count));
        process_end(&process);
    }
    free(uniform);
}

/* The z-scores of one site and sample type. */
struct scores {
    double sum, squares;
    double bias_sum, truth_sum; /* of estimate - truth, and of the truth */
    double believed, variance;  /* sums of the variance that the profile claims, and of the true one */
};

struct bench {
    struct scores scores[SITES_MAX][HP_SAMPLE_TYPES];
    unsigned sites, runs, checks, outliers;
    double worst;
};

static void true_variance(const struct stream *stream, double interval, double variance[HP_SAMPLE_TYPES])
{
    double size = (double)stream->size, p = -expm1(-size / interval), each = (1 - p) / p;
    double allocated = (double)stream->allocated, live = allocated - (double)stream->freed;
    variance[HP_INUSE_SPACE] += live * each * size * size;
    variance[HP_INUSE_OBJECTS] += live * each;
    variance[HP_ALLOC_SPACE] += allocated * each * size * size;
    variance[HP_ALLOC_OBJECTS] += allocated * each;
}

/* Take the profile of a run, and enter its z-scores. */
static void score(struct bench *bench, const struct process *process)
{
    struct hp_estimate estimates[SITES_MAX][HP_SAMPLE_TYPES];
    double truth[SITES_MAX][HP_SAMPLE_TYPES] = {0}, variance[SITES_MAX][HP_SAMPLE_TYPES] = {0};
    struct hp_profile *profile = process_profile(process);
    profile_estimates(profile, bench->sites, estimates);
    for (const struct stream *stream = process->streams; stream; stream = stream->next) {
        stream_truth(stream, truth[stream->site]);
        true_variance(stream, INTERVAL, variance[stream->site]);
    }
    for (unsigned site = 0; site < bench->sites; site++)
        for (unsigned type = 0; type < HP_SAMPLE_TYPES; type++) {
            struct scores *scores = &bench->scores[site][type];
            double off = estimates[site][type].value - truth[site][type];
            double z = off / sqrt(variance[site][type]);
            scores->sum += z;
            scores->squares += z * z;
            scores->bias_sum += off;
            scores->truth_sum += truth[site][type];
            scores->believed += estimates[site][type].variance;
            scores->variance += variance[site][type];
        }
    bench->runs++;
    hp_profile_free(profile);
}

static void check_mean(struct bench *bench, double standard_errors)
{
    bench->checks++;
    bench->outliers += fabs(standard_errors) > 3;
    bench->worst = fmax(bench->worst, fabs(standard_errors));
}

/* One line for a site; its figures are the worst of the four sample types. `believed`: the variance
 * that reports state is to be checked as well. */
static void check_site(struct bench *bench, unsigned site, const char *name, bool believed)
{
    double runs = bench->runs, mean = 0, low = INFINITY, high = 0, bias = 0, ratio = 1;
    for (unsigned type = 0; type < HP_SAMPLE_TYPES; type++) {
        const struct scores *scores = &bench->scores[site][type];
        double m = scores->sum / runs, v = scores->squares / runs - m * m;
        if (fabs(m) > fabs(mean))
            mean = m;
        low = fmin(low, v);
        high = fmax(high, v);
        if (fabs(scores->bias_sum / scores->truth_sum) > fabs(bias))
            bias = scores->bias_sum / scores->truth_sum;
        if (fabs(scores->believed / scores->variance - 1) > fabs(ratio - 1))
            ratio = scores->believed / scores->variance;
        check_mean(bench, m / sqrt(v / runs));
    }
    print_message("%-28s bias %+.3f %%, z: mean %+.3f, variance %.3f to %.3f; stated variance %.3f "
                  "of the true one\n",
                  name, 100 * bias, mean, low, high, ratio);
    assert_true(low > 0.9 && high < 1.1);
    if (believed)
        assert_true(fabs(ratio - 1) < 0.03);
}

static void check_means(const struct bench *bench)
{
    /* Of `checks` at 1 in 370, the number that is exceeded in 1 of 1,000 suites. */
    double mean = bench->checks * 0.0027, p = exp(-mean), sum = p;
    unsigned allowed = 0;
    while (sum < 0.999) {
        p *= mean / ++allowed;
        sum += p;
    }
    print_message("%u means: %u beyond 3 standard errors, %u allowed, worst %.2f\n", bench->checks, bench->outliers,
                  allowed, bench->worst);
    assert_true(bench->outliers <= allowed);
    assert_true(bench->worst < 4.5);
}

/* Each about twice the one before, most of them odd. */
static unsigned make_sizes(uint64_t *sizes)
{
    unsigned count = 0;
    for (uint64_t size = 1; size < 1ull << 30; size = size * 15 / 8 + 1)
        sizes[count++] = size;
    sizes[count++] = 1ull << 30;
    return count;
}

static void each_size_is_estimated_without_bias(void **state)
{
    static struct bench bench;
    uint64_t sizes[SITES_MAX];
    bench.sites = make_sizes(sizes);
    for (unsigned run = 0; run < 2000 * runs_factor(); run++) {
        struct process process;
        process_start(&process, 1000000ull + run, INTERVAL);
        for (unsigned i = 0; i < bench.sites; i++) {
            double p = -expm1(-(double)sizes[i] / INTERVAL);
            struct stream *stream = stream_new(&process, i, sizes[i]);
            stream_allocate(stream, (uint64_t)(40 / fmin(p, fmax(1 - p, 0.01))));
            stream_free(stream, stream->allocated / 2);
        }
        score(&bench, &process);
        process_end(&process);
    }
    for (unsigned i = 0; i < bench.sites; i++) {
        char name[64];
        snprintf(name, sizeof name, "%lu bytes", (unsigned long)sizes[i]);
        if (exp(-(double)sizes[i] / INTERVAL) > 0.01) {
            check_site(&bench, i, name, true);
            continue;
        }
        for (unsigned type = 0; type < HP_SAMPLE_TYPES; type++) {
            const struct scores *scores = &bench.scores[i][type];
            double unit = type == HP_INUSE_SPACE || type == HP_ALLOC_SPACE ? (double)sizes[i] : 1;
            /* What went unseen is Poisson; with less than one object in all expected, none may be
             * missing. */
            assert_true(fabs(scores->bias_sum) <= 4 * sqrt(scores->variance) + unit / 2);
        }
        print_message("%-28s bias %+.6f %%\n", name,
                      100 * bench.scores[i][HP_ALLOC_SPACE].bias_sum / bench.scores[i][HP_ALLOC_SPACE].truth_sum);
    }
    check_means(&bench);
}

/* Sizes that one site allocates in turns, in any order, from threads that live for a while. */
static void mixed_sizes_are_estimated_without_bias(void **state)
{
    static const uint64_t mixes[][4] = {{16, 48, 200, 1000},
                                        {24, 5000, 70000, 900001},
                                        {17, 18, 19, 20},
                                        {400000, 500000, 600000, 700000},
                                        {1, 600001, 1, 1500000}};
    static struct bench bench;
    bench.sites = sizeof mixes / sizeof *mixes;
    for (unsigned run = 0; run < 2000 * runs_factor(); run++) {
        struct process process;
        process_start(&process, 2000000ull + run, INTERVAL);
        struct stream *streams[SITES_MAX][4];
        for (unsigned site = 0; site < bench.sites; site++)
            for (unsigned k = 0; k < 4; k++)
                streams[site][k] = stream_new(&process, site, mixes[site][k]);
        for (unsigned step = 0; step < 400; step++) {
            uint64_t random = process_random(&process);
            unsigned site = (unsigned)(random % bench.sites), k = random >> 32 & 3;
            if ((random >> 40) % 16 == 0)
                process_new_thread(&process);
            double p = -expm1(-(double)mixes[site][k] / INTERVAL);
            stream_allocate(streams[site][k], (uint64_t)(1 + 2 / p * (double)(random >> 48) / 65536));
        }
        for (struct stream *stream = process.streams; stream; stream = stream->next)
            stream_free(stream, stream->allocated / 3);
        score(&bench, &process);
        process_end(&process);
    }
    for (unsigned site = 0; site < bench.sites; site++) {
        char name[64];
        snprintf(name, sizeof name, "%lu, %lu, %lu, %lu bytes", (unsigned long)mixes[site][0],
                 (unsigned long)mixes[site][1], (unsigned long)mixes[site][2], (unsigned long)mixes[site][3]);
        check_site(&bench, site, name, true);
    }
    check_means(&bench);
}

/* Threads that allocate once, or a few times, and end: most end within their first gap. */
static void short_threads_are_estimated_without_bias(void **state)
{
    static const struct {
        uint64_t size, objects, threads;
    } kinds[] = {{1024, 1, 15000}, {1024, 3, 5000}, {100000, 1, 200}, {700000, 2, 60}};
    static struct bench bench;
    bench.sites = 4;
    for (unsigned run = 0; run < 2000 * runs_factor(); run++) {
        struct process process;
        process_start(&process, 3000000ull + run, INTERVAL);
        for (unsigned i = 0; i < bench.sites; i++) {
            struct stream *stream = stream_new(&process, i, kinds[i].size);
            for (uint64_t thread = 0; thread < kinds[i].threads; thread++) {
                process_new_thread(&process);
                stream_allocate(stream, kinds[i].objects);
            }
            stream_free(stream, stream->allocated / 3);
        }
        score(&bench, &process);
        process_end(&process);
    }
    for (unsigned i = 0; i < bench.sites; i++) {
        char name[64];
        snprintf(name, sizeof name, "threads of %lu * %lu bytes", (unsigned long)kinds[i].objects,
                 (unsigned long)kinds[i].size);
        check_site(&bench, i, name, true);
    }
    check_means(&bench);
}

struct spread {
    double sum, squares, believed;
};

/* The interval changes in the middle, to finer and to coarser and by way of off, in threads that
 * learn of it late; the profile is given in the last one. The variance that it claims must be the
 * one that is found. Objects allocated while sampling was off are not seen, nor meant to be. */
static void changed_intervals_are_estimated_without_bias(void **state)
{
    static const uint64_t changes[][2] = {{524288, 65536}, {65536, 524288}, {524288, 2097152}, {524288, 1}, {1, 65536}};
    static const uint64_t sizes[] = {100, 3000, 60000, 500000};
    enum { KINDS = sizeof changes / sizeof *changes * 2, SITES = 4 };
    const unsigned runs = 2000 * runs_factor();
    struct bench bench = {0};
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const uint64_t *change = changes[kind / 2];
        struct spread spreads[SITES][HP_SAMPLE_TYPES] = {0};
        for (unsigned run = 0; run < runs; run++) {
            struct process process;
            struct hp_estimate estimates[SITES + 1][HP_SAMPLE_TYPES];
            struct stream *streams[SITES + 1];
            process_start(&process, 4000000ull + 100000 * kind + run, change[0]);
            for (unsigned i = 0; i <= SITES; i++)
                streams[i] = stream_new(&process, i, i < SITES ? sizes[i] : 1 << 20);
            for (unsigned half = 0; half < 2; half++) {
                for (unsigned i = 0; i < SITES; i++) {
                    double p = -expm1(-(double)sizes[i] / 524288);
                    stream_allocate(streams[i], change[half] == 1 ? 30 : (uint64_t)(20 / p));
                }
                if (!half && kind % 2) {
                    process_set_interval(&process, 0);
                    stream_allocate(streams[SITES], 64);
                }
                process_set_interval(&process, change[1]);
                if (!half && kind % 2)
                    stream_allocate(streams[SITES], HP_STRIDE >> 20);
            }
            for (unsigned i = 0; i < SITES; i++)
                stream_free(streams[i], streams[i]->allocated / 2);
            struct hp_profile *profile = process_profile(&process);
            profile_estimates(profile, SITES + 1, estimates);
            for (unsigned i = 0; i < SITES; i++) {
                double truth[HP_SAMPLE_TYPES] = {0};
                stream_truth(streams[i], truth);
                for (unsigned type = 0; type < HP_SAMPLE_TYPES; type++) {
                    double off = estimates[i][type].value / truth[type] - 1;
                    spreads[i][type].sum += off;
                    spreads[i][type].squares += off * off;
                    spreads[i][type].believed += estimates[i][type].variance / (truth[type] * truth[type]);
                }
            }
            hp_profile_free(profile);
            process_end(&process);
        }
        for (unsigned i = 0; i < SITES; i++) {
            double bias = 0, low = INFINITY, high = 0;
            for (unsigned type = 0; type < HP_SAMPLE_TYPES; type++) {
                const struct spread *spread = &spreads[i][type];
                double mean = spread->sum / runs, variance = spread->squares / runs - mean * mean;
                check_mean(&bench, mean / sqrt(variance / runs));
                bias = fabs(mean) > fabs(bias) ? mean : bias;
                low = fmin(low, spread->believed / runs / variance);
                high = fmax(high, spread->believed / runs / variance);
            }
            print_message("%7lu to %7lu%s, %6lu bytes: bias %+.3f %%, stated variance %.3f to %.3f "
                          "of the one found\n",
                          (unsigned long)change[0], (unsigned long)change[1], kind % 2 ? " by 0" : "     ",
                          (unsigned long)sizes[i], 100 * bias, low, high);
            assert_true(low > 0.8 && high < 1.2);
        }
    }
    check_means(&bench);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_are_exponential),
        cmocka_unit_test(each_size_is_estimated_without_bias),
        cmocka_unit_test(mixed_sizes_are_estimated_without_bias),
        cmocka_unit_test(short_threads_are_estimated_without_bias),
        cmocka_unit_test(changed_intervals_are_estimated_without_bias),
    };
    if (argc > 1) /* some of them only */
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
