/* Who called whom, from the outermost function inwards. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/header.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/trie.h"
#include "report/core/units.h"

#define DEFAULT_NODES 40
#define DEEPEST_INDENT 24

struct tree {
    const struct hp_stacks *stacks;
    struct hp_trie trie;
    char *shown; /* by node */
    size_t shown_count;
};

static int by_cum(const void *a, const void *b, void *state)
{
    const struct hp_trie *trie = state;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    double x = fabs(trie->nodes[left].cum.value), y = fabs(trie->nodes[right].cum.value);
    return x != y ? (x > y ? -1 : 1) : (left > right) - (left < right);
}

/* The largest nodes, and whatever leads to them: in a difference a caller may be smaller. */
static void choose_nodes(struct tree *tree, const struct hp_report_options *options)
{
    size_t most = options->rows_given ? options->rows : DEFAULT_NODES;
    const struct hp_trie *trie = &tree->trie;
    size_t count = trie->count - 1;
    uint32_t *order = hp_alloc(count, sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i + 1;
    qsort_r(order, count, sizeof *order, by_cum, &tree->trie);
    tree->shown = hp_alloc(trie->count, 1);
    tree->shown[0] = 1;
    for (size_t i = 0; i < count && (!most || tree->shown_count < most); i++) {
        if (fabs(trie->nodes[order[i]].cum.value) < 0.5)
            break;
        for (uint32_t node = order[i]; !tree->shown[node]; node = trie->nodes[node].parent) {
            tree->shown[node] = 1;
            tree->shown_count++;
        }
    }
    free(order);
}

static size_t shown_children(const struct tree *tree, uint32_t node, bool *omitted)
{
    size_t count = 0;
    for (uint32_t child = tree->trie.nodes[node].child; child; child = tree->trie.nodes[child].sibling) {
        if (tree->shown[child])
            count++;
        else
            *omitted |= fabs(tree->trie.nodes[child].cum.value) >= 0.5;
    }
    return count;
}

/* A long chain of calls without a branch stays in one column, behind ↳. */
static bool branches(const struct tree *tree, uint32_t node)
{
    bool omitted = false;
    size_t count = shown_children(tree, node, &omitted);
    return node && (count > 1 || omitted || fabs(tree->trie.nodes[node].flat.growth.value) >= 0.5);
}

static void add_node(struct hp_table *table, const struct tree *tree, uint32_t index, size_t indent,
                     const struct hp_report_options *options, bool exact)
{
    const struct hp_trie_node *node = &tree->trie.nodes[index];
    const struct hp_place *place = &tree->stacks->places.rows[node->row];
    char figure[HP_FIGURE];
    bool bytes = hp_in_bytes(options);
    double total = tree->stacks->total.value;
    bool large = total != 0 && fabs(node->cum.value) >= 0.1 * fabs(total);
    hp_table_cell(table, large ? HP_BOLD : HP_PLAIN, hp_figure(figure, node->cum.value, bytes));
    if (!exact)
        hp_table_cell(table, HP_DIM, hp_figure(figure, hp_estimate_error(&node->cum), bytes));
    hp_table_cell(table, HP_PLAIN, hp_percent(figure, node->cum.value, total));
    bool own = fabs(node->flat.growth.value) >= 0.5;
    hp_table_cell(table, HP_PLAIN, own ? hp_figure(figure, node->flat.growth.value, bytes) : "");
    snprintf(figure, sizeof figure, "%" PRIu64, node->cum.samples);
    hp_table_cell(table, HP_DIM, figure);
    char *where = hp_header_place(place, options);
    char *tail = hp_print("%s%s%s", where, node->inlined && *where ? " " : "", node->inlined ? "(inlined)" : "");
    const char *mark = node->parent && !branches(tree, node->parent) ? "↳ " : "";
    char *label = hp_print("%*s%s%s", (int)indent, "", mark, place->label);
    hp_table_last(table, large ? HP_BOLD : HP_PLAIN, label, tail);
    free(label);
    free(tail);
    free(where);
}

static void write_text(FILE *out, const struct hp_report_input *input, const struct tree *tree,
                       const struct hp_report_options *options)
{
    const struct hp_column columns[] = {{"cum", 0},  {"±", 2},       {"cum%", 3},
                                        {"flat", 1}, {"samples", 4}, {hp_header_row(options), 0}};
    const struct hp_column exact_columns[] = {
        {"cum", 0}, {"cum%", 3}, {"flat", 1}, {options->raw ? "samples" : "objects", 4}, {hp_header_row(options), 0}};
    bool exact = hp_header_exact(input, options);
    struct hp_table *table = exact ? hp_table_new(exact_columns, 5) : hp_table_new(columns, 6);
    size_t depth = 0, deepest = 0;
    size_t *indents = NULL, capacity = 0;
    for (uint32_t node = 0;;) {
        indents = hp_grow(indents, &capacity, depth + 1, sizeof *indents);
        if (depth > deepest)
            deepest = depth;
        uint32_t parent = tree->trie.nodes[node].parent;
        indents[depth] = depth ? indents[depth - 1] + 2 * branches(tree, parent) : 0;
        size_t most = options->look.width ? DEEPEST_INDENT : SIZE_MAX;
        if (node && tree->shown[node])
            add_node(table, tree, node, indents[depth] < most ? indents[depth] : most, options, exact);
        node = hp_trie_next(&tree->trie, node, tree->shown[node], &depth);
        if (!node)
            break;
    }
    hp_header_report(out, input, &tree->stacks->total, options);
    fprintf(out, "%zu of %zu nodes of the call tree shown\n", tree->shown_count, tree->trie.count - 1);
    if (tree->shown_count)
        hp_table_write(table, out, &options->look);
    hp_table_free(table);
    free(indents);
}

static json_t *json_node(const struct tree *tree, uint32_t index, size_t depth)
{
    const struct hp_trie_node *node = &tree->trie.nodes[index];
    json_t *object = json_object();
    hp_json_set(object, "depth", hp_json_number((double)depth - 1));
    hp_json_place(object, &tree->stacks->places.rows[node->row]);
    hp_json_set(object, "inlined", json_boolean(node->inlined));
    hp_json_set(object, "flat", hp_json_number(node->flat.growth.value));
    hp_json_set(object, "flat_error", hp_json_number(hp_estimate_error(&node->flat.growth)));
    hp_json_set(object, "cum", hp_json_number(node->cum.value));
    hp_json_set(object, "cum_error", hp_json_number(hp_estimate_error(&node->cum)));
    hp_json_set(object, "samples", hp_json_number((double)node->cum.samples));
    return object;
}

/* A list in which each node comes before what it calls, not nested: stacks may be deeper than
 * readers of JSON go. */
static void write_json(FILE *out, const struct hp_report_input *input, const struct tree *tree,
                       const struct hp_report_options *options)
{
    json_t *document = hp_json_document(input, options), *list = json_array();
    hp_json_total(document, &tree->stacks->total);
    size_t depth = 0;
    uint32_t node = 0;
    while ((node = hp_trie_next(&tree->trie, node, tree->shown[node], &depth)))
        if (tree->shown[node])
            json_array_append_new(list, json_node(tree, node, depth));
    hp_json_set(document, "rows", list);
    hp_json_write(out, document);
}

static int write_tree(FILE *out, const struct hp_report_input *input, struct hp_stacks *stacks,
                      const struct hp_report_options *options, struct hp_error *error)
{
    struct tree tree = {.stacks = stacks};
    hp_trie_build(stacks, HP_TRIE_BY_SIZE, &tree.trie);
    choose_nodes(&tree, options);
    if (options->json)
        write_json(out, input, &tree, options);
    else
        write_text(out, input, &tree, options);
    free(tree.shown);
    hp_trie_free(&tree.trie);
    return 0;
}

const struct hp_report hp_report_tree = {.name = "tree", .write_stacks = write_tree};
