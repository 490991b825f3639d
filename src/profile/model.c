#include "profile/model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"

#define ARENA_FIRST 4096
#define ARENA_MOST 65536

int hp_error_set(struct hp_error *error, int code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        /* The text may quote a hostile file; it must stay one printable line. */
        for (char *p = error->text; *p; p++)
            if ((unsigned char)*p < ' ' || *p == 127)
                *p = '?';
    }
    return code;
}

static void *allocate(struct hp_profile *profile, size_t size, size_t alignment)
{
    struct hp_arena_chunk *chunk = profile->private->arena;
    size_t start = chunk ? (chunk->used + alignment - 1) & ~(alignment - 1) : 0;
    if (!chunk || start > chunk->size || size > chunk->size - start) {
        size_t room = chunk ? chunk->size * 2 : ARENA_FIRST;
        if (room > ARENA_MOST)
            room = ARENA_MOST;
        if (room < size)
            room = size;
        chunk = hp_realloc(NULL, 1, sizeof *chunk + room);
        *chunk = (struct hp_arena_chunk){.next = profile->private->arena, .size = room};
        profile->private->arena = chunk;
        start = 0;
    }
    chunk->used = start + size;
    return chunk->data + start;
}

struct hp_profile *hp_profile_new(const char *name)
{
    struct hp_profile *profile = hp_alloc(1, sizeof *profile);
    profile->private = hp_alloc(1, sizeof *profile->private);
    profile->name = hp_profile_intern(profile, name);
    profile->default_type = hp_profile_intern(profile, "");
    profile->interval = 1;
    return profile;
}

void hp_profile_free(struct hp_profile *profile)
{
    if (!profile)
        return;
    struct hp_arena_chunk *next;
    for (struct hp_arena_chunk *chunk = profile->private->arena; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    hp_map_clear(&profile->private->by_address);
    free(profile->private->strings);
    free(profile->private);
    free(profile->modules);
    free(profile->locations);
    free(profile->frames);
    free(profile->samples);
    free(profile->facts);
    free(profile);
}

static struct hp_interned_string *find_string(const struct hp_profile_private *private, const char *data, size_t size,
                                              uint32_t hash)
{
    size_t mask = private->string_capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct hp_interned_string *slot = &private->strings[i];
        if (!slot->string || (slot->hash == hash && slot->size == size && memcmp(slot->string, data, size) == 0))
            return slot;
    }
}

static void grow_strings(struct hp_profile_private *private)
{
    struct hp_interned_string *old = private->strings;
    size_t old_capacity = private->string_capacity;
    private->string_capacity = old_capacity ? old_capacity * 2 : 256;
    private->strings = hp_alloc(private->string_capacity, sizeof *private->strings);
    size_t mask = private->string_capacity - 1;
    for (size_t i = 0; i < old_capacity; i++) {
        if (!old[i].string)
            continue;
        size_t to = old[i].hash & mask;
        while (private->strings[to].string)
            to = (to + 1) & mask;
        private->strings[to] = old[i];
    }
    free(old);
}

const char *hp_profile_intern_bytes(struct hp_profile *profile, const char *data, size_t size)
{
    struct hp_profile_private *private = profile->private;
    size = strnlen(data, size); /* a NUL inside would make two strings that compare as equal */
    if (size > UINT32_MAX)
        size = UINT32_MAX;
    if (private->string_count * 2 >= private->string_capacity)
        grow_strings(private);
    uint32_t hash = (uint32_t)hp_hash_bytes(data, size);
    struct hp_interned_string *slot = find_string(private, data, size, hash);
    if (!slot->string) {
        char *copy = allocate(profile, size + 1, 1);
        memcpy(copy, data, size);
        copy[size] = '\0';
        *slot = (struct hp_interned_string){.string = copy, .size = (uint32_t)size, .hash = hash};
        private->string_count++;
    }
    return slot->string;
}

const char *hp_profile_intern(struct hp_profile *profile, const char *string)
{
    return hp_profile_intern_bytes(profile, string, strlen(string));
}

/* Indices are 32 bits wide; a file that needs more does not fit into any memory that the command
 * may take. */
static uint32_t next_index(size_t count)
{
    if (count >= UINT32_MAX - 1) {
        fputs("heapprof: a profile with more than 4 billion locations or modules\n", stderr);
        exit(1);
    }
    return (uint32_t)count;
}

uint32_t hp_profile_add_module(struct hp_profile *profile, const struct hp_module *module)
{
    uint32_t index = next_index(profile->module_count);
    profile->modules = hp_grow(profile->modules, &profile->private->module_capacity, profile->module_count + 1,
                               sizeof *profile->modules);
    profile->modules[profile->module_count++] = (struct hp_module){
        .start = module->start,
        .limit = module->limit,
        .offset = module->offset,
        .path = hp_profile_intern(profile, module->path),
        .build_id = hp_profile_intern(profile, module->build_id),
    };
    return index;
}

uint32_t hp_profile_append_location(struct hp_profile *profile, const struct hp_location *location)
{
    uint32_t index = next_index(profile->location_count);
    profile->locations = hp_grow(profile->locations, &profile->private->location_capacity, profile->location_count + 1,
                                 sizeof *profile->locations);
    struct hp_location *copy = &profile->locations[profile->location_count++];
    *copy = *location;
    copy->lines = NULL;
    copy->line_count = 0;
    if (location->line_count)
        hp_profile_set_lines(profile, index, location->lines, location->line_count);
    return index;
}

