/* The stacks themselves, largest first. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/core/header.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/stacks.h"
#include "report/core/units.h"

static int by_value(const void *a, const void *b)
{
    const struct hp_stack *left = a, *right = b;
    double x = fabs(left->pair.growth.value), y = fabs(right->pair.growth.value);
    if (x != y)
        return x > y ? -1 : 1;
    return (left->first > right->first) - (left->first < right->first);
}

static double object_size(const struct hp_stack *stack)
{
    const struct hp_sample *sample = stack->pair.after ? stack->pair.after : stack->pair.before;
    double objects = (double)sample->counts.alloc_objects;
    return objects > 0 ? (double)sample->counts.alloc_bytes / objects : 0;
}

static void write_stack(FILE *out, const struct hp_stacks *stacks, const struct hp_stack *stack,
                        const struct hp_report_options *options, bool exact)
{
    const struct hp_estimate *estimate = &stack->pair.growth;
    char value[HP_FIGURE], error[HP_FIGURE], size[HP_FIGURE], percent[HP_FIGURE];
    bool bytes = hp_in_bytes(options);
    hp_figure(value, estimate->value, bytes);
    hp_percent(percent, estimate->value, stacks->total.value);
    char *more =
        exact ? hp_print(" (%s, objects of %s)", percent, hp_figure(size, object_size(stack), true))
              : hp_print(" ± %s (%s, %" PRIu64 " %s of %s)", hp_figure(error, hp_estimate_error(estimate), bytes),
                         percent, estimate->samples, estimate->samples == 1 ? "sample" : "samples",
                         hp_figure(size, object_size(stack), true));
    fputc('\n', out);
    hp_put_styled(out, &options->look, HP_BOLD, value);
    fprintf(out, "%s\n", more);
    free(more);
    for (uint32_t i = 0; i < stack->depth; i++) {
        const struct hp_frame *frame = &stacks->frames[stack->first + i];
        struct hp_place place = stacks->places.sites[frame->site];
        place.label = stacks->places.rows[frame->row].label;
        char *where = hp_header_place(&place, options);
        char *tail = hp_print("%s%s%s", where, frame->inlined && *where ? " " : "", frame->inlined ? "(inlined)" : "");
        hp_table_one(out, &options->look, 4, place.label, tail);
        free(tail);
        free(where);
    }
}

static json_t *json_stack(const struct hp_stacks *stacks, const struct hp_stack *stack)
{
    json_t *object = json_object(), *list = json_array();
    hp_json_set(object, "value", hp_json_number(stack->pair.growth.value));
    hp_json_set(object, "error", hp_json_number(hp_estimate_error(&stack->pair.growth)));
    hp_json_set(object, "samples", hp_json_number((double)stack->pair.growth.samples));
    hp_json_set(object, "object_size", hp_json_number(object_size(stack)));
    for (uint32_t i = 0; i < stack->depth; i++) {
        const struct hp_frame *frame = &stacks->frames[stack->first + i];
        json_t *entry = json_object();
        hp_json_place(entry, &stacks->places.sites[frame->site]);
        hp_json_set(entry, "inlined", json_boolean(frame->inlined));
        json_array_append_new(list, entry);
    }
    hp_json_set(object, "frames", list);
    return object;
}

static void write_json(FILE *out, const struct hp_report_input *input, const struct hp_stacks *stacks, size_t shown,
                       const struct hp_report_options *options)
{
    json_t *document = hp_json_document(input, options), *list = json_array();
    hp_json_total(document, &stacks->total);
    for (size_t i = 0; i < shown; i++)
        json_array_append_new(list, json_stack(stacks, &stacks->stacks[i]));
    hp_json_set(document, "rows", list);
    hp_json_write(out, document);
}

static int write_traces(FILE *out, const struct hp_report_input *input, struct hp_stacks *stacks,
                        const struct hp_report_options *options, struct hp_error *error)
{
    if (stacks->count)
        qsort(stacks->stacks, stacks->count, sizeof *stacks->stacks, by_value);
    size_t count = 0; /* those that count nothing of this sample type are last */
    while (count < stacks->count && fabs(stacks->stacks[count].pair.growth.value) >= 0.5)
        count++;
    size_t shown = options->rows && options->rows < count ? options->rows : count;
    if (options->json) {
        write_json(out, input, stacks, shown, options);
    } else {
        hp_header_report(out, input, &stacks->total, options);
        fprintf(out, "%zu of %zu stacks shown\n", shown, count);
        for (size_t i = 0; i < shown; i++)
            write_stack(out, stacks, &stacks->stacks[i], options, hp_header_exact(input, options));
    }
    return 0;
}

const struct hp_report hp_report_traces = {.name = "traces", .write_stacks = write_traces};
