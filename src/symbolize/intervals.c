#include "symbolize/intervals.h"

#include <stdlib.h>

#include "symbolize/strings.h"

/* Thousands of entries may share one range list, so a small hostile file could ask for any number.
 */
#define INTERVALS_MAX (16u << 20)

void hp_intervals_add(struct hp_intervals *intervals, uint64_t low, uint64_t high, uint32_t value, uint32_t depth)
{
    if (low >= high || intervals->count >= INTERVALS_MAX)
        return;
    intervals->items =
        hp_symbol_grow(intervals->items, intervals->count, &intervals->capacity, sizeof *intervals->items);
    intervals->items[intervals->count++] =
        (struct hp_interval){.low = low, .high = high, .value = value, .depth = depth};
}

static int outer_first(const void *left, const void *right)
{
    const struct hp_interval *a = left, *b = right;
    if (a->low != b->low)
        return a->low < b->low ? -1 : 1;
    if (a->high != b->high)
        return a->high > b->high ? -1 : 1;
    if (a->depth != b->depth)
        return a->depth < b->depth ? -1 : 1;
    return (a->value > b->value) - (a->value < b->value);
}

static void emit(struct hp_intervals *flat, uint64_t *cursor, uint64_t high, const struct hp_interval *source)
{
    if (*cursor >= high)
        return;
    struct hp_interval *last = flat->count ? &flat->items[flat->count - 1] : NULL;
    if (last && last->high == *cursor && last->value == source->value)
        last->high = high;
    else
        hp_intervals_add(flat, *cursor, high, source->value, source->depth);
    *cursor = high;
}

void hp_intervals_flatten(struct hp_intervals *intervals)
{
    size_t count = intervals->count;
    if (!count)
        return;
    qsort(intervals->items, count, sizeof *intervals->items, outer_first);
    const struct hp_interval **open = hp_symbol_realloc(NULL, count, sizeof *open);
    size_t depth = 0;
    uint64_t cursor = 0;
    struct hp_intervals flat = {0};
    for (size_t i = 0; i < count; i++) {
        const struct hp_interval *next = &intervals->items[i];
        while (depth && open[depth - 1]->high <= next->low) {
            depth--;
            emit(&flat, &cursor, open[depth]->high, open[depth]);
        }
        if (depth)
            emit(&flat, &cursor, next->low, open[depth - 1]);
        cursor = next->low;
        open[depth++] = next;
    }
    while (depth) {
        depth--;
        emit(&flat, &cursor, open[depth]->high, open[depth]);
    }
    free(open);
    free(intervals->items);
    *intervals = flat;
}

const struct hp_interval *hp_intervals_find(const struct hp_intervals *intervals, uint64_t address)
{
    size_t low = 0, high = intervals->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (address >= intervals->items[middle].high)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == intervals->count || address < intervals->items[low].low)
        return NULL;
    return &intervals->items[low];
}

void hp_intervals_free(struct hp_intervals *intervals)
{
    free(intervals->items);
    *intervals = (struct hp_intervals){0};
}
