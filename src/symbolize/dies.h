/* dies.h - walks through the tree of debugging entries (DIEs) of one unit.
 *
 * Invariant: the offset only grows, so a walk ends after at most one step per entry whatever
 * DW_AT_sibling says; libdw alone would follow a hostile one in a circle.
 */
#ifndef HP_SYMBOLIZE_DIES_H
#define HP_SYMBOLIZE_DIES_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#define HP_DIE_DEPTH_MAX 512

struct hp_die_walk {
    Dwarf_Die die;
    unsigned depth; /* of die below the root, which has 0; at most HP_DIE_DEPTH_MAX */
    Dwarf_Off offset;
};

void hp_die_walk_start(struct hp_die_walk *walk, const Dwarf_Die *root);
/* To the next entry in the order of the file, with or without those below the present one. False at
 * the end of the root's subtree, and where the entries are malformed. */
bool hp_die_walk_next(struct hp_die_walk *walk, bool into);

bool hp_die_attribute(Dwarf_Die *die, unsigned name, Dwarf_Word *value);
/* The entry at the end of abstract origins and specifications, possibly in another unit or file. */
void hp_die_origin(Dwarf_Die *die);

#endif
