#include "cli/verb.h"

#include <string.h>

#include "cli/say.h"

#define LONGEST_VERB 32

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters to insert, delete or replace to get from one to the other (Wagner and Fischer,
 * 1974). */
static unsigned distance(const char *from, const char *to)
{
    unsigned row[LONGEST_VERB + 1];
    size_t width = strlen(to);
    for (size_t i = 0; i <= width; i++)
        row[i] = (unsigned)i;
    for (size_t i = 0; from[i]; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < width; j++) {
            unsigned above = row[j + 1];
            row[j + 1] = smaller(smaller(above, row[j]) + 1, diagonal + (from[i] != to[j]));
            diagonal = above;
        }
    }
    return row[width];
}

const struct hp_verb *hp_verb_find(const char *name, const struct hp_verb **nearest)
{
    unsigned least = 5; /* of half steps; farther away it is another word */
    *nearest = NULL;
    for (const struct hp_verb *const *verb = hp_verbs; *verb; verb++) {
        if (!strcmp((*verb)->name, name))
            return *verb;
        unsigned steps = strlen(name) < LONGEST_VERB ? 2 * distance(name, (*verb)->name) : least;
        if (name[0] != (*verb)->name[0])
            steps++; /* people seldom mistype the first letter */
        if (steps < least) {
            least = steps;
            *nearest = *verb;
        }
    }
    return NULL;
}

void hp_unknown_verb(const char *name, const struct hp_verb *nearest)
{
    if (nearest)
        hp_usage("there is no verb '%s'; did you mean '%s'?", name, nearest->name);
    hp_usage("there is no verb '%s'", name);
}
