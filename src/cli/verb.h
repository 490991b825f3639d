/* verb.h - a verb of the command is a const descriptor in a file of its own, listed in heapprof_reports.c. */
#ifndef HP_CLI_VERB_H
#define HP_CLI_VERB_H

struct hp_verb {
    const char *name;
    const char *arguments;             /* as the usage line shows them */
    const char *summary;               /* one line */
    const char *help;                  /* the options, and what else there is to know */
    int (*run)(int argc, char **argv); /* argv[0] is the verb; returns the exit status */
};

/* Exit statuses. */
enum { HP_DONE = 0, HP_FAILED = 1, HP_USAGE = 2, HP_GROWN = 3 };

extern const struct hp_verb *const hp_verbs[]; /* ends with NULL */

/* The verb of this name, or NULL; then *nearest is the one that was probably meant, or NULL. */
const struct hp_verb *hp_verb_find(const char *name, const struct hp_verb **nearest);

/* A usage error that names the nearest verb, if there is one. */
void hp_unknown_verb(const char *name, const struct hp_verb *nearest) __attribute__((noreturn));

extern const struct hp_verb hp_verb_run, hp_verb_dump, hp_verb_ps, hp_verb_recover, hp_verb_rm,
    hp_verb_interval, hp_verb_top, hp_verb_tree, hp_verb_peek, hp_verb_list, hp_verb_traces,
    hp_verb_tags, hp_verb_diff, hp_verb_merge, hp_verb_convert, hp_verb_stats, hp_verb_serve, hp_verb_live, hp_verb_help;

#endif
