/* series.h - profiles of one process, one after the other.
 *
 * Terms
 *   moment  one of these profiles, or what is kept of it
 *   entry   one (stack, size class), as in the ledger; it keeps its number from moment to moment
 *
 * Invariants
 *   stacks->samples[i] is entry i, with the counts of the last moment
 *   moments[k].time_ns < moments[k + 1].time_ns;  moments[k].entry_count <= moments[k +
 * 1].entry_count
 *
 * Entries are never dropped: one that a later profile lacks has nothing live from then on.
 */
#ifndef HP_REPORT_CORE_SERIES_H
#define HP_REPORT_CORE_SERIES_H

#include "profile/profile.h"

/* The figures of a moment, in bytes. */
struct hp_figures_at {
    int64_t time_ns;         /* Unix time */
    double live, live_error; /* estimate, and half-width of its 95 % interval */
    double inuse, idle;      /* HeapInuse, HeapIdle */
};

struct hp_series_moment {
    struct hp_figures_at figures;
    char *name;               /* the file's */
    struct hp_counts *counts; /* by entry; those above entry_count came later */
    size_t entry_count;
};

struct hp_series {
    /* All stacks ever seen, with the facts, the time and the modules of the last moment; symbolize
     * it before its stacks are shown. NULL: no moment yet. */
    struct hp_profile *stacks;
    struct hp_series_moment *moments;
    size_t count, capacity;
};

/* Zero-filled is empty. Adds the profile, which the caller keeps; -EINVAL and *error when it is not
 * a later one of the same run of the same process, at the same interval. */
int hp_series_add(struct hp_series *series, const struct hp_profile *profile, struct hp_error *error);
/* Drops moments until there are no more than `moments`, and their counts take no more than `bytes`
 * (or there are 3). */
void hp_series_thin(struct hp_series *series, size_t moments, size_t bytes);
void hp_series_free(struct hp_series *series);
/* Bytes that the counts take. */
size_t hp_series_size(const struct hp_series *series);

static inline struct hp_counts hp_series_counts(const struct hp_series *series, size_t moment, size_t entry)
{
    const struct hp_series_moment *at = &series->moments[moment];
    return entry < at->entry_count ? at->counts[entry] : (struct hp_counts){0};
}

/* Which of `count` moments (3 or more) to drop when there are too many: never the first or the
 * last, but the one whose neighbours would be closest to each other, measured by the square root of
 * their age. However long it lasts, the whole run stays covered: with 64 moments no gap is over a
 * 20th of it, and the later, the denser they are.
 *
 * Rejected: every second of the older half. The older half is halved again and again, until nothing
 * of it is left. */
size_t hp_series_spare(const int64_t *times_ns, size_t count);

struct hp_figures_at hp_figures_of(const struct hp_profile *profile);

#endif
