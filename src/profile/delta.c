/* The difference of two profiles as Go's servers give it for ?seconds=N: the one of before is merged
 * with its figures negated, so that what survived cancels exactly. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "profile/model.h"

/* The estimates themselves become the sample's figures, times `sign`. */
static void prescale(struct hp_profile *profile, double sign)
{
    for (size_t i = 0; i < profile->sample_count; i++) {
        struct hp_sample *sample = &profile->samples[i];
        double values[HP_SAMPLE_TYPES] = {0};
        for (size_t type = 0; type < HP_SAMPLE_TYPES; type++)
            values[type] = sign * hp_sample_estimate(profile, sample, (enum hp_sample_type)type, false).value;
        sample->live_bytes = values[HP_INUSE_SPACE];
        sample->live_objects = values[HP_INUSE_OBJECTS];
        sample->alloc_bytes = values[HP_ALLOC_SPACE];
        sample->alloc_objects = values[HP_ALLOC_OBJECTS];
    }
    profile->prescaled = true;
}

static uint64_t key_of(const struct hp_profile *profile, const struct hp_sample *sample)
{
    const uint64_t key[] = {hp_hash_bytes(profile->frames + sample->first, sample->depth * sizeof *profile->frames),
                            hp_size_label(&sample->counts)};
    return hp_hash_bytes(key, sizeof key);
}

static bool joins(const struct hp_profile *profile, const struct hp_sample *a, const struct hp_sample *b)
{
    return a->depth == b->depth && hp_size_label(&a->counts) == hp_size_label(&b->counts) &&
           memcmp(profile->frames + a->first, profile->frames + b->first, a->depth * sizeof *profile->frames) == 0;
}

static bool changed(const struct hp_sample *sample)
{
    return fabs(sample->live_objects) >= 0.5 || fabs(sample->live_bytes) >= 0.5 || fabs(sample->alloc_objects) >= 0.5 ||
           fabs(sample->alloc_bytes) >= 0.5;
}

/* Samples of one stack and mean size become one; those that came out as nothing go. */
static void join_samples(struct hp_profile *profile)
{
    struct hp_map first = {0};
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < profile->sample_count; i++) {
        struct hp_sample sample = profile->samples[i];
        uint32_t index = hp_map_add(&first, key_of(profile, &sample), (uint32_t)count);
        struct hp_sample *into = &profile->samples[index];
        if (index < count && joins(profile, into, &sample)) {
            into->live_objects += sample.live_objects;
            into->live_bytes += sample.live_bytes;
            into->alloc_objects += sample.alloc_objects;
            into->alloc_bytes += sample.alloc_bytes;
        } else {
            profile->samples[count++] = sample;
        }
    }
    for (size_t i = 0; i < count; i++)
        if (changed(&profile->samples[i]))
            profile->samples[kept++] = profile->samples[i];
    profile->sample_count = kept;
    hp_map_clear(&first);
}

/* The facts of `after` alone: sums of figures of two moments would be nonsense. */
static void take_facts(struct hp_profile *delta, const struct hp_profile *after)
{
    delta->fact_count = 0;
    for (size_t i = 0; i < after->fact_count; i++)
        hp_profile_add_fact(delta, after->facts[i].name, after->facts[i].value);
}

int hp_profile_delta(struct hp_profile *before, struct hp_profile *after, struct hp_profile **delta,
                     struct hp_error *error)
{
    /* `after` comes first: a merged profile keeps the addresses of the one that brought them. */
    const struct hp_profile *const both[] = {after, before};
    prescale(before, -1);
    prescale(after, 1);
    int status = hp_profile_merge(both, 2, delta, error);
    if (status)
        return status;
    join_samples(*delta);
    take_facts(*delta, after);
    (*delta)->delta = true;
    (*delta)->time_ns = after->time_ns;
    (*delta)->duration_ns = after->time_ns - before->time_ns;
    return 0;
}
