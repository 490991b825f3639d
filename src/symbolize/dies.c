#include "symbolize/dies.h"

#include <dwarf.h>

void hp_die_walk_start(struct hp_die_walk *walk, const Dwarf_Die *root)
{
    *walk = (struct hp_die_walk){.die = *root};
    walk->offset = dwarf_dieoffset(&walk->die);
}

static bool accept(struct hp_die_walk *walk, Dwarf_Die *die)
{
    Dwarf_Off offset = dwarf_dieoffset(die);
    if (offset <= walk->offset || offset == (Dwarf_Off)-1)
        return false;
    walk->die = *die;
    walk->offset = offset;
    return true;
}

/* `die` is the null entry that ends the list at walk->depth: on to what follows its parent. */
static bool leave_list(struct hp_die_walk *walk, Dwarf_Die *die)
{
    Dwarf *dwarf = dwarf_cu_getdwarf(die->cu);
    Dwarf_Off offset = dwarf_dieoffset(die);
    while (walk->depth > 1) {
        walk->depth--;
        Dwarf_Die next;
        if (!dwarf_offdie(dwarf, ++offset, &next) || next.cu != die->cu)
            return false;
        if (dwarf_tag(&next) != DW_TAG_invalid)
            return accept(walk, &next);
    }
    return false;
}

static bool step(struct hp_die_walk *walk, bool into)
{
    Dwarf_Die die = walk->die, next;
    if (into && walk->depth < HP_DIE_DEPTH_MAX && dwarf_haschildren(&die) > 0) {
        int result = dwarf_child(&die, &next);
        if (result < 0)
            return false;
        if (result == 0) {
            walk->depth++;
            return accept(walk, &next);
        }
    }
    if (walk->depth == 0)
        return false;
    int result = dwarf_siblingof(&die, &next);
    if (result == 0)
        return accept(walk, &next);
    if (result < 0 || !next.addr)
        return false; /* malformed, or the unit ended without a null entry */
    next.cu = die.cu; /* libdw gives the null entry's address, and no more */
    return leave_list(walk, &next);
}

bool hp_die_walk_next(struct hp_die_walk *walk, bool into)
{
    /* Without DW_AT_sibling libdw would walk over the children itself, with no bound of its own,
     * and again for each level: walk over them here, once. */
    if (into || walk->depth == 0 || walk->depth >= HP_DIE_DEPTH_MAX || dwarf_haschildren(&walk->die) <= 0 ||
        dwarf_hasattr(&walk->die, DW_AT_sibling))
        return step(walk, into);
    unsigned depth = walk->depth;
    do {
        if (!step(walk, true))
            return false;
    } while (walk->depth > depth);
    return true;
}

bool hp_die_attribute(Dwarf_Die *die, unsigned name, Dwarf_Word *value)
{
    Dwarf_Attribute attribute;
    return dwarf_attr_integrate(die, name, &attribute) && dwarf_formudata(&attribute, value) == 0;
}

void hp_die_origin(Dwarf_Die *die)
{
    for (int links = 0; links < 16; links++) {
        Dwarf_Attribute attribute;
        Dwarf_Die next;
        if (!dwarf_attr(die, DW_AT_abstract_origin, &attribute) && !dwarf_attr(die, DW_AT_specification, &attribute))
            return;
        if (!dwarf_formref_die(&attribute, &next))
            return;
        *die = next;
    }
}
