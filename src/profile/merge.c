/* Merging profiles of different runs, hosts and load addresses.
 *
 * A location is the same when its file (build id, or else path) and its offset in it are; without a
 * module, when its address and the function there are. The merged profile needs addresses of its
 * own, because it is written in formats that know nothing else: a mapping keeps the addresses of
 * the profile that brought it, unless they are taken, and is moved behind all others then.
 *
 * Samples of one stack and one mean size are added up, which leaves every estimate exactly as it
 * is; all others stay apart, because a mean over mixed sizes would not.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"
#include "profile/model.h"
#include "profile/scan.h"

#define PAGE 4096

struct merger {
    struct hp_profile *merged;
    struct hp_map modules;   /* by hash of identity, offset and size */
    struct hp_map locations; /* by hash of identity and offset, or of address and function */
    struct hp_map samples;   /* by hash of stack and mean sizes */
    uint64_t highest;        /* end of the last mapping in user space */
    uint32_t *module_of;     /* of the profile being added: its modules' indices in `merged` */
    uint32_t *location_of;
    struct hp_stack_copy {
        uint32_t *locations;
        size_t capacity;
    } stack;
};

static const char *identity(const struct hp_profile *merged, uint32_t module)
{
    const struct hp_module *m = &merged->modules[module];
    return *m->build_id ? m->build_id : m->path;
}

