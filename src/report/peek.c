/* Functions with those that call them and those that they call. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/header.h"
#include "report/json.h"
#include "report/memory.h"
#include "report/stacks.h"
#include "report/units.h"

/* `caller` called `callee`: with the estimates of the stacks in which it did, each counted once. */
struct edge {
    uint32_t caller, callee;
    bool inlined;
    size_t seen; /* the last stack that counted, plus 1 */
    struct hp_estimate sum;
};

struct node {
    uint32_t row;
    size_t seen;
    struct hp_estimate flat, cum;
};

struct peek {
    struct hp_stacks stacks;
    char *matched;
    struct node *nodes; /* by row */
    struct edge *edges;
    size_t edge_count, edge_capacity;
    struct hp_names keys;
};

static struct edge *edge_of(struct peek *peek, const struct hp_frame *callee, uint32_t caller)
{
    char key[32];
    bool added;
    snprintf(key, sizeof key, "%" PRIx32 " %" PRIx32, caller, callee->row);
    uint32_t number = hp_names_add(&peek->keys, key, &added);
    peek->edges =
        hp_grow(peek->edges, &peek->edge_capacity, number + 1, sizeof *peek->edges);
    if (added) {
        peek->edges[peek->edge_count++] = (struct edge){.caller = caller, .callee = callee->row};
        peek->edges[number].inlined = true;
    }
    return &peek->edges[number];
}

static void gather(struct peek *peek)
{
    const struct hp_stacks *stacks = &peek->stacks;
    for (size_t i = 0; i < stacks->count; i++) {
        const struct hp_frame *frames = &stacks->frames[stacks->stacks[i].first];
        const struct hp_estimate *estimate = &stacks->stacks[i].pair.growth;
        for (uint32_t j = 0; j < stacks->stacks[i].depth; j++) {
            struct node *node = &peek->nodes[frames[j].row];
            if (j == 0)
                hp_estimate_add(&node->flat, estimate);
            if (node->seen != i + 1)
                hp_estimate_add(&node->cum, estimate);
            node->seen = i + 1;
            if (j + 1 == stacks->stacks[i].depth ||
                !(peek->matched[frames[j].row] || peek->matched[frames[j + 1].row]))
                continue;
            struct edge *edge = edge_of(peek, &frames[j], frames[j + 1].row);
            edge->inlined &= frames[j].inlined;
            if (edge->seen != i + 1)
                hp_estimate_add(&edge->sum, estimate);
            edge->seen = i + 1;
        }
    }
}

static int by_value(const struct hp_estimate *a, const struct hp_estimate *b)
{
    double x = fabs(a->value), y = fabs(b->value);
    return (x < y) - (x > y);
}

static int compare_nodes(const void *a, const void *b)
{
    const struct node *left = a, *right = b;
    int order = by_value(&left->cum, &right->cum);
    return order ? order : (left->row > right->row) - (left->row < right->row);
}

static int compare_edges(const void *a, const void *b)
{
    const struct edge *left = a, *right = b;
    int order = by_value(&left->sum, &right->sum);
    if (!order)
        order = (left->caller > right->caller) - (left->caller < right->caller);
    return order ? order : (left->callee > right->callee) - (left->callee < right->callee);
}

static void add_line(struct hp_table *table, const struct peek *peek, const char *role,
                     uint32_t row, const struct hp_estimate *flat, const struct hp_estimate *sum,
                     double whole, bool inlined, const struct hp_report_options *options,
                     bool exact)
{
    char figure[HP_FIGURE];
    bool bytes = hp_in_bytes(options);
    const struct hp_place *place = &peek->stacks.places.rows[row];
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
    char *tail =
        hp_print("%s%s%s", where, inlined && *where ? " " : "", inlined ? "(inlined)" : "");
    hp_table_last(table, style, place->label, tail);
    free(tail);
    free(where);
}

static void write_block(FILE *out, const struct peek *peek, const struct node *node,
                        const struct hp_report_options *options, bool exact)
{
    const struct hp_column columns[] = {{"flat", 1},    {"cum", 0}, {"±", 2},
                                        {"cum%", 4},    {"samples", 3}, {"", 0},
                                        {hp_header_row(options), 0}};
    const struct hp_column exact_columns[] = {{"flat", 1}, {"cum", 0},
                                              {"cum%", 4}, {options->raw ? "samples" : "objects", 3},
                                              {"", 0},     {hp_header_row(options), 0}};
    struct hp_table *table = exact ? hp_table_new(exact_columns, 6) : hp_table_new(columns, 7);
    double whole = peek->stacks.total.value;
    for (size_t i = 0; i < peek->edge_count; i++)
        if (peek->edges[i].callee == node->row)
            add_line(table, peek, "called by", peek->edges[i].caller, NULL, &peek->edges[i].sum,
                     whole, false, options, exact);
    add_line(table, peek, "", node->row, &node->flat, &node->cum, whole, false, options, exact);
    for (size_t i = 0; i < peek->edge_count; i++)
        if (peek->edges[i].caller == node->row)
            add_line(table, peek, "calls", peek->edges[i].callee, NULL, &peek->edges[i].sum, whole,
                     peek->edges[i].inlined, options, exact);
    fputc('\n', out);
    hp_table_write(table, out, &options->look);
    hp_table_free(table);
}

