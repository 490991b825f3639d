#include "report/core/calls.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/core/memory.h"

static struct hp_call_edge *edge_of(struct hp_calls *calls, uint32_t caller, uint32_t callee)
{
    char key[32];
    bool added;
    snprintf(key, sizeof key, "%" PRIx32 " %" PRIx32, caller, callee);
    uint32_t number = hp_names_add(&calls->keys, key, &added);
    calls->edges = hp_grow(calls->edges, &calls->edge_capacity, number + 1, sizeof *calls->edges);
    if (added) {
        calls->edges[number] = (struct hp_call_edge){.caller = caller, .callee = callee, .inlined = true};
        calls->edge_count++;
    }
    return &calls->edges[number];
}

static void gather_stack(struct hp_calls *calls, const struct hp_frame *frames, uint32_t depth,
                         const struct hp_estimate *estimate, size_t mark, const char *keep)
{
    uint32_t callee = UINT32_MAX; /* index of the last frame kept */
    for (uint32_t i = 0; i < depth; i++) {
        struct hp_call_node *node = &calls->nodes[frames[i].row];
        if (i == 0)
            hp_estimate_add(&node->flat, estimate);
        if (node->seen != mark)
            hp_estimate_add(&node->cum, estimate);
        node->seen = mark;
        if (keep && !keep[frames[i].row])
            continue;
        if (callee != UINT32_MAX) {
            struct hp_call_edge *edge = edge_of(calls, frames[i].row, frames[callee].row);
            edge->inlined &= frames[callee].inlined;
            edge->indirect |= callee + 1 != i;
            if (edge->seen != mark)
                hp_estimate_add(&edge->sum, estimate);
            edge->seen = mark;
        }
        callee = i;
    }
}

static int by_value(const struct hp_estimate *a, const struct hp_estimate *b)
{
    double x = fabs(a->value), y = fabs(b->value);
    return (x < y) - (x > y);
}

static int compare_edges(const void *a, const void *b)
{
    const struct hp_call_edge *left = a, *right = b;
    int order = by_value(&left->sum, &right->sum);
    if (!order)
        order = (left->caller > right->caller) - (left->caller < right->caller);
    return order ? order : (left->callee > right->callee) - (left->callee < right->callee);
}

void hp_calls_gather(const struct hp_stacks *stacks, const char *keep, struct hp_calls *calls)
{
    *calls = (struct hp_calls){.node_count = stacks->places.row_names.count};
    calls->nodes = hp_alloc(calls->node_count, sizeof *calls->nodes);
    for (size_t row = 0; row < calls->node_count; row++)
        calls->nodes[row].row = (uint32_t)row;
    for (size_t i = 0; i < stacks->count; i++)
        gather_stack(calls, &stacks->frames[stacks->stacks[i].first], stacks->stacks[i].depth,
                     &stacks->stacks[i].pair.growth, i + 1, keep);
    if (calls->edge_count)
        qsort(calls->edges, calls->edge_count, sizeof *calls->edges, compare_edges);
}

void hp_calls_free(struct hp_calls *calls)
{
    free(calls->nodes);
    free(calls->edges);
    hp_names_free(&calls->keys);
    *calls = (struct hp_calls){0};
}

static int compare_rows(const void *a, const void *b, void *state)
{
    const struct hp_call_node *nodes = state, *left = &nodes[*(const uint32_t *)a],
                              *right = &nodes[*(const uint32_t *)b];
    int order = by_value(&left->cum, &right->cum);
    return order ? order : (left->row > right->row) - (left->row < right->row);
}

size_t hp_calls_order(const struct hp_calls *calls, const char *choose, uint32_t **rows)
{
    size_t count = 0;
    *rows = hp_alloc(calls->node_count, sizeof **rows);
    for (uint32_t row = 0; row < calls->node_count; row++)
        if (calls->nodes[row].seen && (!choose || choose[row]))
            (*rows)[count++] = row;
    qsort_r(*rows, count, sizeof **rows, compare_rows, calls->nodes);
    return count;
}
