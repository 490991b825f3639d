/* slope.h - how fast a level grows over moments: in its unit a second, by least squares, each
 * moment weighted by the time it stands for; and how sure that is. */
#ifndef HP_REPORT_STATISTICS_SLOPE_H
#define HP_REPORT_STATISTICS_SLOPE_H

#include "profile/profile.h"

/* Weights c of the moments at these times so that the slope of levels y is the sum of c y; all 0
 * when there is no time between them. They add up to 0. */
void hp_trend_weights(const double *seconds, size_t count, double *weights);

/* The slope of one entry, and the terms of its test: what came, went and survived. `levels` in the
 * unit wanted, `came` and `went` in samples since the moment before (came[0]: those that were there
 * at the first). `each`: what one sample stands for. Calls `visit` for each group of samples with
 * what one of them adds to the slope. */
struct hp_trend_entry {
    const double *levels, *came, *went;
    double each;
};
typedef void hp_trend_visit_fn(void *state, double samples, double share);
struct hp_estimate hp_trend_slope(const struct hp_trend_entry *entry, const double *weights, size_t count,
                                  hp_trend_visit_fn *visit, void *state);

#endif
