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

/* In half steps; so far away or farther it is another word. */
#define ANOTHER_WORD 5

static unsigned half_steps(const char *name, const char *word)
{
    if (strlen(name) >= LONGEST_VERB || strlen(word) >= LONGEST_VERB)
        return ANOTHER_WORD;
    return 2 * distance(name, word) + (name[0] != word[0]); /* people seldom mistype the first letter */
}

const char *hp_word_nearest(const char *word, const char *const *words, size_t count)
{
    unsigned least = ANOTHER_WORD;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        unsigned steps = half_steps(word, words[i]);
        if (steps < least) {
            least = steps;
            nearest = words[i];
        }
    }
    return nearest;
}

const struct hp_verb *hp_verb_find(const char *name, const struct hp_verb **nearest)
{
    unsigned least = ANOTHER_WORD;
    *nearest = NULL;
    for (const struct hp_verb *const *verb = hp_verbs; *verb; verb++) {
        if (!strcmp((*verb)->name, name))
            return *verb;
        unsigned steps = half_steps(name, (*verb)->name);
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
