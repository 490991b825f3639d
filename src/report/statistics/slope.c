/* Least squares, with an error that knows that the moments share their samples.
 *
 * A slope is a weighted sum of levels, b = sum c_k y_k with sum c_k = 0, and a level is the sum of
 * what each of the live samples stands for. So b is a sum over samples, too: each adds w C, with w
 * what it stands for and C the sum of the c_k of those moments at which it was live. Samples come
 * at random and independently of each other (that is how they are drawn, and the arrivals of a
 * program's objects are near to it), and then, by Campbell's theorem,
 *
 *   Var(b) = E sum (w C)^2,   estimated by the sum over the samples seen
 *
 * whatever the objects' lives are: an object that stays from first to last has C = 0 and adds
 * nothing, one that leaks in the middle adds most, and one that is seen at one moment only adds
 * what it does in textbooks. To pretend that levels are independent is wrong by far: it makes a
 * leak's error too small (its levels all share the same samples), and gives an error to what never
 * changes. A generalized least squares with weights from the same counts is worse, too: weights and
 * levels go up and down together, and the slope is biased. Least squares with weights that depend
 * on the times alone is unbiased, best where objects are short-lived, and for a pure leak, where
 * the difference of the ends would be best, has 6/5 of its variance.
 *
 * Entries have counters, not lives: the oldest of an entry is taken to go first.
 */
#include "report/statistics/slope.h"

#include <math.h>
#include <stdlib.h>

#include "profile/alloc.h"

void hp_trend_weights(const double *seconds, size_t count, double *weights)
{
    double sum = 0, mean = 0, square = 0;
    for (size_t i = 0; i < count; i++) { /* half of the time to either neighbour */
        double before = i ? seconds[i] - seconds[i - 1] : 0, after = i + 1 < count ? seconds[i + 1] - seconds[i] : 0;
        weights[i] = (before + after) / 2;
        sum += weights[i];
        mean += weights[i] * seconds[i];
    }
    mean = sum > 0 ? mean / sum : 0;
    for (size_t i = 0; i < count; i++)
        square += weights[i] * (seconds[i] - mean) * (seconds[i] - mean);
    for (size_t i = 0; i < count; i++)
        weights[i] = square > 0 ? weights[i] * (seconds[i] - mean) / square : 0;
}

struct cohort {
    double samples, start; /* start: sum of the weights of all moments before these came */
};

/* Weights that add up to 0 but for rounding are 0, or what was there all the time would be a term
 * of the test. */
static void leave(struct hp_estimate *slope, const struct hp_trend_entry *entry, double samples, double sum,
                  double least, hp_trend_visit_fn *visit, void *state)
{
    double share = entry->each * sum, variance = share * share;
    if (samples <= 0 || fabs(sum) <= least || variance <= 0)
        return;
    slope->variance += samples * variance;
    slope->variance_squares += samples * variance * variance;
    slope->samples += (uint64_t)samples;
    if (visit)
        visit(state, samples, share);
}

struct hp_estimate hp_trend_slope(const struct hp_trend_entry *entry, const double *weights, size_t count,
                                  hp_trend_visit_fn *visit, void *state)
{
    struct hp_estimate slope = {0};
    struct cohort *cohorts = hp_alloc(count, sizeof *cohorts);
    size_t oldest = 0;
    double sum = 0, least = 0; /* sum: of the weights so far */
    for (size_t k = 0; k < count; k++)
        least += 1e-9 * fabs(weights[k]);
    for (size_t k = 0; k < count; k++) {
        double going = k ? entry->went[k] : 0;
        cohorts[k] = (struct cohort){entry->came[k], sum};
        for (; going > 0 && oldest <= k; oldest += cohorts[oldest].samples <= 0) {
            double part = fmin(going, cohorts[oldest].samples);
            leave(&slope, entry, part, sum - cohorts[oldest].start, least, visit, state);
            cohorts[oldest].samples -= part;
            going -= part;
        }
        slope.value += weights[k] * entry->levels[k];
        sum += weights[k];
    }
    for (; oldest < count; oldest++)
        leave(&slope, entry, cohorts[oldest].samples, sum - cohorts[oldest].start, least, visit, state);
    free(cohorts);
    return slope;
}
