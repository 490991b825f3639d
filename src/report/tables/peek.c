/* Functions with those that call them and those that they call. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/calls.h"
#include "report/core/header.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/units.h"

struct peek {
    struct hp_stacks *stacks;
    struct hp_calls calls;
    char *matched;
};

static void add_line(struct hp_table *table, const struct peek *peek, const char *role, uint32_t row,
                     const struct hp_estimate *flat, const struct hp_estimate *sum, double whole, bool inlined,
                     const struct hp_report_options *options, bool exact)
{
    char figure[HP_FIGURE];
    bool bytes = hp_in_bytes(options);
    const struct hp_place *place = &peek->stacks->places.rows[row];
    enum hp_style style = flat ? HP_BOLD : HP_PLAIN;
    hp_table_cell(table, style, flat ? hp_figure(figure, flat->value, bytes) : "");
    hp_table_cell(table, style, hp_figure(figure, sum->value, bytes));
    if (!exact)
        hp_table_cell(table, HP_DIM, hp_figure(figure, hp_estimate_error(sum), bytes));
    hp_table_cell(table, style, hp_percent(figure, sum->value, whole));
    snprintf(figure, sizeof figure, "%" PRIu64, sum->samples);
    hp_table_cell(table, HP_DIM, figure);
    hp_table_cell(table, HP_DIM, role);
    char *where = hp_header_place(place, options);
    char *tail = hp_print("%s%s%s", where, inlined && *where ? " " : "", inlined ? "(inlined)" : "");
    hp_table_last(table, style, place->label, tail);
    free(tail);
    free(where);
}

static void write_block(FILE *out, const struct peek *peek, const struct hp_call_node *node,
                        const struct hp_report_options *options, bool exact)
{
    const struct hp_column columns[] = {
        {"flat", 1}, {"cum", 0}, {"±", 2}, {"cum%", 4}, {"samples", 3}, {"", 0}, {hp_header_row(options), 0}};
    const struct hp_column exact_columns[] = {{"flat", 1}, {"cum", 0},
                                              {"cum%", 4}, {options->raw ? "samples" : "objects", 3},
                                              {"", 0},     {hp_header_row(options), 0}};
    struct hp_table *table = exact ? hp_table_new(exact_columns, 6) : hp_table_new(columns, 7);
    double whole = peek->stacks->total.value;
    for (size_t i = 0; i < peek->calls.edge_count; i++)
        if (peek->calls.edges[i].callee == node->row)
            add_line(table, peek, peek->calls.edges[i].inlined ? "inlined into" : "called by",
                     peek->calls.edges[i].caller, NULL, &peek->calls.edges[i].sum, whole, false, options, exact);
    add_line(table, peek, "", node->row, &node->flat, &node->cum, whole, false, options, exact);
    for (size_t i = 0; i < peek->calls.edge_count; i++)
        if (peek->calls.edges[i].caller == node->row)
            add_line(table, peek, "calls", peek->calls.edges[i].callee, NULL, &peek->calls.edges[i].sum, whole,
                     peek->calls.edges[i].inlined, options, exact);
    fputc('\n', out);
    hp_table_write(table, out, &options->look);
    hp_table_free(table);
}

static json_t *json_edges(const struct peek *peek, uint32_t row, bool callers)
{
    json_t *list = json_array();
    for (size_t i = 0; i < peek->calls.edge_count; i++) {
        const struct hp_call_edge *edge = &peek->calls.edges[i];
        if ((callers ? edge->callee : edge->caller) != row)
            continue;
        json_t *object = json_object();
        hp_json_place(object, &peek->stacks->places.rows[callers ? edge->caller : edge->callee]);
        hp_json_set(object, "cum", hp_json_number(edge->sum.value));
        hp_json_set(object, "cum_error", hp_json_number(hp_estimate_error(&edge->sum)));
        hp_json_set(object, "samples", hp_json_number((double)edge->sum.samples));
        hp_json_set(object, "inlined", json_boolean(edge->inlined));
        json_array_append_new(list, object);
    }
    return list;
}

static void write_json(FILE *out, const struct hp_report_input *input, const struct peek *peek, const uint32_t *chosen,
                       size_t count, const struct hp_report_options *options)
{
    json_t *document = hp_json_document(input, options), *list = json_array();
    hp_json_total(document, &peek->stacks->total);
    for (size_t i = 0; i < count; i++) {
        const struct hp_call_node *node = &peek->calls.nodes[chosen[i]];
        json_t *object = json_object();
        hp_json_place(object, &peek->stacks->places.rows[node->row]);
        hp_json_set(object, "flat", hp_json_number(node->flat.value));
        hp_json_set(object, "flat_error", hp_json_number(hp_estimate_error(&node->flat)));
        hp_json_set(object, "cum", hp_json_number(node->cum.value));
        hp_json_set(object, "cum_error", hp_json_number(hp_estimate_error(&node->cum)));
        hp_json_set(object, "samples", hp_json_number((double)node->cum.samples));
        hp_json_set(object, "callers", json_edges(peek, node->row, true));
        hp_json_set(object, "callees", json_edges(peek, node->row, false));
        json_array_append_new(list, object);
    }
    hp_json_set(document, "rows", list);
    hp_json_write(out, document);
}

static void write_report(FILE *out, const struct hp_report_input *input, struct peek *peek,
                         const struct hp_report_options *options)
{
    hp_calls_gather(peek->stacks, NULL, &peek->calls);
    uint32_t *chosen;
    size_t count = hp_calls_order(&peek->calls, peek->matched, &chosen);
    size_t shown = options->rows && options->rows < count ? options->rows : count;
    if (options->json) {
        write_json(out, input, peek, chosen, shown, options);
    } else {
        hp_header_report(out, input, &peek->stacks->total, options);
        fprintf(out, "%zu of %zu matching %s shown\n", shown, count, hp_granularity_names[options->view.granularity]);
        for (size_t i = 0; i < shown; i++)
            write_block(out, peek, &peek->calls.nodes[chosen[i]], options, hp_header_exact(input, options));
    }
    free(chosen);
    hp_calls_free(&peek->calls);
}

static int write_peek(FILE *out, const struct hp_report_input *input, struct hp_stacks *stacks,
                      const struct hp_report_options *options, struct hp_error *error)
{
    struct peek peek = {.stacks = stacks};
    int status = hp_stacks_match(stacks, options->pattern, &peek.matched, error);
    if (!status)
        write_report(out, input, &peek, options);
    free(peek.matched);
    return status;
}

const struct hp_report hp_report_peek = {.name = "peek", .write_stacks = write_peek};
