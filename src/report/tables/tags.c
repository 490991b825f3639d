/* What is known of samples besides their stacks: how large the objects are, and which threads
 * allocated them. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/header.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/stacks.h"
#include "report/core/thread_table.h"
#include "report/core/units.h"

#define CLASSES 65

/* Objects of 2^(i-1) to 2^i - 1 bytes; class 0: of 0 bytes, or of unknown size. */
struct size_class {
    struct hp_estimate sum;
    double least, most; /* mean sizes of its entries */
};

static double object_size(const struct hp_sample_pair *pair)
{
    const struct hp_sample *sample = pair->after ? pair->after : pair->before;
    double objects = (double)sample->counts.alloc_objects;
    return objects > 0 ? (double)sample->counts.alloc_bytes / objects : 0;
}

static void gather(const struct hp_stacks *stacks, struct size_class *classes)
{
    for (size_t i = 0; i < stacks->count; i++) {
        const struct hp_sample_pair *pair = &stacks->stacks[i].pair;
        double size = object_size(pair);
        int exponent = 0;
        if (size >= 1)
            frexp(size, &exponent);
        struct size_class *class = &classes[exponent < CLASSES ? exponent : CLASSES - 1];
        if (fabs(pair->growth.value) < 0.5 && !pair->growth.samples)
            continue;
        if (!class->sum.samples || size < class->least)
            class->least = size;
        if (!class->sum.samples || size > class->most)
            class->most = size;
        hp_estimate_add(&class->sum, &pair->growth);
    }
}

static char *class_name(const struct size_class *class)
{
    char least[HP_FIGURE], most[HP_FIGURE];
    hp_figure(least, class->least, true);
    hp_figure(most, class->most, true);
    return strcmp(least, most) ? hp_print("%s to %s", least, most) : hp_strdup(least);
}

static void write_table(FILE *out, const struct size_class *classes, double total,
                        const struct hp_report_options *options, bool exact)
{
    const struct hp_column columns[] = {{"flat", 0}, {"±", 0},       {"flat%", 0},
                                        {"sum%", 0}, {"samples", 0}, {"size of an object", 0}};
    const struct hp_column exact_columns[] = {
        {"flat", 0}, {"flat%", 0}, {"sum%", 0}, {options->raw ? "samples" : "objects", 0}, {"size of an object", 0}};
    struct hp_table *table = exact ? hp_table_new(exact_columns, 5) : hp_table_new(columns, 6);
    bool bytes = hp_in_bytes(options);
    double sum = 0;
    for (size_t i = 0; i < CLASSES; i++) {
        const struct hp_estimate *estimate = &classes[i].sum;
        if (!estimate->samples)
            continue;
        char figure[HP_FIGURE];
        sum += estimate->value;
        enum hp_style style = fabs(estimate->value) >= 0.1 * fabs(total) && total != 0 ? HP_BOLD : HP_PLAIN;
        hp_table_cell(table, style, hp_figure(figure, estimate->value, bytes));
        if (!exact)
            hp_table_cell(table, HP_DIM, hp_figure(figure, hp_estimate_error(estimate), bytes));
        hp_table_cell(table, style, hp_percent(figure, estimate->value, total));
        hp_table_cell(table, HP_DIM, hp_percent(figure, sum, total));
        snprintf(figure, sizeof figure, "%" PRIu64, estimate->samples);
        hp_table_cell(table, HP_PLAIN, figure);
        char *name = class_name(&classes[i]);
        hp_table_last(table, style, name, "");
        free(name);
    }
    hp_table_write(table, out, &options->look);
    hp_table_free(table);
}

static void write_json(FILE *out, const struct hp_report_input *input, const struct hp_stacks *stacks,
                       const struct size_class *classes, const struct hp_report_options *options)
{
    json_t *document = hp_json_document(input, options), *list = json_array();
    hp_json_total(document, &stacks->total);
    for (size_t i = 0; i < CLASSES; i++) {
        if (!classes[i].sum.samples)
            continue;
        json_t *object = json_object();
        hp_json_set(object, "size_least", hp_json_number(classes[i].least));
        hp_json_set(object, "size_most", hp_json_number(classes[i].most));
        hp_json_set(object, "flat", hp_json_number(classes[i].sum.value));
        hp_json_set(object, "flat_error", hp_json_number(hp_estimate_error(&classes[i].sum)));
        hp_json_set(object, "samples", hp_json_number((double)classes[i].sum.samples));
        json_array_append_new(list, object);
    }
    hp_json_set(document, "rows", list);
    json_t *threads = hp_threads_json(input, options);
    if (threads)
        hp_json_set(document, "threads", threads);
    hp_json_write(out, document);
}

static int write_tags(FILE *out, const struct hp_report_input *input, struct hp_stacks *stacks,
                      const struct hp_report_options *options, struct hp_error *error)
{
    struct size_class classes[CLASSES] = {{{0}, 0, 0}};
    gather(stacks, classes);
    size_t count = 0;
    for (size_t i = 0; i < CLASSES; i++)
        count += classes[i].sum.samples > 0;
    if (options->json) {
        write_json(out, input, stacks, classes, options);
    } else {
        hp_header_report(out, input, &stacks->total, options);
        fprintf(out, "%zu size %s\n", count, count == 1 ? "class" : "classes");
        if (count)
            write_table(out, classes, stacks->total.value, options, hp_header_exact(input, options));
        hp_threads_write_text(out, input, options);
    }
    return 0;
}

const struct hp_report hp_report_tags = {.name = "tags", .write_stacks = write_tags};
