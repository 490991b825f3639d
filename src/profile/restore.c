#include "profile/restore.h"

#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"
#include "profile/scan.h"

void hp_restorer_init(struct hp_restorer *restorer)
{
    for (size_t i = 0; i < HP_SAMPLE_TYPES; i++)
        restorer->columns[i] = SIZE_MAX;
    restorer->bytes_column = restorer->count_column = SIZE_MAX;
}

void hp_restorer_free(struct hp_restorer *restorer)
{
    free(restorer->raw);
    free(restorer->sizes);
    free(restorer->entries);
}

static void take(struct hp_restorer *restorer, enum hp_sample_type type, size_t column)
{
    if (type < HP_SAMPLE_TYPES && restorer->columns[type] == SIZE_MAX)
        restorer->columns[type] = column;
}

void hp_restorer_type(struct hp_restorer *restorer, const char *name, const char *unit, size_t column)
{
    take(restorer, hp_sample_type_named(name), column);
    /* Of names that nobody told us the unit says enough. */
    if (restorer->bytes_column == SIZE_MAX && strcmp(unit, "bytes") == 0)
        restorer->bytes_column = column;
    if (restorer->count_column == SIZE_MAX && strcmp(unit, "count") == 0)
        restorer->count_column = column;
}

void hp_restorer_types_end(struct hp_restorer *restorer)
{
    if (hp_restorer_has_types(restorer) || restorer->bytes_column == SIZE_MAX)
        return;
    take(restorer, HP_INUSE_SPACE, restorer->bytes_column);
    take(restorer, HP_INUSE_OBJECTS, restorer->count_column);
}

bool hp_restorer_has_types(const struct hp_restorer *restorer)
{
    for (size_t i = 0; i < HP_SAMPLE_TYPES; i++)
        if (restorer->columns[i] != SIZE_MAX)
            return true;
    return false;
}

static void read_type(struct hp_restorer *restorer, const char *value)
{
    uint64_t interval;
    if (strcmp(value, "heapprofile") == 0) {
        restorer->has_type = true;
        restorer->type_interval = 1;
    } else if (hp_scan_word(&value, "heap_v2/") && hp_scan_dec(&value, &interval) && !*value) {
        restorer->has_type = true;
        restorer->type_interval = (double)interval;
    }
}

static void read_raw(struct hp_restorer *restorer, const char *value)
{
    uint64_t numbers[5];
    for (size_t i = 0; i < 5; i++) {
        hp_scan_spaces(&value);
        if (!hp_scan_dec(&value, &numbers[i]))
            return; /* not ours after all; the counters are then estimated */
    }
    restorer->raw = hp_grow(restorer->raw, &restorer->raw_capacity, restorer->raw_count + 1, sizeof *restorer->raw);
    restorer->raw[restorer->raw_count].sample = numbers[0];
    restorer->raw[restorer->raw_count++].counts = (struct hp_counts){numbers[1], numbers[2], numbers[3], numbers[4]};
}

static void read_entries(struct hp_restorer *restorer, const char *value)
{
    struct hp_entry_offset entry;
    for (;;) {
        hp_scan_spaces(&value);
        if (!hp_scan_hex(&value, &entry.address) || *value++ != '+' || !hp_scan_hex(&value, &entry.offset))
            return;
        restorer->entries =
            hp_grow(restorer->entries, &restorer->entry_capacity, restorer->entry_count + 1, sizeof *restorer->entries);
        restorer->entries[restorer->entry_count++] = entry;
    }
}

void hp_restorer_comment(struct hp_restorer *restorer, struct hp_profile *profile, const char *comment)
{
    const char *value = comment;
    if (hp_scan_word(&value, HP_COMMENT_TYPE)) {
        read_type(restorer, value);
    } else if (hp_scan_word(&value, HP_COMMENT_RAW)) {
        read_raw(restorer, value);
    } else if (hp_scan_word(&value, HP_COMMENT_ENTRIES)) {
        read_entries(restorer, value);
    } else {
        bool marked = *value == '#';
        value += marked;
        if (!hp_profile_add_comment(profile, value, strlen(value)) && !marked && *value)
            hp_profile_add_fact(profile, "comment", value);
    }
}

static struct hp_amount amount_of(const struct hp_restorer *restorer, const uint64_t *values,
                                  enum hp_sample_type objects, enum hp_sample_type space, uint64_t size)
{
    size_t object_column = restorer->columns[objects], space_column = restorer->columns[space];
    struct hp_amount pair = {0};
    if (object_column != SIZE_MAX)
        pair.objects = values[object_column];
    if (space_column != SIZE_MAX)
        pair.bytes = values[space_column];
    if (object_column == SIZE_MAX && size)
        pair.objects = pair.bytes / size;
    return pair;
}

