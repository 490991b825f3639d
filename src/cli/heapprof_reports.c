/* heapprof-reports, the command with all its verbs, and what was meant by a name that is none. */
#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "cli/say.h"
#include "cli/verb.h"

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

int main(int argc, char **argv)
{
    if (argc < 2)
        hp_usage("which verb?");
    if (!strcmp(argv[1], "--version")) {
        puts("heapprof " HP_VERSION);
        return hp_output_flush();
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        argv[1] = (char *)"help";
    if (argv[1][0] == '-')
        hp_usage("unknown option '%s'", argv[1]);
    const struct hp_verb *nearest, *verb = hp_verb_find(argv[1], &nearest);
    if (!verb)
        hp_unknown_verb(argv[1], nearest);
    return verb->run(argc - 1, argv + 1);
}
