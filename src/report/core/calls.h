/* calls.h - which function calls which: the stacks of a report as a graph. */
#ifndef HP_REPORT_CORE_CALLS_H
#define HP_REPORT_CORE_CALLS_H

#include "report/core/stacks.h"

struct hp_call_node {
    uint32_t row;
    size_t seen; /* the last stack that counted, plus 1; 0: in none */
    struct hp_estimate flat, cum;
};

/* `caller` calls `callee`: with the estimates of the stacks in which it does, each counted once. */
struct hp_call_edge {
    uint32_t caller, callee; /* rows */
    bool inlined;            /* in all of them */
    bool indirect;           /* in some only by way of functions that were left out */
    size_t seen;
    struct hp_estimate sum;
};

struct hp_calls {
    struct hp_call_node *nodes; /* by row */
    struct hp_call_edge *edges; /* largest first */
    size_t node_count, edge_count, edge_capacity;
    struct hp_names keys;
};

/* `keep`: one byte a row, those that become ends of edges; NULL: all. */
void hp_calls_gather(const struct hp_stacks *stacks, const char *keep, struct hp_calls *calls);
void hp_calls_free(struct hp_calls *calls);
/* The rows of nodes that were seen, by cum, largest first; those of `choose` only unless it is
 * NULL. The caller frees *rows. */
size_t hp_calls_order(const struct hp_calls *calls, const char *choose, uint32_t **rows);

#endif
