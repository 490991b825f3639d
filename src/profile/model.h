/* model.h - what the readers, the writers and merge share about the model; not for other folders.
 */
#ifndef HP_PROFILE_MODEL_H
#define HP_PROFILE_MODEL_H

#include "profile/map.h"
#include "profile/profile.h"

/* Strings and lines live in chunks that are freed together. */
struct hp_arena_chunk {
    struct hp_arena_chunk *next;
    size_t used, size;
    _Alignas(16) char data[];
};

struct hp_interned_string {
    const char *string; /* NULL: free */
    uint32_t size;
    uint32_t hash;
};

struct hp_profile_private {
    struct hp_arena_chunk *arena;
    struct hp_interned_string *strings;
    size_t string_count, string_capacity;
    struct hp_map by_address; /* locations of hp_profile_add_location */
    size_t module_capacity, location_capacity, frame_capacity, sample_capacity, fact_capacity;
};

/* A location of its own, whatever its address: for sources that number their locations. lines are
 * copied. */
uint32_t hp_profile_append_location(struct hp_profile *profile, const struct hp_location *location);
/* The location that hp_profile_add_location made for this address, or HP_MAP_NONE. */
uint32_t hp_profile_find_location(const struct hp_profile *profile, uint64_t address);
/* Take a location, which readers were told to be no part of the stacks, off the inner end of all
 * stacks; the location itself goes too when nothing else uses it. */
void hp_profile_drop_front(struct hp_profile *profile, uint32_t location);

/* The facts. hp_profile_add_comment takes the text after "# " of a comment line: `name = value`, or
 * `heapprof: a=1 b=2`, which makes facts of one group. Returns false if it is neither. */
bool hp_profile_add_comment(struct hp_profile *profile, const char *text, size_t size);
/* The same facts as comment lines without newline, one call of `emit` each; "# " included. */
void hp_profile_each_comment(const struct hp_profile *profile, void (*emit)(void *state, const char *line),
                             void *state);
/* Undo \ooo in place; returns the new size. */
size_t hp_unescape(char *text, size_t size);

/* Counters of one entry as a file has them: no allocated counters at all stand for "not known", and
 * become the live ones. Returns NULL or what is wrong. */
const char *hp_check_counts(struct hp_counts *counts);

/* 1 / (1 - exp(-bytes / objects / interval)); 0 if either is 0. */
double hp_scale_factor(double objects, double bytes, double interval);
uint64_t hp_round(double value); /* half up; clamped to 0...INT64_MAX */
uint64_t hp_add_clamped(uint64_t a, uint64_t b);

/* The coarsest interval of all samples: nothing looks surer by it than it is. */
double hp_coarsest_interval(const struct hp_profile *profile);

/* So many objects, and bytes of them. */
struct hp_amount {
    uint64_t objects, bytes;
};

struct hp_amount hp_scale_up(struct hp_amount raw, double interval);
/* The sampled amount behind a scaled one. size_label: mean size of the objects, 0 if unknown.
 * Rounding leaves the bytes open by a few in some cases. */
struct hp_amount hp_scale_down(struct hp_amount scaled, uint64_t size_label, double interval);
/* The label "bytes" of a sample: the mean size of its live objects, or else of the allocated ones.
 */
uint64_t hp_size_label(const struct hp_counts *counts);

/* An entry's figures as whole numbers for a profile whose readers do not scale. */
struct hp_counts hp_scaled_counts(const struct hp_profile *profile, const struct hp_sample *sample);

#endif
