/* restore.h - from the values of profile.proto back to the model: which value is which, and the
 * sampled counters.
 *
 * A file that heapprof wrote carries, as comments, what the format has no place for: the facts, the
 * type of the profile it was made from, how far into its function each location is, and the counters of those samples
 * that scaling and rounding do not give back. Such a file, unchanged, becomes the very profile that it was made from.
 * Any other becomes a prescaled one.
 */
#ifndef HP_PROFILE_RESTORE_H
#define HP_PROFILE_RESTORE_H

#include "profile/read.h"

/* Comments of our own; "# " in front keeps them, and the facts, out of pprof's reports. */
#define HP_COMMENT_TYPE "# heapprof.type = " /* heap_v2/INTERVAL or heapprofile */
#define HP_COMMENT_RAW "# heapprof.raw = "   /* SAMPLE LIVE-OBJECTS LIVE-BYTES ALLOC-OBJECTS ALLOC-BYTES */

#define HP_COMMENT_ENTRIES "# heapprof.entries = " /* ADDRESS+ENTRY-OFFSET ... in hexadecimal, of locations */

struct hp_restorer {
    double interval;                   /* the file's period */
    size_t columns[HP_SAMPLE_TYPES];   /* SIZE_MAX: the file has no such type */
    size_t bytes_column, count_column; /* the first of that unit */
    bool has_type;
    double type_interval; /* of HP_COMMENT_TYPE */
    struct {
        uint64_t sample;
        struct hp_counts counts;
    } * raw;
    size_t raw_count, raw_capacity;
    struct hp_entry_offset {
        uint64_t address, offset;
    } * entries;
    size_t entry_count, entry_capacity;
    uint64_t *sizes; /* label "bytes" of each sample */
    size_t size_count, size_capacity;
};

void hp_restorer_init(struct hp_restorer *restorer);
void hp_restorer_free(struct hp_restorer *restorer);
void hp_restorer_type(struct hp_restorer *restorer, const char *name, const char *unit, size_t column);
/* All have been told: a file with no known type has live memory in the first column of bytes. */
void hp_restorer_types_end(struct hp_restorer *restorer);
bool hp_restorer_has_types(const struct hp_restorer *restorer);
void hp_restorer_comment(struct hp_restorer *restorer, struct hp_profile *profile, const char *comment);
/* `values` has one value for each column. */
void hp_restorer_sample(struct hp_restorer *restorer, struct hp_profile *profile, const struct hp_stack_buffer *stack,
                        const uint64_t *values, uint64_t size);
void hp_restorer_finish(struct hp_restorer *restorer, struct hp_profile *profile);

/* The counters that a reader finds for these scaled ones when no comment tells. */
struct hp_counts hp_guess_counts(const struct hp_counts *scaled, uint64_t size, double interval);

#endif
