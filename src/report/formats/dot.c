/* The call graph, for Graphviz. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/calls.h"
#include "report/core/header.h"
#include "report/core/memory.h"
#include "report/core/units.h"

#define DEFAULT_NODES 60
#define NAME_WIDTH 60

struct graph {
    FILE *out;
    const struct hp_stacks *stacks;
    const struct hp_report_options *options;
    double total;
};

static void put_quoted(FILE *out, const char *text)
{
    char *clean = hp_clean(text);
    for (const char *c = clean; *c; c++)
        fprintf(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    free(clean);
}

static double share(const struct graph *graph, double value)
{
    return graph->total != 0 ? fmin(fabs(value / graph->total), 1) : 0;
}

static void put_node(const struct graph *graph, const struct hp_call_node *node)
{
    const struct hp_place *place = &graph->stacks->places.rows[node->row];
    bool bytes = hp_in_bytes(graph->options);
    char flat[HP_FIGURE], cum[HP_FIGURE], error[HP_FIGURE], percent[HP_FIGURE];
    char *name = hp_shorten_function(place->label, NAME_WIDTH);
    char *where = hp_header_place(place, graph->options);
    double own = share(graph, node->flat.value), whole = share(graph, node->cum.value);
    fprintf(graph->out, "  n%" PRIu32 " [label=\"", node->row);
    put_quoted(graph->out, name);
    if (*where) {
        fputs("\\n", graph->out);
        put_quoted(graph->out, where);
    }
    fprintf(graph->out, "\\nflat %s\\ncum %s", hp_figure(flat, node->flat.value, bytes),
            hp_figure(cum, node->cum.value, bytes));
    if (node->cum.variance > 0)
        fprintf(graph->out, " ± %s", hp_figure(error, hp_estimate_error(&node->cum), bytes));
    fprintf(graph->out, " (%s)\", tooltip=\"", hp_percent(percent, node->cum.value, graph->total));
    put_quoted(graph->out, place->label);
    fprintf(graph->out, "\", fontsize=%.0f, fillcolor=\"0.08 %.2f 1.0\"];\n", 9 + 15 * sqrt(own), 0.05 + 0.6 * whole);
    free(name);
    free(where);
}

static void put_edge(const struct graph *graph, const struct hp_call_edge *edge)
{
    char figure[HP_FIGURE];
    fprintf(graph->out, "  n%" PRIu32 " -> n%" PRIu32 " [label=\" %s%s\", penwidth=%.1f, weight=%.0f%s];\n",
            edge->caller, edge->callee, hp_figure(figure, edge->sum.value, hp_in_bytes(graph->options)),
            edge->inlined ? "\\n(inlined)" : "", 1 + 5 * share(graph, edge->sum.value),
            1 + 99 * share(graph, edge->sum.value), edge->indirect ? ", style=dashed" : "");
}

static void put_heading(const struct graph *graph, const struct hp_report_input *input, size_t shown, size_t count)
{
    char *total = hp_header_total(&graph->stacks->total, input->profile, graph->options);
    fputs("digraph heapprof {\n  label=\"", graph->out);
    put_quoted(graph->out, input->profile->name);
    fprintf(graph->out, ": %s, total ", hp_sample_type_names[graph->options->sample]);
    put_quoted(graph->out, total);
    fprintf(graph->out,
            ", %zu of %zu %s\";\n  labelloc=t; fontname=\"sans-serif\";\n"
            "  node [shape=box, style=filled, fontname=\"sans-serif\", color=\"#888888\"];\n"
            "  edge [fontname=\"sans-serif\", fontsize=9, color=\"#666666\"];\n",
            shown, count, hp_granularity_names[graph->options->view.granularity]);
    free(total);
}

static int write_dot(FILE *out, const struct hp_report_input *input, struct hp_stacks *stacks,
                     const struct hp_report_options *options, struct hp_error *error)
{
    struct graph graph = {out, stacks, options, stacks->total.value};
    struct hp_calls calls;
    uint32_t *rows;
    hp_calls_gather(stacks, NULL, &calls);
    size_t count = hp_calls_order(&calls, NULL, &rows);
    size_t most = options->rows_given ? options->rows : DEFAULT_NODES;
    size_t shown = most && most < count ? most : count;
    char *keep = hp_alloc(calls.node_count, 1);
    for (size_t i = 0; i < shown; i++)
        keep[rows[i]] = 1;
    hp_calls_free(&calls);
    hp_calls_gather(stacks, keep, &calls);
    put_heading(&graph, input, shown, count);
    for (size_t i = 0; i < shown; i++)
        put_node(&graph, &calls.nodes[rows[i]]);
    for (size_t i = 0; i < calls.edge_count; i++)
        if (fabs(calls.edges[i].sum.value) >= 0.5)
            put_edge(&graph, &calls.edges[i]);
    fputs("}\n", out);
    free(keep);
    free(rows);
    hp_calls_free(&calls);
    return 0;
}

const struct hp_report hp_report_dot = {.name = "dot", .write_stacks = write_dot};
