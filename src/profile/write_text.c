#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"
#include "profile/model.h"

struct entry {
    struct hp_counts counts;
    size_t sample;
};

/* Descending by live bytes, then allocated bytes, then as they came. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    if (left->counts.live_bytes != right->counts.live_bytes)
        return left->counts.live_bytes < right->counts.live_bytes ? 1 : -1;
    if (left->counts.alloc_bytes != right->counts.alloc_bytes)
        return left->counts.alloc_bytes < right->counts.alloc_bytes ? 1 : -1;
    return left->sample < right->sample ? -1 : 1;
}

static struct entry *sort_entries(const struct hp_profile *profile, struct hp_counts *total)
{
    struct entry *entries = hp_alloc(profile->sample_count, sizeof *entries);
    *total = (struct hp_counts){0};
    for (size_t i = 0; i < profile->sample_count; i++) {
        struct hp_counts *counts = &entries[i].counts;
        entries[i].sample = i;
        *counts = profile->samples[i].counts;
        if (profile->samples[i].interval > 0) {
            *counts = (struct hp_counts){
                hp_round(profile->samples[i].live_objects), hp_round(profile->samples[i].live_bytes),
                hp_round(profile->samples[i].alloc_objects), hp_round(profile->samples[i].alloc_bytes)};
        } else if (profile->prescaled) {
            *counts = hp_scaled_counts(profile, &profile->samples[i]);
            /* Each pair was scaled by its own mean size; readers want more allocated than live. */
            if (counts->alloc_objects < counts->live_objects)
                counts->alloc_objects = counts->live_objects;
            if (counts->alloc_bytes < counts->live_bytes)
                counts->alloc_bytes = counts->live_bytes;
        }
        total->live_objects = hp_add_clamped(total->live_objects, counts->live_objects);
        total->live_bytes = hp_add_clamped(total->live_bytes, counts->live_bytes);
        total->alloc_objects = hp_add_clamped(total->alloc_objects, counts->alloc_objects);
        total->alloc_bytes = hp_add_clamped(total->alloc_bytes, counts->alloc_bytes);
    }
    qsort(entries, profile->sample_count, sizeof *entries, compare_entries);
    return entries;
}

/* The call's address. Some writers of profile.proto leave it out; their locations get one that no
 * code has, so that they stay apart. */
static uint64_t call_address(const struct hp_profile *profile, uint32_t index)
{
    const struct hp_location *location = &profile->locations[index];
    return location->address || !location->line_count ? location->address : (uint64_t)index + 1;
}

static void write_lines(struct hp_text *text, const struct hp_profile *profile, const struct hp_sample *sample)
{
    for (uint32_t i = 0; i < sample->depth; i++) {
        uint32_t index = profile->frames[sample->first + i];
        const struct hp_location *location = &profile->locations[index];
        for (uint32_t k = 0; k < location->line_count; k++) {
            const struct hp_line *line = &location->lines[k];
            hp_text_frame(text, call_address(profile, index), line->function, line->entry_offset,
                          *line->file ? line->file : NULL, line->line);
        }
    }
    hp_text_blank(text);
}

static void write_entries(struct hp_text *text, const struct hp_profile *profile, bool with_lines)
{
    struct hp_counts total;
    struct entry *entries = sort_entries(profile, &total);
    uint64_t *addresses = NULL;
    size_t capacity = 0;
    hp_text_header(text, &total, profile->prescaled ? 1 : (uint64_t)profile->interval);
    for (size_t i = 0; i < profile->sample_count; i++) {
        const struct hp_sample *sample = &profile->samples[entries[i].sample];
        addresses = hp_grow(addresses, &capacity, sample->depth, sizeof *addresses);
        for (uint32_t k = 0; k < sample->depth; k++)
            addresses[k] = call_address(profile, profile->frames[sample->first + k]) + 1;
        hp_text_entry(text, &entries[i].counts, addresses, sample->depth);
        if (sample->interval > 0)
            hp_text_drawn(text, &sample->counts, hp_round(sample->interval));
        if (with_lines)
            write_lines(text, profile, sample);
    }
    free(addresses);
    free(entries);
}

/* Build ids come from files, and hp_text_module writes them as they are. */
static bool is_hex(const char *string)
{
    return *string && string[strspn(string, "0123456789abcdefABCDEF")] == '\0';
}

static void write_comment(void *state, const char *line)
{
    struct hp_text *text = state;
    hp_text_put(text, line);
    hp_text_line_end(text);
}

int hp_profile_write_text(const struct hp_profile *profile, bool with_lines, hp_sink_fn *sink, void *sink_state)
{
    struct hp_text text;
    char *buffer = hp_alloc(1, HP_TEXT_BUFFER);
    hp_text_init(&text, sink, sink_state, buffer);
    write_entries(&text, profile, with_lines);
    hp_profile_each_comment(profile, write_comment, &text);
    for (size_t i = 0; i < profile->module_count; i++)
        if (is_hex(profile->modules[i].build_id))
            hp_text_module(&text, profile->modules[i].start, profile->modules[i].build_id);
    hp_text_maps_begin(&text);
    for (size_t i = 0; i < profile->module_count; i++) {
        const struct hp_module *module = &profile->modules[i];
        if (module->start < module->limit) /* others cannot be said in this format */
            hp_text_map(&text, module->start, module->limit, module->offset, module->path);
    }
    int status = hp_text_end(&text);
    free(buffer);
    return status;
}
