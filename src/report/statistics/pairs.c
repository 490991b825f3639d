#include "report/statistics/pairs.h"

#include <math.h>
#include <stdlib.h>

#include "profile/alloc.h"

/* An entry of either profile, sorted so that the entries of one stack and interval stand together,
 * by size. */
struct entry {
    const struct hp_profile *profile;
    const struct hp_sample *sample;
    double interval;
    double size; /* mean of the allocated objects */
};

bool hp_same_process(const struct hp_profile *a, const struct hp_profile *b)
{
    return hp_profile_same_process(a, b) && !a->prescaled && !b->prescaled;
}

static int compare_stacks(const struct entry *a, const struct entry *b)
{
    if (a->sample->depth != b->sample->depth)
        return a->sample->depth < b->sample->depth ? -1 : 1;
    const uint32_t *left = &a->profile->frames[a->sample->first], *right = &b->profile->frames[b->sample->first];
    for (uint32_t i = 0; i < a->sample->depth; i++) {
        uint64_t x = a->profile->locations[left[i]].address, y = b->profile->locations[right[i]].address;
        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a->interval > b->interval) - (a->interval < b->interval);
}

static int by_stack_and_size(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    int order = compare_stacks(left, right);
    return order ? order : (left->size > right->size) - (left->size < right->size);
}

static struct entry *sorted_entries(const struct hp_profile *profile)
{
    struct entry *entries = hp_alloc(profile->sample_count, sizeof *entries);
    for (size_t i = 0; i < profile->sample_count; i++) {
        const struct hp_sample *sample = &profile->samples[i];
        double objects = (double)sample->counts.alloc_objects;
        entries[i] = (struct entry){profile, sample, hp_sample_interval(profile, sample),
                                    objects > 0 ? (double)sample->counts.alloc_bytes / objects : 0};
    }
    qsort(entries, profile->sample_count, sizeof *entries, by_stack_and_size);
    return entries;
}

static size_t same_stack(const struct entry *entries, size_t count, size_t first, const struct entry *as)
{
    size_t limit = first;
    while (limit < count && !compare_stacks(&entries[limit], as))
        limit++;
    return limit;
}

/* How many samples are in one of the two profiles only, at most. */
static double differing(const struct hp_counts *a, const struct hp_counts *b, enum hp_sample_type type)
{
    if (a->alloc_objects > b->alloc_objects) { /* A was taken after B */
        const struct hp_counts *swap = a;
        a = b;
        b = swap;
    }
    double allocated = (double)(b->alloc_objects - a->alloc_objects);
    if (type == HP_ALLOC_SPACE || type == HP_ALLOC_OBJECTS)
        return allocated;
    double live_a = (double)a->live_objects, live_b = (double)b->live_objects;
    double freed = fmax(0, live_a + allocated - live_b);
    return fmin(allocated + freed, live_a + live_b);
}

/* Something was freed here: since the first of the two profiles, or at all if there is only one. */
static bool churns(const struct hp_sample_pair *pair)
{
    const struct hp_counts none = {0}, *a = pair->before ? &pair->before->counts : &none;
    const struct hp_counts *b = pair->after ? &pair->after->counts : &none;
    if (!pair->before || !pair->after)
        return a->alloc_objects > a->live_objects || b->alloc_objects > b->live_objects;
    return a->live_objects + b->alloc_objects > b->live_objects + a->alloc_objects;
}

static void compare_pair(struct hp_sample_pair *pair, const struct hp_profile *before, const struct hp_profile *after,
                         enum hp_sample_type type, bool raw)
{
    struct hp_estimate was = {0}, is = {0};
    if (pair->before)
        was = hp_sample_estimate(before, pair->before, type, false);
    if (pair->after)
        is = hp_sample_estimate(after, pair->after, type, false);
    double n_was = (double)was.samples, n_is = (double)is.samples, n = n_was + n_is;
    double only = n;
    if (pair->before && pair->after)
        only = fmax(differing(&pair->before->counts, &pair->after->counts, type), fabs(n_is - n_was));
    if (n > 0) {
        double weight = (was.value + is.value) / n, variance = (was.variance + is.variance) / n;
        double keep = weight > 0 ? variance / (weight * weight) : 0;
        pair->noise = (struct hp_noise){weight, fmin(fmax(keep, 0), 1), (only - (n_is - n_was)) / 2,
                                        (only + (n_is - n_was)) / 2, churns(pair)};
    }
    pair->growth.samples = (uint64_t)only;
    if (raw && pair->before)
        was = hp_sample_estimate(before, pair->before, type, true);
    if (raw && pair->after)
        is = hp_sample_estimate(after, pair->after, type, true);
    pair->was = was;
    pair->is = is;
    pair->growth.value = is.value - was.value;
    if (n > 0) {
        pair->growth.variance = (was.variance + is.variance) * only / n;
        pair->growth.variance_squares = (was.variance_squares + is.variance_squares) * only / n;
    }
}

/* Merges the sorted entries. Within a stack the size classes of A are among those of B, in the same
 * order; the nearest mean size tells which. */
static size_t pair_entries(const struct hp_profile *a, const struct hp_profile *b, struct hp_sample_pair *pairs)
{
    struct entry *before = sorted_entries(a), *after = sorted_entries(b);
    size_t i = 0, j = 0, count = 0;
    while (i < a->sample_count || j < b->sample_count) {
        int order = i == a->sample_count ? 1 : j == b->sample_count ? -1 : compare_stacks(&before[i], &after[j]);
        size_t i_limit = order <= 0 ? same_stack(before, a->sample_count, i, &before[i]) : i;
        size_t j_limit = order >= 0 ? same_stack(after, b->sample_count, j, &after[j]) : j;
        for (; i < i_limit; i++) {
            size_t best = j_limit;
            for (size_t k = j; k < j_limit; k++)
                if (best == j_limit || fabs(after[k].size - before[i].size) < fabs(after[best].size - before[i].size))
                    best = k;
            for (; j < best; j++)
                pairs[count++].after = after[j].sample;
            pairs[count].before = before[i].sample;
            if (best < j_limit)
                pairs[count].after = after[j++].sample;
            count++;
        }
        for (; j < j_limit; j++)
            pairs[count++].after = after[j].sample;
    }
    free(before);
    free(after);
    return count;
}

size_t hp_sample_pairs_make(const struct hp_profile *before, const struct hp_profile *after, enum hp_sample_type type,
                            bool raw, struct hp_sample_pair **pairs)
{
    size_t count = 0, most = after->sample_count + (before ? before->sample_count : 0);
    struct hp_sample_pair *made = hp_alloc(most, sizeof *made);
    if (before && hp_same_process(before, after)) {
        count = pair_entries(before, after, made);
    } else {
        for (size_t i = 0; before && i < before->sample_count; i++)
            made[count++].before = &before->samples[i];
        for (size_t i = 0; i < after->sample_count; i++)
            made[count++].after = &after->samples[i];
    }
    for (size_t i = 0; i < count; i++)
        compare_pair(&made[i], before, after, type, raw);
    *pairs = made;
    return count;
}
