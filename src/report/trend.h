/* trend.h - how fast each function, file, line or address grows over a series of profiles.
 *
 * Terms
 *   slope   bytes (or objects) a second, by least squares over the moments, each weighted by the
 * time it stands for lately  the same over the later half of the time
 */
#ifndef HP_REPORT_TREND_H
#define HP_REPORT_TREND_H

#include "report/report.h"
#include "report/series.h"

struct hp_trend {
    const struct hp_place *place; /* line: for functions, the line of theirs that allocates most */
    double first, last;           /* levels at the first and the last moment */
    struct hp_estimate slope, lately; /* samples: those that came or went meanwhile */
    double probability; /* that chance alone makes the larger of the two slopes' probabilities */
    bool significant;   /* it grew (or shrank), and lately still does so, by more than chance */
};

struct hp_trends {
    struct hp_trend *rows; /* significant ones first, then by slope */
    size_t count;
    struct hp_trend total;
    double seconds; /* from the first moment to the last */
    struct hp_places places;
    struct hp_place *own_places;
};

/* -EINVAL and *error for a bad regular expression, or with less than 3 moments. */
int hp_trends_build(const struct hp_series *series, const struct hp_report_options *options,
                    struct hp_trends *trends, struct hp_error *error);
void hp_trends_free(struct hp_trends *trends);

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
struct hp_estimate hp_trend_slope(const struct hp_trend_entry *entry, const double *weights,
                                  size_t count, hp_trend_visit_fn *visit, void *state);

#endif
