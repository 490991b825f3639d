/* One number for the whole heap, for those who can't wait for a profile: the trace line. No libm, as in snapshot.c. */
#include "ledger/ledger_view.h"

struct sums {
    double live, variance, variance_squares, alloc;
};

static double square_root(double value)
{
    double root = value > 1 ? value : 1;
    if (!(value > 0))
        return 0;
    for (double next; (next = (root + value / root) / 2) < root;) /* Newton's steps fall until they can't */
        root = next;
    return root;
}

/* n s / p with the variance n s^2 (1 - p) / p^2. */
static bool add_row(void *state, const struct hp_row_reading *reading)
{
    struct sums *sums = state;
    struct hp_tally freed = reading->freed, alloc = reading->alloc;
    uint64_t interval = reading->interval;
    if (reading->kind != HP_KIND_HEAP)
        return true;
    if (!alloc.objects || !alloc.bytes)
        return true;
    double size = (double)alloc.bytes / (double)alloc.objects;
    double p = hp_probability(size, interval ? (double)interval : 1);
    sums->alloc += (double)alloc.bytes / p;
    if (alloc.objects <= freed.objects || alloc.bytes <= freed.bytes)
        return true;
    double objects = (double)(alloc.objects - freed.objects), bytes = (double)(alloc.bytes - freed.bytes);
    size = bytes / objects;
    p = hp_probability(size, interval ? (double)interval : 1);
    double variance = size / p * (size / p) * (1 - p);
    sums->live += bytes / p;
    sums->variance += objects * variance;
    sums->variance_squares += objects * variance * variance;
    return true;
}

double hp_error_of(double variance, double variance_squares)
{
    if (!(variance_squares > 0))
        return 0;
    double effective = variance * (variance / variance_squares);
    return 1.96 * square_root(variance * (1 + 2 / effective));
}

struct hp_ledger_estimate hp_ledger_view_estimate(const struct hp_ledger_view *view)
{
    struct sums sums = {0};
    struct hp_ledger_view now = *view;
    hp_ledger_view_refresh(&now); /* a fold may be under way */
    hp_ledger_view_each(&now, add_row, &sums);
    struct hp_ledger_estimate estimate = {.live = sums.live, .alloc = sums.alloc};
    estimate.live_error = hp_error_of(sums.variance, sums.variance_squares);
    return estimate;
}
