/* verb.h - a verb of the command is a const descriptor in a file of its own, verbs/NAME.c, with its help in
 * help/NAME.txt. */
#ifndef HP_CLI_VERB_H
#define HP_CLI_VERB_H

#include <stddef.h>

struct hp_verb {
    const char *name;
    const char *arguments;             /* as the usage line shows them */
    const char *summary;               /* one line */
    const char *help;                  /* the options, and what else there is to know */
    int (*run)(int argc, char **argv); /* argv[0] is the verb; returns the exit status */
};

#include "cli/verb_list.h" /* hp_verb_NAME and hp_help_NAME, of each verb in the list in meson.build */

/* Exit statuses. */
enum { HP_DONE = 0, HP_FAILED = 1, HP_USAGE = 2, HP_GROWN = 3 };

extern const struct hp_verb *const hp_verbs[]; /* ends with NULL */

/* The verb of this name, or NULL; then *nearest is the one that was probably meant, or NULL. */
const struct hp_verb *hp_verb_find(const char *name, const struct hp_verb **nearest);

/* Of `count` words the one that was probably meant; NULL if none is near. */
const char *hp_word_nearest(const char *word, const char *const *words, size_t count);

/* A usage error that names the nearest verb, if there is one. */
void hp_unknown_verb(const char *name, const struct hp_verb *nearest) __attribute__((noreturn));

#endif
