/* trend.h - how fast each function, file, line or address grows over a series of profiles.
 *
 * Terms
 *   slope   as in slope.h, over all moments
 *   lately  the same over the later half of the time
 */
#ifndef HP_REPORT_CORE_TREND_H
#define HP_REPORT_CORE_TREND_H

#include "report/core/report.h"
#include "report/core/series.h"

struct hp_trend {
    const struct hp_place *place;     /* line: for functions, the line of theirs that allocates most */
    double first, last;               /* levels at the first and the last moment */
    struct hp_estimate slope, lately; /* samples: those that came or went meanwhile */
    double probability;               /* that chance alone makes the larger of the two slopes' probabilities */
    bool significant;                 /* it grew (or shrank), and lately still does so, by more than chance */
};

struct hp_trends {
    struct hp_trend *rows; /* significant ones first, then by slope */
    size_t count;
    struct hp_trend total;
    double seconds; /* from the first moment to the last */
    size_t ended;   /* last moments left out: most was gone by then, as after a program's destructors */
    struct hp_places places;
    struct hp_place *own_places;
};

/* -EINVAL and *error for a bad regular expression, or with less than 3 moments. */
int hp_trends_build(const struct hp_series *series, const struct hp_report_options *options, struct hp_trends *trends,
                    struct hp_error *error);
void hp_trends_free(struct hp_trends *trends);

#endif
