/* Scaling sampled figures up, and how sure one can be of the result.
 *
 * An object of size s is sampled with p = 1 - exp(-s / interval), each independently of the others.
 * Weighing every sample by 1 / p is the Horvitz-Thompson estimator (D. G. Horvitz, D. J. Thompson,
 * "A Generalization of Sampling Without Replacement From a Finite Universe", JASA 47, 1952), with
 * the variance estimate sum y^2 (1 - p) / p^2.
 *
 * The 95 % interval. With few samples the variance is estimated from the very count that is
 * uncertain: whoever draws too few samples also believes too narrow an interval. In the Poisson
 * limit (p small) +-1.96 sqrt(n) around n holds only 80 % for a mean of 3 and 87 to 94 % between 5
 * and 20. The remedy here is that of Agresti and Coull ("Approximate is better than exact for
 * interval estimation of binomial proportions", The American Statistician 52, 1998): widen as if
 * z^2 / 2 = 2 more samples had been drawn,
 *
 *     half-width = 1.96 sqrt(variance) sqrt(1 + 2 / n)
 *
 * which holds 93 to 98 % for each mean from 4 up. The exact interval's upper half (Garwood 1936)
 * was rejected: taken on both sides it holds 98 to 99 % for means up to 20, so it hides growth that
 * is there. n is the effective number of samples, (sum v)^2 / sum v^2 for the samples' variances v
 * (Satterthwaite 1946): a hundred large objects with hardly any variance do not make the few small
 * ones beside them any surer.
 */
#include <math.h>

#include <string.h>

#include "profile/model.h"

const char *const hp_sample_type_names[HP_SAMPLE_TYPES] = {"inuse_space", "inuse_objects", "alloc_space",
                                                           "alloc_objects"};
enum hp_sample_type hp_sample_type_named(const char *name)
{
    static const struct {
        const char *name;
        enum hp_sample_type type;
    } others[] = {
        /* pprof, where a text profile counted nothing but live memory */
        {"space", HP_INUSE_SPACE},
        {"objects", HP_INUSE_OBJECTS},
        /* ddprof */
        {"inuse-space", HP_INUSE_SPACE},
        {"inuse-objects", HP_INUSE_OBJECTS},
        {"alloc-space", HP_ALLOC_SPACE},
        {"alloc-samples", HP_ALLOC_OBJECTS},
        /* heapprofd */
        {"Unreleased malloc size", HP_INUSE_SPACE},
        {"Unreleased malloc count", HP_INUSE_OBJECTS},
        {"Total malloc size", HP_ALLOC_SPACE},
        {"Total malloc count", HP_ALLOC_OBJECTS},
    };
    for (int type = 0; type < HP_SAMPLE_TYPES; type++)
        if (strcmp(name, hp_sample_type_names[type]) == 0)
            return (enum hp_sample_type)type;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i].name) == 0)
            return others[i].type;
    return HP_SAMPLE_TYPES;
}

enum hp_sample_type hp_profile_default_type(const struct hp_profile *profile)
{
    enum hp_sample_type type = hp_sample_type_named(profile->default_type);
    return type < HP_SAMPLE_TYPES ? type : HP_INUSE_SPACE;
}

const char *const hp_sample_type_units[HP_SAMPLE_TYPES] = {"bytes", "count", "bytes", "count"};

double hp_scale_factor(double objects, double bytes, double interval)
{
    if (objects <= 0 || bytes <= 0)
        return 0;
    if (interval <= 1)
        return 1;
    return -1 / expm1(-bytes / objects / interval);
}

uint64_t hp_round(double value)
{
    if (!(value > 0))
        return 0;
    /* The nearest double below 2^63; everything above is as good as unknown. */
    return value >= 9223372036854774784.0 ? INT64_MAX : (uint64_t)(value + 0.5);
}

uint64_t hp_add_clamped(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

/* value n / p of n drawn objects that weigh `weight` each: n objects of variance (weight / p)^2 (1
 * - p). */
static struct hp_estimate weigh(double value, double n, double p)
{
    struct hp_estimate estimate = {.value = value};
    if (n > 0) {
        double each = value / n;
        double variance = each * each * (1 - p);
        estimate.samples = hp_round(n);
        estimate.variance = n * variance;
        estimate.variance_squares = n * variance * variance;
    }
    return estimate;
}

static struct hp_estimate prescaled(double value, double objects, uint64_t drawn)
{
    /* Files do not tell p itself, but drawn = objects * p. Without an object count p is taken as
     * small, the cautious side. */
    double p = objects > 0 ? fmin((double)drawn / objects, 1) : 0;
    return weigh(value, (double)drawn, p);
}

struct hp_estimate hp_sample_estimate(const struct hp_profile *profile, const struct hp_sample *sample,
                                      enum hp_sample_type type, bool raw)
{
    bool live = type == HP_INUSE_SPACE || type == HP_INUSE_OBJECTS;
    bool space = type == HP_INUSE_SPACE || type == HP_ALLOC_SPACE;
    uint64_t objects = live ? sample->counts.live_objects : sample->counts.alloc_objects;
    uint64_t bytes = live ? sample->counts.live_bytes : sample->counts.alloc_bytes;
    uint64_t value = space ? bytes : objects;
    if (raw)
        return (struct hp_estimate){.value = (double)value, .samples = objects};
    if (profile->prescaled) {
        double scaled = live ? sample->live_objects : sample->alloc_objects;
        double scaled_bytes = live ? sample->live_bytes : sample->alloc_bytes;
        struct hp_estimate estimate = prescaled(space ? scaled_bytes : scaled, scaled, objects);
        if (profile->interval <= 1)
            estimate.variance = estimate.variance_squares = 0;
        return estimate;
    }
    double interval = hp_sample_interval(profile, sample);
    double factor = hp_scale_factor((double)objects, (double)bytes, interval);
    if (interval <= 1)
        return (struct hp_estimate){.value = (double)value, .samples = objects};
    if (!(factor > 0)) /* objects of 0 bytes are never sampled */
        return (struct hp_estimate){0};
    return weigh((double)value * factor, (double)objects, 1 / factor);
}

void hp_estimate_add(struct hp_estimate *sum, const struct hp_estimate *term)
{
    sum->value += term->value;
    sum->variance += term->variance;
    sum->variance_squares += term->variance_squares;
    sum->samples = hp_add_clamped(sum->samples, term->samples);
}

struct hp_estimate hp_profile_total(const struct hp_profile *profile, enum hp_sample_type type)
{
    struct hp_estimate total = {0};
    for (size_t i = 0; i < profile->sample_count; i++) {
        struct hp_estimate estimate = hp_sample_estimate(profile, &profile->samples[i], type, false);
        hp_estimate_add(&total, &estimate);
    }
    return total;
}

double hp_estimate_error(const struct hp_estimate *estimate)
{
    if (!(estimate->variance > 0))
        return 0;
    double effective = (double)estimate->samples;
    if (estimate->variance_squares > 0)
        effective = estimate->variance * (estimate->variance / estimate->variance_squares);
    double widening = effective > 0 ? 1 + 2 / effective : 1;
    return 1.96 * sqrt(estimate->variance * widening);
}
