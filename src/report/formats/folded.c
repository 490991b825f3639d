/* "outermost;...;innermost VALUE" a line: what flame graph scripts read. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "report/core/names.h"
#include "report/core/report.h"
#include "report/core/rows.h"
#include "report/core/units.h"

static char *fold(const struct hp_places *places, const struct hp_frame *frames, size_t depth)
{
    char *line = NULL;
    size_t used = 0, capacity = 0;
    for (size_t i = depth; i-- > 0;) {
        char *name = hp_clean(places->rows[frames[i].row].label);
        size_t length = strlen(name);
        for (char *c = name; *c; c++)
            if (*c == ';')
                *c = ':';
        line = hp_grow(line, &capacity, used + length + 2, 1);
        memcpy(line + used, name, length);
        used += length;
        line[used++] = i ? ';' : 0;
        free(name);
    }
    return line;
}

static int by_name(const void *a, const void *b, void *names)
{
    char *const *all = names;
    return strcmp(all[*(const uint32_t *)a], all[*(const uint32_t *)b]);
}

static void write_lines(FILE *out, struct hp_names *lines, const double *values)
{
    uint32_t *order = hp_alloc(lines->count, sizeof *order);
    for (uint32_t i = 0; i < lines->count; i++)
        order[i] = i;
    qsort_r(order, lines->count, sizeof *order, by_name, lines->names);
    for (size_t i = 0; i < lines->count; i++)
        if (fabs(values[order[i]]) >= 0.5)
            fprintf(out, "%s %.0f\n", lines->names[order[i]], values[order[i]]);
    free(order);
}

static int write_folded(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                        struct hp_report_outcome *outcome, struct hp_error *error)
{
    struct hp_filter filter;
    int status = hp_filter_compile(&filter, &options->view, error);
    if (status)
        return status;
    struct hp_places places = {0};
    struct hp_view views[2];
    const struct hp_profile *profiles[2] = {input->profile, input->before};
    struct hp_names lines = {0};
    double *values = NULL;
    size_t capacity = 0;
    for (int side = 0; side < 2 && profiles[side]; side++) {
        const struct hp_profile *profile = profiles[side];
        hp_view_init(&views[side], profile, options->view.granularity, &filter, &places);
        for (size_t i = 0; i < profile->sample_count; i++) {
            const struct hp_frame *frames;
            size_t depth = hp_view_stack(&views[side], &profile->samples[i], &frames);
            if (!depth)
                continue;
            char *text = fold(&places, frames, depth);
            bool added;
            uint32_t line = hp_names_add(&lines, text, &added);
            free(text);
            values = hp_grow(values, &capacity, line + 1, sizeof *values);
            if (added)
                values[line] = 0;
            double value = hp_sample_estimate(profile, &profile->samples[i], options->sample, options->raw).value;
            values[line] += side ? -value : value;
        }
        hp_view_free(&views[side]);
    }
    write_lines(out, &lines, values);
    hp_filter_free(&filter);
    hp_places_free(&places);
    hp_names_free(&lines);
    free(values);
    return 0;
}

const struct hp_report hp_report_folded = {"folded", write_folded};