/* Somewhere for a mapping of this size: `start` if that is free, or else behind all others. */
static uint64_t find_room(const struct merger *merger, uint64_t start, uint64_t size)
{
    const struct hp_profile *merged = merger->merged;
    /* The search is linear; more mappings than a process can have (vm.max_map_count) need no
     * fidelity. */
    bool free_there = merged->module_count < 65536;
    for (size_t i = 0; i < merged->module_count && free_there; i++) {
        const struct hp_module *module = &merged->modules[i];
        free_there = start >= module->limit || module->start >= start + size;
    }
    if (free_there || merger->highest > UINT64_MAX / 2 - size - 2 * PAGE)
        return start;
    return (merger->highest + 2 * PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static void add_modules(struct merger *merger, const struct hp_profile *profile)
{
    struct hp_profile *merged = merger->merged;
    merger->module_of = hp_realloc(merger->module_of, profile->module_count, sizeof(uint32_t));
    for (size_t i = 0; i < profile->module_count; i++) {
        struct hp_module module = profile->modules[i];
        const char *name = *module.build_id ? module.build_id : module.path;
        uint64_t size = module.limit > module.start ? module.limit - module.start : 0;
        /* Code without a file has nothing but its address. */
        const uint64_t key[] = {(uintptr_t)hp_profile_intern(merged, name), module.offset, size,
                                *name ? 0 : module.start};
        uint32_t fresh = (uint32_t)merged->module_count;
        uint32_t index = hp_map_add(&merger->modules, hp_hash_bytes(key, sizeof key), fresh);
        if (index == fresh) {
            if (size && size < UINT64_MAX / 4)
                module.start = find_room(merger, module.start, size);
            module.limit = module.start + size;
            /* Kernel pages at the very top (vsyscall) are no floor for others. */
            if (module.limit > merger->highest && module.limit < UINT64_MAX / 2)
                merger->highest = module.limit;
            hp_profile_add_module(merged, &module);
        }
        merger->module_of[i] = index;
    }
}

static uint64_t location_key(const struct hp_profile *merged, const struct hp_location *location, const char *function)
{
    const char *name = location->module != HP_NO_MODULE ? identity(merged, location->module) : "";
    const uint64_t key[] = {*name ? (uintptr_t)name : (uintptr_t)function, *name ? location->offset : location->address,
                            *name != 0};
    return hp_hash_bytes(key, sizeof key);
}

static uint32_t merge_location(struct merger *merger, const struct hp_location *source)
{
    struct hp_profile *merged = merger->merged;
    struct hp_location location = *source;
    const char *function = NULL;
    if (source->line_count)
        function = hp_profile_intern(merged, source->lines[0].function);
    if (source->module != HP_NO_MODULE) {
        location.module = merger->module_of[source->module];
        const struct hp_module *module = &merged->modules[location.module];
        uint64_t into = source->offset - module->offset;
        if (module->limit > module->start && into < module->limit - module->start)
            location.address = module->start + into;
    }
    uint32_t fresh = (uint32_t)merged->location_count;
    uint32_t index = hp_map_add(&merger->locations, location_key(merged, &location, function), fresh);
    if (index == fresh && function) {
        /* One profile may have the name of an address that the other one only knows as a number. */
        uint32_t plain = hp_map_add(&merger->locations, location_key(merged, &location, NULL), fresh);
        if (plain != fresh && !merged->locations[plain].line_count)
            return plain;
    }
    if (index == fresh)
        hp_profile_append_location(merged, &location);
    return index;
}

static void add_locations(struct merger *merger, const struct hp_profile *profile)
{
    struct hp_profile *merged = merger->merged;
    merger->location_of = hp_realloc(merger->location_of, profile->location_count, sizeof(uint32_t));
    for (size_t i = 0; i < profile->location_count; i++) {
        const struct hp_location *source = &profile->locations[i];
        uint32_t index = merge_location(merger, source);
        if (source->line_count && !merged->locations[index].line_count)
            hp_profile_set_lines(merged, index, source->lines, source->line_count);
        merged->locations[index].symbolized |= source->symbolized;
        merger->location_of[i] = index;
    }
}

/* ------------------------------------------------------------------ samples */

static bool same_mean(uint64_t objects_a, uint64_t bytes_a, uint64_t objects_b, uint64_t bytes_b)
{
    return (unsigned __int128)objects_a * bytes_b == (unsigned __int128)objects_b * bytes_a && !objects_a == !objects_b;
}

static bool can_join(const struct hp_profile *merged, const struct hp_sample *a, const struct hp_sample *b)
{
    const struct hp_counts *x = &a->counts, *y = &b->counts;
    return a->depth == b->depth && a->interval == b->interval &&
           memcmp(merged->frames + a->first, merged->frames + b->first, a->depth * sizeof *merged->frames) == 0 &&
           same_mean(x->live_objects, x->live_bytes, y->live_objects, y->live_bytes) &&
           same_mean(x->alloc_objects, x->alloc_bytes, y->alloc_objects, y->alloc_bytes);
}

static void join(struct hp_sample *into, const struct hp_sample *from)
{
    struct hp_counts *sum = &into->counts;
    const struct hp_counts *term = &from->counts;
    sum->live_objects = hp_add_clamped(sum->live_objects, term->live_objects);
    sum->live_bytes = hp_add_clamped(sum->live_bytes, term->live_bytes);
    sum->alloc_objects = hp_add_clamped(sum->alloc_objects, term->alloc_objects);
    sum->alloc_bytes = hp_add_clamped(sum->alloc_bytes, term->alloc_bytes);
    into->live_objects += from->live_objects;
    into->live_bytes += from->live_bytes;
    into->alloc_objects += from->alloc_objects;
    into->alloc_bytes += from->alloc_bytes;
}

static uint64_t sample_key(const struct merger *merger, const struct hp_sample *sample)
{
    const struct hp_counts *counts = &sample->counts;
    const uint64_t key[] = {hp_hash_bytes(merger->stack.locations, sample->depth * sizeof(uint32_t)),
                            counts->live_objects ? counts->live_bytes / counts->live_objects : UINT64_MAX,
                            counts->alloc_objects ? counts->alloc_bytes / counts->alloc_objects : UINT64_MAX,
                            (uint64_t)sample->interval};
    return hp_hash_bytes(key, sizeof key);
}

static void add_sample(struct merger *merger, const struct hp_profile *profile, const struct hp_sample *source)
{
    struct hp_profile *merged = merger->merged;
    struct hp_stack_copy *stack = &merger->stack;
    stack->locations = hp_grow(stack->locations, &stack->capacity, source->depth, sizeof *stack->locations);
    for (uint32_t i = 0; i < source->depth; i++)
        stack->locations[i] = merger->location_of[profile->frames[source->first + i]];
    struct hp_sample *sample = hp_profile_add_sample(merged, stack->locations, source->depth, &source->counts);
    if (merged->prescaled) {
        sample->live_objects = hp_sample_estimate(profile, source, HP_INUSE_OBJECTS, false).value;
        sample->live_bytes = hp_sample_estimate(profile, source, HP_INUSE_SPACE, false).value;
        sample->alloc_objects = hp_sample_estimate(profile, source, HP_ALLOC_OBJECTS, false).value;
        sample->alloc_bytes = hp_sample_estimate(profile, source, HP_ALLOC_SPACE, false).value;
        return;
    }
    sample->interval = source->interval;
    sample->live_objects = source->live_objects;
    sample->live_bytes = source->live_bytes;
    sample->alloc_objects = source->alloc_objects;
    sample->alloc_bytes = source->alloc_bytes;
    uint32_t fresh = (uint32_t)(merged->sample_count - 1);
    uint32_t index = hp_map_add(&merger->samples, sample_key(merger, sample), fresh);
    if (index == fresh || !can_join(merged, &merged->samples[index], sample))
        return;
    join(&merged->samples[index], sample);
    merged->frame_count -= sample->depth;
    merged->sample_count--;
}

/* ------------------------------------------------------------------ facts */

static bool is_counter(const char *name)
{
    static const char *const counters[] = {"Alloc",
                                           "TotalAlloc",
                                           "Mallocs",
                                           "Frees",
                                           "HeapAlloc",
                                           "HeapSys",
                                           "HeapIdle",
                                           "HeapInuse",
                                           "HeapReleased",
                                           "HeapObjects",
                                           "heapprof.lost",
                                           "heapprof.samples",
                                           "heapprof.truncated",
                                           "heapprof.unmatched_frees"};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        if (strcmp(name, counters[i]) == 0)
            return true;
    return false;
}

/* Tells of one process at one moment: the same figure in another profile would be chance. */
static bool is_of_one(const char *name)
{
    return strncmp(name, "heapprof.rss", 12) == 0 || strcmp(name, "heapprof.swapped") == 0 ||
           strncmp(name, "heapprof.heap_", 14) == 0 || strcmp(name, "heapprof.thread") == 0;
}

/* The fact's value over all profiles, or NULL when they do not agree on one. `buffer` has room for
 * a number. */
static const char *merge_fact(const struct hp_profile *const *profiles, size_t count, const struct hp_fact *fact,
                              char buffer[24])
{
    bool sum = is_counter(fact->name), maximum = strcmp(fact->name, "MaxRSS") == 0;
    uint64_t result = 0;
    for (size_t i = 0; i < count; i++) {
        const char *value = hp_profile_fact(profiles[i], fact->name);
        uint64_t number = 0;
        if (!sum && !maximum) {
            if (!value || strcmp(value, fact->value) != 0)
                return NULL;
            continue;
        }
        if (!value)
            continue;
        if (!hp_scan_dec(&value, &number) || *value)
            return NULL;
        if (sum)
            result = hp_add_clamped(result, number);
        else if (number > result)
            result = number;
    }
    if (!sum && !maximum)
        return fact->value;
    snprintf(buffer, 24, "%" PRIu64, result);
    return buffer;
}

static void merge_facts(struct hp_profile *merged, const struct hp_profile *const *profiles, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < profiles[i]->fact_count; k++) {
            const struct hp_fact *fact = &profiles[i]->facts[k];
            char number[24];
            if (hp_profile_fact(merged, fact->name) || (count > 1 && is_of_one(fact->name)))
                continue;
            const char *value = merge_fact(profiles, count, fact, number);
            if (value)
                hp_profile_add_fact(merged, fact->name, value);
        }
    }
}

