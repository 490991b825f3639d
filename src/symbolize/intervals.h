/* intervals.h - which of many nested address ranges holds an address: units, functions, inlined
 * calls, symbols.
 *
 * Add all, flatten once, then find. Flattening turns nested ranges into disjoint ones, each with
 * the value of the innermost; so a lookup is one binary search however deep they nest. Ranges that
 * overlap without nesting (malformed or hostile debug information) are cut, never lost in a loop.
 */
#ifndef HP_SYMBOLIZE_INTERVALS_H
#define HP_SYMBOLIZE_INTERVALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_interval {
    uint64_t low, high; /* [low, high), never empty */
    uint32_t value;
    uint32_t depth; /* of equal ranges the deepest wins */
};

/* Zero-filled is valid and empty. After hp_intervals_flatten: items[i].high <= items[i + 1].low. */
struct hp_intervals {
    struct hp_interval *items;
    size_t count, capacity;
};

/* Ignores empty ranges, and all past a bound of 16 million. */
void hp_intervals_add(struct hp_intervals *intervals, uint64_t low, uint64_t high, uint32_t value, uint32_t depth);
void hp_intervals_flatten(struct hp_intervals *intervals);
const struct hp_interval *hp_intervals_find(const struct hp_intervals *intervals, uint64_t address);
void hp_intervals_free(struct hp_intervals *intervals);

#endif
