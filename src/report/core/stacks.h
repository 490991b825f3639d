/* stacks.h - the stacks of a report one by one, for reports that show how functions call each
 * other: filtered, inlined calls expanded, each with its estimate or, of two profiles, its growth.
 */
#ifndef HP_REPORT_CORE_STACKS_H
#define HP_REPORT_CORE_STACKS_H

#include "report/statistics/pairs.h"
#include "report/core/report.h"
#include "report/core/view.h"

struct hp_stack {
    size_t first; /* index into frames: the innermost */
    uint32_t depth;
    struct hp_sample_pair pair;
};

struct hp_stacks {
    struct hp_places places;
    struct hp_frame *frames;
    size_t frame_count, frame_capacity;
    struct hp_stack *stacks; /* without those that the filters leave out */
    size_t count;
    struct hp_estimate total; /* of all samples, also of those left out */
};

/* By the view, sample type and raw of `options`. 0, or -EINVAL and *error for a bad regular
 * expression. The order of the stacks depends neither on the sample type nor on raw. */
int hp_stacks_build(const struct hp_report_input *input, const struct hp_report_options *options,
                    struct hp_stacks *stacks, struct hp_error *error);
void hp_stacks_free(struct hp_stacks *stacks);

/* Which rows match the regular expression of `peek` and `list`, by function or file: one byte a
 * row, to be freed by the caller. -EINVAL and *error when it is none, or nothing matches. */
int hp_stacks_match(const struct hp_stacks *stacks, const char *pattern, char **matched, struct hp_error *error);

#endif