static json_t *json_edges(const struct peek *peek, uint32_t row, bool callers)
{
    json_t *list = json_array();
    for (size_t i = 0; i < peek->edge_count; i++) {
        const struct edge *edge = &peek->edges[i];
        if ((callers ? edge->callee : edge->caller) != row)
            continue;
        json_t *object = json_object();
        hp_json_place(object, &peek->stacks.places.rows[callers ? edge->caller : edge->callee]);
        hp_json_set(object, "cum", hp_json_number(edge->sum.value));
        hp_json_set(object, "cum_error", hp_json_number(hp_estimate_error(&edge->sum)));
        hp_json_set(object, "samples", hp_json_number((double)edge->sum.samples));
        hp_json_set(object, "inlined", json_boolean(edge->inlined));
        json_array_append_new(list, object);
    }
    return list;
}

static void write_json(FILE *out, const struct hp_report_input *input, const struct peek *peek,
                       const struct node *chosen, size_t count,
                       const struct hp_report_options *options)
{
    json_t *document = hp_json_document(input, options), *list = json_array();
    hp_json_total(document, &peek->stacks.total);
    for (size_t i = 0; i < count; i++) {
        json_t *object = json_object();
        hp_json_place(object, &peek->stacks.places.rows[chosen[i].row]);
        hp_json_set(object, "flat", hp_json_number(chosen[i].flat.value));
        hp_json_set(object, "flat_error", hp_json_number(hp_estimate_error(&chosen[i].flat)));
        hp_json_set(object, "cum", hp_json_number(chosen[i].cum.value));
        hp_json_set(object, "cum_error", hp_json_number(hp_estimate_error(&chosen[i].cum)));
        hp_json_set(object, "samples", hp_json_number((double)chosen[i].cum.samples));
        hp_json_set(object, "callers", json_edges(peek, chosen[i].row, true));
        hp_json_set(object, "callees", json_edges(peek, chosen[i].row, false));
        json_array_append_new(list, object);
    }
    hp_json_set(document, "rows", list);
    hp_json_write(out, document);
}

static size_t choose_nodes(const struct peek *peek, struct node *chosen)
{
    size_t count = 0;
    for (size_t row = 0; row < peek->stacks.places.row_names.count; row++)
        if (peek->matched[row] && peek->nodes[row].seen)
            chosen[count++] = peek->nodes[row];
    qsort(chosen, count, sizeof *chosen, compare_nodes);
    return count;
}

static void write_report(FILE *out, const struct hp_report_input *input, struct peek *peek,
                         const struct hp_report_options *options)
{
    size_t rows = peek->stacks.places.row_names.count;
    peek->nodes = hp_alloc(rows, sizeof *peek->nodes);
    for (size_t row = 0; row < rows; row++)
        peek->nodes[row].row = (uint32_t)row;
    gather(peek);
    if (peek->edge_count)
        qsort(peek->edges, peek->edge_count, sizeof *peek->edges, compare_edges);
    struct node *chosen = hp_alloc(rows, sizeof *chosen);
    size_t count = choose_nodes(peek, chosen);
    size_t shown = options->rows && options->rows < count ? options->rows : count;
    if (options->json) {
        write_json(out, input, peek, chosen, shown, options);
    } else {
        hp_header_report(out, input, &peek->stacks.total, options);
        fprintf(out, "%zu of %zu matching %s shown\n", shown, count,
                hp_granularity_names[options->view.granularity]);
        for (size_t i = 0; i < shown; i++)
            write_block(out, peek, &chosen[i], options, hp_header_exact(input, options));
    }
    free(chosen);
    free(peek->nodes);
    free(peek->edges);
    hp_names_free(&peek->keys);
}

static int write_peek(FILE *out, const struct hp_report_input *input,
                      const struct hp_report_options *options, struct hp_report_outcome *outcome,
                      struct hp_error *error)
{
    struct peek peek = {.edges = NULL};
    int status = hp_stacks_build(input, options, &peek.stacks, error);
    if (!status)
        status = hp_stacks_match(&peek.stacks, options->pattern, &peek.matched, error);
    if (!status)
        write_report(out, input, &peek, options);
    free(peek.matched);
    hp_stacks_free(&peek.stacks);
    return status;
}

const struct hp_report hp_report_peek = {"peek", write_peek};