/* The later of the times: what the merged profile is true at. */
static int64_t latest(const struct hp_profile *const *profiles, size_t count)
{
    int64_t time_ns = 0;
    for (size_t i = 0; i < count; i++)
        if (profiles[i]->time_ns > time_ns)
            time_ns = profiles[i]->time_ns;
    return time_ns;
}

int hp_profile_merge(const struct hp_profile *const *profiles, size_t count, struct hp_profile **result,
                     struct hp_error *error)
{
    if (!count)
        return hp_error_set(error, -EINVAL, "no profiles to merge");
    struct merger merger = {.merged = hp_profile_new(count == 1 ? profiles[0]->name : "merged")};
    struct hp_profile *merged = merger.merged;
    merged->interval = profiles[0]->interval;
    merged->default_type = hp_profile_intern(merged, profiles[0]->default_type);
    for (size_t i = 0; i < count; i++) {
        if (profiles[i]->prescaled || profiles[i]->interval != profiles[0]->interval)
            merged->prescaled = true;
        merged->mixed |= profiles[i]->mixed;
    }
    for (size_t i = 0; merged->prescaled && i < count; i++)
        merged->interval = fmax(merged->interval, hp_coarsest_interval(profiles[i]));
    merged->mixed &= !merged->prescaled;
    for (size_t i = 0; i < count; i++) {
        add_modules(&merger, profiles[i]);
        add_locations(&merger, profiles[i]);
        for (size_t k = 0; k < profiles[i]->sample_count; k++)
            add_sample(&merger, profiles[i], &profiles[i]->samples[k]);
    }
    merge_facts(merged, profiles, count);
    merged->time_ns = latest(profiles, count);
    hp_map_clear(&merger.modules);
    hp_map_clear(&merger.locations);
    hp_map_clear(&merger.samples);
    free(merger.module_of);
    free(merger.location_of);
    free(merger.stack.locations);
    *result = merged;
    return 0;
}
