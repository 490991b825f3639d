#include "report/core/trie.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"

static size_t slot_of(const struct hp_trie *trie, uint32_t parent, uint32_t row)
{
    uint64_t h = ((uint64_t)parent << 32 | row) * 0x9e3779b97f4a7c15u;
    size_t slot = (h ^ h >> 31) & (trie->slot_count - 1);
    while (trie->slots[slot] &&
           (trie->nodes[trie->slots[slot]].parent != parent || trie->nodes[trie->slots[slot]].row != row))
        slot = (slot + 1) & (trie->slot_count - 1);
    return slot;
}

static void rehash(struct hp_trie *trie)
{
    trie->slot_count = trie->slot_count ? 2 * trie->slot_count : 1024;
    free(trie->slots);
    trie->slots = hp_alloc(trie->slot_count, sizeof *trie->slots);
    for (size_t i = 1; i < trie->count; i++)
        trie->slots[slot_of(trie, trie->nodes[i].parent, trie->nodes[i].row)] = (uint32_t)i;
}

static uint32_t step(struct hp_trie *trie, uint32_t parent, const struct hp_frame *frame)
{
    if (2 * trie->count >= trie->slot_count)
        rehash(trie);
    size_t slot = slot_of(trie, parent, frame->row);
    if (trie->slots[slot])
        return trie->slots[slot];
    trie->nodes = hp_grow(trie->nodes, &trie->capacity, trie->count + 1, sizeof *trie->nodes);
    trie->nodes[trie->count] = (struct hp_trie_node){.row = frame->row, .parent = parent, .inlined = frame->inlined};
    return trie->slots[slot] = (uint32_t)trie->count++;
}

struct ordering {
    const struct hp_trie *trie;
    const struct hp_places *places;
    enum hp_trie_order order;
};

/* Siblings stand together, in the order that they are to be linked in. */
static int compare_nodes(const void *a, const void *b, void *state)
{
    const struct ordering *ordering = state;
    const struct hp_trie_node *left = &ordering->trie->nodes[*(const uint32_t *)a],
                              *right = &ordering->trie->nodes[*(const uint32_t *)b];
    if (left->parent != right->parent)
        return left->parent < right->parent ? -1 : 1;
    double x = fabs(left->cum.value), y = fabs(right->cum.value);
    if (ordering->order == HP_TRIE_BY_SIZE && x != y)
        return x > y ? -1 : 1;
    int names = strcmp(ordering->places->rows[left->row].label, ordering->places->rows[right->row].label);
    return names ? names : (left->row > right->row) - (left->row < right->row);
}

static void link_children(struct hp_trie *trie, const struct hp_places *places, enum hp_trie_order order)
{
    uint32_t *sorted = hp_alloc(trie->count, sizeof *sorted);
    struct ordering ordering = {trie, places, order};
    for (size_t i = 1; i < trie->count; i++)
        sorted[i - 1] = (uint32_t)i;
    qsort_r(sorted, trie->count - 1, sizeof *sorted, compare_nodes, &ordering);
    for (size_t i = trie->count - 1; i-- > 0;) {
        struct hp_trie_node *node = &trie->nodes[sorted[i]];
        node->sibling = trie->nodes[node->parent].child;
        trie->nodes[node->parent].child = sorted[i];
    }
    free(sorted);
}

void hp_trie_build(const struct hp_stacks *stacks, enum hp_trie_order order, struct hp_trie *trie)
{
    *trie = (struct hp_trie){0};
    trie->nodes = hp_grow(NULL, &trie->capacity, 1, sizeof *trie->nodes);
    trie->nodes[trie->count++] = (struct hp_trie_node){0};
    trie->ends = hp_alloc(stacks->count, sizeof *trie->ends);
    for (size_t i = 0; i < stacks->count; i++) {
        const struct hp_stack *stack = &stacks->stacks[i];
        uint32_t node = 0;
        for (size_t frame = stack->depth; frame-- > 0;)
            node = step(trie, node, &stacks->frames[stack->first + frame]);
        struct hp_measure *flat = &trie->nodes[node].flat;
        trie->nodes[node].ends = true;
        trie->ends[i] = node;
        hp_estimate_add(&flat->before, &stack->pair.was);
        hp_estimate_add(&flat->after, &stack->pair.is);
        hp_estimate_add(&flat->growth, &stack->pair.growth);
    }
    for (size_t i = trie->count; i-- > 0;) {
        struct hp_trie_node *node = &trie->nodes[i];
        hp_estimate_add(&node->cum, &node->flat.growth);
        if (i)
            hp_estimate_add(&trie->nodes[node->parent].cum, &node->cum);
    }
    link_children(trie, &stacks->places, order);
}

void hp_trie_free(struct hp_trie *trie)
{
    free(trie->nodes);
    free(trie->slots);
    free(trie->ends);
    *trie = (struct hp_trie){0};
}

uint32_t hp_trie_next(const struct hp_trie *trie, uint32_t node, bool into, size_t *depth)
{
    if (into && trie->nodes[node].child) {
        ++*depth;
        return trie->nodes[node].child;
    }
    while (node && !trie->nodes[node].sibling) {
        node = trie->nodes[node].parent;
        --*depth;
    }
    return trie->nodes[node].sibling;
}
