#include "report/core/stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"

static void add_stack(struct hp_stacks *stacks, struct hp_view *views, const struct hp_sample_pair *pair)
{
    hp_estimate_add(&stacks->total, &pair->growth);
    const struct hp_frame *frames;
    size_t depth =
        pair->after ? hp_view_stack(&views[0], pair->after, &frames) : hp_view_stack(&views[1], pair->before, &frames);
    if (!depth)
        return;
    stacks->frames =
        hp_grow(stacks->frames, &stacks->frame_capacity, stacks->frame_count + depth, sizeof *stacks->frames);
    memcpy(stacks->frames + stacks->frame_count, frames, depth * sizeof *frames);
    stacks->stacks[stacks->count++] = (struct hp_stack){stacks->frame_count, (uint32_t)depth, *pair};
    stacks->frame_count += depth;
}

int hp_stacks_build(const struct hp_report_input *input, const struct hp_report_options *options,
                    struct hp_stacks *stacks, struct hp_error *error)
{
    *stacks = (struct hp_stacks){0};
    struct hp_filter filter;
    int status = hp_filter_compile(&filter, &options->view, error);
    if (status)
        return status;
    struct hp_view views[2] = {{0}};
    const struct hp_profile *profiles[2] = {input->profile, input->before};
    for (int i = 0; i < 2 && profiles[i]; i++)
        hp_view_init(&views[i], profiles[i], options->view.granularity, &filter, &stacks->places);
    hp_filter_free(&filter);
    struct hp_sample_pair *pairs;
    size_t count = hp_sample_pairs_make(input->before, input->profile, options->sample, options->raw, &pairs);
    stacks->stacks = hp_alloc(count, sizeof *stacks->stacks);
    for (size_t i = 0; i < count; i++)
        add_stack(stacks, views, &pairs[i]);
    free(pairs);
    hp_view_free(&views[0]);
    hp_view_free(&views[1]);
    return 0;
}

void hp_stacks_free(struct hp_stacks *stacks)
{
    hp_places_free(&stacks->places);
    free(stacks->frames);
    free(stacks->stacks);
    *stacks = (struct hp_stacks){0};
}

int hp_stacks_match(const struct hp_stacks *stacks, const char *pattern, char **matched, struct hp_error *error)
{
    regex_t expression;
    int code = regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB);
    if (code) {
        char reason[128];
        regerror(code, &expression, reason, sizeof reason);
        return hp_error_set(error, -EINVAL, "'%s' is no regular expression: %s", pattern, reason);
    }
    size_t count = stacks->places.row_names.count, found = 0;
    char *tried = hp_alloc(count, 1);
    *matched = hp_alloc(count, 1);
    for (size_t i = 0; i < stacks->frame_count; i++) {
        uint32_t row = stacks->frames[i].row;
        const struct hp_place *place = &stacks->places.rows[row];
        if (tried[row])
            continue;
        tried[row] = 1;
        (*matched)[row] = !regexec(&expression, place->label, 0, NULL, 0) ||
                          (*place->file && !regexec(&expression, place->file, 0, NULL, 0));
        found += (size_t)(*matched)[row];
    }
    free(tried);
    regfree(&expression);
    if (found)
        return 0;
    free(*matched);
    *matched = NULL;
    return hp_error_set(error, -ENOENT, "no function matches '%s'", pattern);
}
