/* trie.h - stacks put together from the outermost function inwards: each node is one way to get to
 * one function.
 *
 * Invariants
 *   nodes[0] is the root, which stands for no function;  nodes[i].parent < i
 *   cum of a node = its flat + the cums of its children
 */
#ifndef HP_REPORT_CORE_TRIE_H
#define HP_REPORT_CORE_TRIE_H

#include "report/core/rows.h"
#include "report/core/stacks.h"

struct hp_trie_node {
    uint32_t row, parent;
    uint32_t child, sibling; /* 0: none */
    bool inlined;            /* into its parent */
    bool ends;               /* stacks end here: flat may be more than nothing */
    struct hp_measure flat;
    struct hp_estimate cum; /* growth */
};

struct hp_trie {
    struct hp_trie_node *nodes;
    size_t count, capacity;
    uint32_t *ends;  /* by stack: the node in which it ends */
    uint32_t *slots; /* number of the node that hashes here; 0: empty */
    size_t slot_count;
};

enum hp_trie_order { HP_TRIE_BY_SIZE, HP_TRIE_BY_NAME };

void hp_trie_build(const struct hp_stacks *stacks, enum hp_trie_order order, struct hp_trie *trie);
void hp_trie_free(struct hp_trie *trie);

/* The node that follows in a walk from the root in which each node comes before its children, or 0
 * at the end; *depth (of the root: 0) follows. `into`: also the children of `node`. */
uint32_t hp_trie_next(const struct hp_trie *trie, uint32_t node, bool into, size_t *depth);

#endif
