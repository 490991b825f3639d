#include "report/core/series.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "report/statistics/pairs.h"

static double fact(const struct hp_profile *profile, const char *name)
{
    const char *value = hp_profile_fact(profile, name);
    return value ? strtod(value, NULL) : 0;
}

struct hp_figures_at hp_figures_of(const struct hp_profile *profile)
{
    const struct hp_estimate live = hp_profile_total(profile, HP_INUSE_SPACE);
    return (struct hp_figures_at){.time_ns = profile->time_ns,
                                  .live = live.value,
                                  .live_error = hp_estimate_error(&live),
                                  .inuse = fact(profile, "HeapInuse"),
                                  .idle = fact(profile, "HeapIdle")};
}

static void begin(struct hp_series *series, const struct hp_profile *profile)
{
    series->stacks = hp_profile_new(profile->name);
    series->stacks->interval = profile->interval;
}

static void add_modules(struct hp_profile *stacks, const struct hp_profile *profile)
{
    for (size_t i = 0; i < profile->module_count; i++) {
        const struct hp_module *module = &profile->modules[i];
        bool known = false;
        for (size_t k = 0; k < stacks->module_count && !known; k++)
            known = stacks->modules[k].start == module->start && stacks->modules[k].limit == module->limit &&
                    stacks->modules[k].offset == module->offset && !strcmp(stacks->modules[k].path, module->path);
        if (!known)
            hp_profile_add_module(stacks, module);
    }
}

static void take_facts(struct hp_profile *stacks, const struct hp_profile *profile)
{
    stacks->fact_count = 0;
    for (size_t i = 0; i < profile->fact_count; i++)
        hp_profile_add_fact(stacks, profile->facts[i].name, profile->facts[i].value);
    stacks->name = hp_profile_intern(stacks, profile->name);
    stacks->time_ns = profile->time_ns;
}

static void add_entry(struct hp_profile *stacks, const struct hp_profile *profile, const struct hp_sample *sample,
                      uint32_t *frames)
{
    for (uint32_t i = 0; i < sample->depth; i++) {
        const struct hp_location *from = &profile->locations[profile->frames[sample->first + i]];
        frames[i] = hp_profile_add_location(stacks, from->address);
        if (from->symbolized && !stacks->locations[frames[i]].symbolized)
            hp_profile_set_lines(stacks, frames[i], from->lines, from->line_count);
    }
    hp_profile_add_sample(stacks, frames, sample->depth, &sample->counts);
}

/* Entries that the profile does not have any more keep what was ever allocated. */
static void take_counts(struct hp_profile *stacks, const struct hp_profile *profile)
{
    struct hp_sample_pair *pairs;
    size_t count = hp_sample_pairs_make(stacks, profile, HP_INUSE_SPACE, false, &pairs), deepest = 0;
    for (size_t i = 0; i < profile->sample_count; i++)
        deepest = profile->samples[i].depth > deepest ? profile->samples[i].depth : deepest;
    uint32_t *frames = hp_alloc(deepest, sizeof *frames);
    for (size_t i = 0; i < count; i++) {
        if (!pairs[i].before)
            continue;
        struct hp_sample *entry = &stacks->samples[pairs[i].before - stacks->samples];
        if (pairs[i].after)
            entry->counts = pairs[i].after->counts;
        else
            entry->counts.live_objects = entry->counts.live_bytes = 0;
    }
    for (size_t i = 0; i < count; i++)
        if (!pairs[i].before)
            add_entry(stacks, profile, pairs[i].after, frames);
    hp_profile_resolve_modules(stacks);
    free(frames);
    free(pairs);
}

static int refuse(const struct hp_series *series, const struct hp_profile *profile, struct hp_error *error)
{
    const struct hp_profile *stacks = series->stacks;
    if (!profile->time_ns || !hp_profile_same_process(profile, profile) || profile->prescaled)
        return hp_error_set(error, -EINVAL, "%s: not from heapprof, or merged: a series is of profiles of one process",
                            profile->name);
    if (!stacks)
        return 0;
    if (!hp_profile_same_process(stacks, profile))
        return hp_error_set(error, -EINVAL, "%s and %s are not of the same run of one process", stacks->name,
                            profile->name);
    if (stacks->interval != profile->interval)
        return hp_error_set(error, -EINVAL, "%s and %s were sampled at different intervals (%.0f and %.0f bytes)",
                            stacks->name, profile->name, stacks->interval, profile->interval);
    if (profile->time_ns <= stacks->time_ns)
        return hp_error_set(error, -EINVAL, "%s is not later than %s", profile->name, stacks->name);
    return 0;
}

int hp_series_add(struct hp_series *series, const struct hp_profile *profile, struct hp_error *error)
{
    int status = refuse(series, profile, error);
    if (status)
        return status;
    if (!series->stacks) {
        begin(series, profile);
        take_facts(series->stacks, profile);
    }
    add_modules(series->stacks, profile);
    take_counts(series->stacks, profile);
    take_facts(series->stacks, profile);
    series->moments = hp_grow(series->moments, &series->capacity, series->count + 1, sizeof *series->moments);
    struct hp_series_moment *moment = &series->moments[series->count++];
    *moment = (struct hp_series_moment){.figures = hp_figures_of(profile),
                                        .name = hp_strdup(profile->name),
                                        .entry_count = series->stacks->sample_count};
    moment->counts = hp_alloc(moment->entry_count, sizeof *moment->counts);
    for (size_t i = 0; i < moment->entry_count; i++)
        moment->counts[i] = series->stacks->samples[i].counts;
    return 0;
}

static void free_moment(struct hp_series_moment *moment)
{
    free(moment->name);
    free(moment->counts);
}

size_t hp_series_spare(const int64_t *times_ns, size_t count)
{
    size_t best = 1;
    double least = INFINITY;
    for (size_t i = 1; i + 1 < count; i++) {
        double gap = (double)(times_ns[i + 1] - times_ns[i - 1]);
        double cost = gap / sqrt((double)(times_ns[count - 1] - times_ns[i - 1]));
        if (cost < least) {
            least = cost;
            best = i;
        }
    }
    return best;
}

size_t hp_series_size(const struct hp_series *series)
{
    size_t entries = 0;
    for (size_t i = 0; i < series->count; i++)
        entries += series->moments[i].entry_count;
    return entries * sizeof(struct hp_counts);
}

void hp_series_thin(struct hp_series *series, size_t moments, size_t bytes)
{
    int64_t *times = hp_alloc(series->count, sizeof *times);
    while (series->count > 3 && (series->count > moments || hp_series_size(series) > bytes)) {
        for (size_t i = 0; i < series->count; i++)
            times[i] = series->moments[i].figures.time_ns;
        size_t spare = hp_series_spare(times, series->count);
        free_moment(&series->moments[spare]);
        memmove(&series->moments[spare], &series->moments[spare + 1],
                (--series->count - spare) * sizeof *series->moments);
    }
    free(times);
}

void hp_series_free(struct hp_series *series)
{
    for (size_t i = 0; i < series->count; i++)
        free_moment(&series->moments[i]);
    free(series->moments);
    hp_profile_free(series->stacks);
    *series = (struct hp_series){0};
}