void hp_restorer_sample(struct hp_restorer *restorer, struct hp_profile *profile, const struct hp_stack_buffer *stack,
                        const uint64_t *values, uint64_t size)
{
    const size_t *columns = restorer->columns;
    struct hp_amount live = amount_of(restorer, values, HP_INUSE_OBJECTS, HP_INUSE_SPACE, size);
    struct hp_amount alloc = live;
    if (columns[HP_ALLOC_OBJECTS] != SIZE_MAX || columns[HP_ALLOC_SPACE] != SIZE_MAX)
        alloc = amount_of(restorer, values, HP_ALLOC_OBJECTS, HP_ALLOC_SPACE, size);
    struct hp_sample *sample = hp_profile_add_sample(profile, stack->locations, stack->depth, &(struct hp_counts){0});
    sample->live_objects = (double)live.objects;
    sample->live_bytes = (double)live.bytes;
    sample->alloc_objects = (double)alloc.objects;
    sample->alloc_bytes = (double)alloc.bytes;
    /* The scaled figures, exact, until hp_restorer_finish. */
    sample->counts = (struct hp_counts){live.objects, live.bytes, alloc.objects, alloc.bytes};
    restorer->sizes =
        hp_grow(restorer->sizes, &restorer->size_capacity, restorer->size_count + 1, sizeof *restorer->sizes);
    restorer->sizes[restorer->size_count++] = size;
}

struct hp_counts hp_guess_counts(const struct hp_counts *scaled, uint64_t size, double interval)
{
    struct hp_amount live = hp_scale_down((struct hp_amount){scaled->live_objects, scaled->live_bytes}, size, interval);
    struct hp_amount alloc =
        hp_scale_down((struct hp_amount){scaled->alloc_objects, scaled->alloc_bytes}, size, interval);
    /* Each pair is scaled by its own mean size, so rounding may turn the order around. */
    if (alloc.objects < live.objects)
        alloc.objects = live.objects;
    if (alloc.bytes < live.bytes)
        alloc.bytes = live.bytes;
    return (struct hp_counts){live.objects, live.bytes, alloc.objects, alloc.bytes};
}

static bool same_counts(const struct hp_counts *a, const struct hp_counts *b)
{
    return a->live_objects == b->live_objects && a->live_bytes == b->live_bytes &&
           a->alloc_objects == b->alloc_objects && a->alloc_bytes == b->alloc_bytes;
}

/* Whether the counters scale up to exactly the figures of the file, so that they may stand for
 * them. */
static bool explain(struct hp_profile *profile, const struct hp_counts *counts, const struct hp_counts *scaled)
{
    struct hp_counts copy = *counts;
    if (hp_check_counts(&copy) || !same_counts(&copy, counts))
        return false;
    struct hp_sample sample = {.counts = *counts};
    struct hp_counts up = hp_scaled_counts(profile, &sample);
    return same_counts(&up, scaled);
}

static int by_address(const void *a, const void *b)
{
    const struct hp_entry_offset *left = a, *right = b;
    return (left->address > right->address) - (left->address < right->address);
}

static void restore_entries(struct hp_restorer *restorer, struct hp_profile *profile)
{
    if (!restorer->entry_count)
        return;
    qsort(restorer->entries, restorer->entry_count, sizeof *restorer->entries, by_address);
    for (size_t i = 0; i < profile->location_count; i++) {
        struct hp_location *location = &profile->locations[i];
        const struct hp_entry_offset key = {location->address, 0};
        const struct hp_entry_offset *found =
            bsearch(&key, restorer->entries, restorer->entry_count, sizeof *restorer->entries, by_address);
        for (uint32_t line = 0; found && line < location->line_count; line++)
            location->lines[line].entry_offset = found->offset;
    }
}

void hp_restorer_finish(struct hp_restorer *restorer, struct hp_profile *profile)
{
    restore_entries(restorer, profile);
    profile->interval = restorer->has_type ? restorer->type_interval : restorer->interval;
    profile->prescaled = false; /* for hp_scaled_counts, until every sample is explained */
    bool explained = restorer->has_type;
    struct hp_counts *scaled = hp_alloc(profile->sample_count, sizeof *scaled);
    for (size_t i = 0; i < profile->sample_count; i++) {
        struct hp_counts *counts = &profile->samples[i].counts;
        scaled[i] = *counts;
        *counts = hp_guess_counts(&scaled[i], restorer->sizes[i], profile->interval);
    }
    for (size_t i = 0; i < restorer->raw_count; i++) {
        uint64_t index = restorer->raw[i].sample;
        struct hp_counts counts = restorer->raw[i].counts;
        if (index < profile->sample_count && !hp_check_counts(&counts) &&
            (!restorer->has_type || explain(profile, &counts, &scaled[index])))
            profile->samples[index].counts = counts;
    }
    for (size_t i = 0; i < profile->sample_count && explained; i++)
        explained = explain(profile, &profile->samples[i].counts, &scaled[i]);
    free(scaled);
    profile->prescaled = !explained;
}
