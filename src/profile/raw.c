/* Between the scaled whole numbers of profile.proto and the sampled ones of the text formats. */
#include <math.h>

#include "profile/model.h"

struct hp_amount hp_scale_up(struct hp_amount raw, double interval)
{
    if (interval <= 1)
        return raw;
    double factor = hp_scale_factor((double)raw.objects, (double)raw.bytes, interval);
    return (struct hp_amount){hp_round((double)raw.objects * factor), hp_round((double)raw.bytes * factor)};
}

static bool scales_to(struct hp_amount raw, struct hp_amount scaled, double interval)
{
    struct hp_amount up = hp_scale_up(raw, interval);
    return up.objects == scaled.objects && up.bytes == scaled.bytes;
}

/* The bytes of `objects` samples that scale up to `scaled`: scaling grows with the bytes, so
 * bisect. */
static uint64_t invert(double objects, double scaled, double interval)
{
    double low = 0, high = scaled;
    for (int i = 0; i < 64; i++) {
        double middle = low + (high - low) / 2;
        if (middle * hp_scale_factor(objects, middle, interval) < scaled)
            low = middle;
        else
            high = middle;
    }
    return hp_round(high);
}

struct hp_amount hp_scale_down(struct hp_amount scaled, uint64_t size_label, double interval)
{
    double bytes = (double)scaled.bytes;
    if (!scaled.objects && !scaled.bytes)
        return scaled;
    double objects = (double)scaled.objects;
    if (!scaled.objects && size_label)
        objects = bytes / (double)size_label;
    double size = objects > 0 && bytes > 0 ? bytes / objects : (double)size_label;
    struct hp_amount raw = {.objects = 1};
    if (interval <= 1)
        raw.objects = hp_round(objects);
    else if (size > 0)
        raw.objects = hp_round(objects * -expm1(-size / interval));
    else
        raw.objects = hp_round(bytes / interval); /* so many samples, were the objects small */
    if (!raw.objects)
        raw.objects = 1;
    raw.bytes = scaled.bytes;
    if (interval <= 1 || !scaled.bytes)
        return raw;
    uint64_t product;
    if (!__builtin_mul_overflow(raw.objects, size_label, &product)) {
        struct hp_amount uniform = {raw.objects, product};
        if (scales_to(uniform, scaled, interval))
            return uniform;
    }
    raw.bytes = invert((double)raw.objects, bytes, interval);
    return raw;
}

double hp_coarsest_interval(const struct hp_profile *profile)
{
    double coarsest = profile->interval;
    for (size_t i = 0; profile->mixed && i < profile->sample_count; i++)
        coarsest = fmax(coarsest, profile->samples[i].interval);
    return coarsest;
}

uint64_t hp_size_label(const struct hp_counts *counts)
{
    if (counts->live_objects)
        return counts->live_bytes / counts->live_objects;
    return counts->alloc_objects ? counts->alloc_bytes / counts->alloc_objects : 0;
}

static struct hp_amount round_amount(double objects, double bytes)
{
    struct hp_amount pair = {hp_round(objects), hp_round(bytes)};
    if (!pair.objects && pair.bytes)
        pair.objects = 1; /* readers refuse bytes of no object */
    return pair;
}

/* Two's complement, as profile.proto has its int64. */
static uint64_t round_signed(double value)
{
    return value < 0 ? -hp_round(-value) : hp_round(value);
}

struct hp_counts hp_scaled_counts(const struct hp_profile *profile, const struct hp_sample *sample)
{
    const struct hp_counts *counts = &sample->counts;
    struct hp_amount live, alloc;
    if (profile->delta)
        return (struct hp_counts){round_signed(sample->live_objects), round_signed(sample->live_bytes),
                                  round_signed(sample->alloc_objects), round_signed(sample->alloc_bytes)};
    if (profile->prescaled) {
        live = round_amount(sample->live_objects, sample->live_bytes);
        alloc = round_amount(sample->alloc_objects, sample->alloc_bytes);
    } else {
        double interval = hp_sample_interval(profile, sample);
        live = hp_scale_up((struct hp_amount){counts->live_objects, counts->live_bytes}, interval);
        alloc = hp_scale_up((struct hp_amount){counts->alloc_objects, counts->alloc_bytes}, interval);
    }
    return (struct hp_counts){live.objects, live.bytes, alloc.objects, alloc.bytes};
}
