/* resident_parts.h - what the resident set consists of, from what a profile says.
 *
 * Invariant: the parts add up to rss. Of what the allocator has in memory (fact heapprof.rss_heap)
 *   idle      fact heapprof.rss_idle: HeapIdle - HeapReleased, without the allocator's tables
 *   live      the profile's inuse_space, less the pages of large objects that are not in memory
 * (heapprof.heap_untouched) overhead  HeapInuse and the allocator's tables (fact
 * heapprof.heap_metadata) that are in memory, less live unknown   the rest, which is below 0 when
 * the estimate is above what is there
 */
#ifndef HP_REPORT_CORE_RESIDENT_PARTS_H
#define HP_REPORT_CORE_RESIDENT_PARTS_H

#include "report/core/report.h"

enum hp_resident_part {
    HP_RESIDENT_LIVE,
    HP_RESIDENT_OVERHEAD,
    HP_RESIDENT_IDLE,
    HP_RESIDENT_OWN,
    HP_RESIDENT_STACKS,
    HP_RESIDENT_PROGRAM,
    HP_RESIDENT_FILES,
    HP_RESIDENT_ANONYMOUS,
    HP_RESIDENT_SHARED,
    HP_RESIDENT_UNKNOWN,
    HP_RESIDENT_PARTS
};

struct hp_resident_set {
    double parts[HP_RESIDENT_PARTS]; /* bytes, whole numbers */
    double rss, live_error;
    double released, untouched, swapped; /* bytes that are not part of rss */
};

struct hp_resident_name {
    const char *key;  /* in JSON */
    const char *name; /* for people */
    const char *meaning;
    const char *colour; /* in the bar on a page */
    char letter;        /* in the bar */
    bool dark;          /* of the colour: letters on it are white */
};
extern const struct hp_resident_name hp_resident_names[HP_RESIDENT_PARTS];

/* False: the profile doesn't say. */
bool hp_resident_find(const struct hp_profile *profile, struct hp_resident_set *set);

/* A table, and a bar of one line. */
void hp_resident_write(FILE *out, const struct hp_resident_set *set, const struct hp_look *look);

/* How many of `width` cells each part gets; those below 0 get none. */
void hp_resident_cells(const struct hp_resident_set *set, size_t width, size_t cells[HP_RESIDENT_PARTS]);

#endif
