/* names.h - strings to dense numbers: the first string added is 0, the next different one 1, and so
 * on. */
#ifndef HP_REPORT_CORE_NAMES_H
#define HP_REPORT_CORE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_names {
    char **names; /* owned copies, by number */
    size_t count, capacity;
    uint32_t *slots;   /* number + 1 of the name that hashes here; 0: empty */
    size_t slot_count; /* a power of two, more than 2 * count */
};

/* The number of `name`, added if it is new (then *added is true, if `added` is not NULL). */
uint32_t hp_names_add(struct hp_names *names, const char *name, bool *added);
#define HP_NO_NAME UINT32_MAX
/* The number of `name`, or HP_NO_NAME. */
uint32_t hp_names_find(const struct hp_names *names, const char *name);
void hp_names_free(struct hp_names *names);

#endif
