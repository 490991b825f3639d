/* read.h - what the readers of the single formats share. Each takes an input that stands at its
 * first byte, and a new profile, which its caller frees whatever happens. */
#ifndef HP_PROFILE_READ_H
#define HP_PROFILE_READ_H

#include "profile/input.h"
#include "profile/model.h"

int hp_read_text(struct hp_input *input, struct hp_profile *profile);
int hp_read_jemalloc(struct hp_input *input, struct hp_profile *profile);
int hp_read_proto(struct hp_input *input, struct hp_profile *profile);

/* One stack while it is read. Zero-filled is empty. */
struct hp_stack_buffer {
    uint32_t *locations;
    size_t depth, capacity;
};

/* ` 0x1 0x2 ...` up to the end of the line: locations of the addresses, each less one. */
int hp_read_stack(struct hp_input *input, struct hp_profile *profile, const char *text, struct hp_stack_buffer *stack);
/* `objects: bytes [objects: bytes]`, spaces as one likes; moves *text behind it. */
int hp_read_counts(struct hp_input *input, const char **text, struct hp_counts *counts);

/* Build ids by the start of their mapping, which come before the mappings. Zero-filled is empty. */
struct hp_build_ids {
    struct hp_map by_start; /* values: indices into `ids` */
    const char **ids;       /* interned */
    size_t count, capacity;
};

bool hp_is_maps_start(const char *line);
/* The lines after `MAPPED_LIBRARIES:`, up to the end of the file, then modules of all locations. */
int hp_read_maps(struct hp_input *input, struct hp_profile *profile, const struct hp_build_ids *build_ids);

#endif
