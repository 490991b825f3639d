/* pairs.h - the entries of two profiles side by side, for differences.
 *
 * Two profiles of one process share the samples that survived from the first to the second; in a
 * difference they cancel, and so does their noise. With N = allocated(B) - allocated(A) and F =
 * live(A) + N - live(B), at most N + F sampled objects are in one of the two only.
 */
#ifndef HP_REPORT_STATISTICS_PAIRS_H
#define HP_REPORT_STATISTICS_PAIRS_H

#include <stddef.h>

#include "profile/profile.h"
#include "report/statistics/significance.h"

struct hp_sample_pair {
    const struct hp_sample *before, *after; /* one of them may be NULL: nothing to cancel with */
    struct hp_estimate was, is, growth;     /* growth.samples: those in one of the profiles only, at most */
    struct hp_noise noise;
};

/* `before` may be NULL: then each pair is one sample of `after`, and its growth is its estimate.
 * The caller frees *pairs. `raw`: figures as sampled, as in hp_sample_estimate. */
size_t hp_sample_pairs_make(const struct hp_profile *before, const struct hp_profile *after, enum hp_sample_type type,
                            bool raw, struct hp_sample_pair **pairs);

/* Taken from one process, so that entries of equal stacks and intervals are the same entry. */
bool hp_same_process(const struct hp_profile *a, const struct hp_profile *b);

#endif