uint32_t hp_profile_find_location(const struct hp_profile *profile, uint64_t address)
{
    return hp_map_get(&profile->private->by_address, address);
}

uint32_t hp_profile_add_location(struct hp_profile *profile, uint64_t address)
{
    uint32_t fresh = next_index(profile->location_count);
    uint32_t index = hp_map_add(&profile->private->by_address, address, fresh);
    if (index == fresh) {
        struct hp_location location = {.address = address, .offset = address, .module = HP_NO_MODULE};
        hp_profile_append_location(profile, &location);
    }
    return index;
}

void hp_profile_set_lines(struct hp_profile *profile, uint32_t location, const struct hp_line *lines, size_t count)
{
    struct hp_line *copy = NULL;
    if (count)
        copy = allocate(profile, count * sizeof *copy, _Alignof(struct hp_line));
    for (size_t i = 0; i < count; i++) {
        copy[i] = lines[i];
        copy[i].function = hp_profile_intern(profile, lines[i].function);
        copy[i].linkage = hp_profile_intern(profile, lines[i].linkage ? lines[i].linkage : "");
        copy[i].file = hp_profile_intern(profile, lines[i].file ? lines[i].file : "");
    }
    profile->locations[location].lines = copy;
    profile->locations[location].line_count = (uint32_t)count;
    profile->locations[location].symbolized = true;
}

struct module_order {
    uint64_t start;
    uint32_t module;
};

static int compare_starts(const void *a, const void *b)
{
    const struct module_order *left = a, *right = b;
    if (left->start != right->start)
        return left->start < right->start ? -1 : 1;
    return left->module < right->module ? -1 : 1;
}

void hp_profile_resolve_modules(struct hp_profile *profile)
{
    size_t count = profile->module_count;
    struct module_order *order = hp_alloc(count, sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[i] = (struct module_order){profile->modules[i].start, (uint32_t)i};
    qsort(order, count, sizeof *order, compare_starts);
    for (size_t i = 0; i < profile->location_count; i++) {
        struct hp_location *location = &profile->locations[i];
        size_t low = 0, high = count; /* order[low - 1].start <= address < order[high].start */
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (order[middle].start <= location->address)
                low = middle + 1;
            else
                high = middle;
        }
        location->module = HP_NO_MODULE;
        location->offset = location->address;
        if (!low)
            continue;
        const struct hp_module *module = &profile->modules[order[low - 1].module];
        if (location->address >= module->limit)
            continue;
        location->module = order[low - 1].module;
        location->offset = location->address - module->start + module->offset;
    }
    free(order);
}

struct hp_sample *hp_profile_add_sample(struct hp_profile *profile, const uint32_t *locations, size_t depth,
                                        const struct hp_counts *counts)
{
    struct hp_profile_private *private = profile->private;
    profile->frames =
        hp_grow(profile->frames, &private->frame_capacity, profile->frame_count + depth, sizeof *profile->frames);
    profile->samples =
        hp_grow(profile->samples, &private->sample_capacity, profile->sample_count + 1, sizeof *profile->samples);
    if (depth)
        memcpy(profile->frames + profile->frame_count, locations, depth * sizeof *locations);
    struct hp_sample *sample = &profile->samples[profile->sample_count++];
    *sample = (struct hp_sample){.first = profile->frame_count, .depth = (uint32_t)depth, .counts = *counts};
    profile->frame_count += depth;
    return sample;
}

static void remove_location(struct hp_profile *profile, uint32_t location)
{
    memmove(&profile->locations[location], &profile->locations[location + 1],
            (profile->location_count - location - 1) * sizeof *profile->locations);
    profile->location_count--;
    for (size_t i = 0; i < profile->frame_count; i++)
        if (profile->frames[i] > location)
            profile->frames[i]--;
    hp_map_clear(&profile->private->by_address);
    for (size_t i = 0; i < profile->location_count; i++)
        hp_map_add(&profile->private->by_address, profile->locations[i].address, (uint32_t)i);
}

void hp_profile_drop_front(struct hp_profile *profile, uint32_t location)
{
    size_t used = 0;
    bool elsewhere = false;
    for (size_t i = 0; i < profile->sample_count; i++) {
        struct hp_sample *sample = &profile->samples[i];
        if (sample->depth && profile->frames[sample->first] == location) {
            sample->first++;
            sample->depth--;
        }
        /* Samples lie one after the other in frames, so this only ever moves down. */
        for (uint32_t k = 0; k < sample->depth; k++) {
            uint32_t frame = profile->frames[sample->first + k];
            elsewhere |= frame == location;
            profile->frames[used + k] = frame;
        }
        sample->first = used;
        used += sample->depth;
    }
    profile->frame_count = used;
    if (!elsewhere)
        remove_location(profile, location);
}

const char *hp_check_counts(struct hp_counts *counts)
{
    if (!counts->alloc_objects && !counts->alloc_bytes) {
        counts->alloc_objects = counts->live_objects;
        counts->alloc_bytes = counts->live_bytes;
    }
    if ((!counts->live_objects && counts->live_bytes) || (!counts->alloc_objects && counts->alloc_bytes))
        return "bytes without objects";
    if (counts->live_objects > counts->alloc_objects || counts->live_bytes > counts->alloc_bytes)
        return "more is live than was allocated";
    return NULL;
}
