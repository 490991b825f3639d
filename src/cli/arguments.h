/* arguments.h - argp as the verbs use it: every usage error is one line and exit status 2; --help
 * is the verb's page. */
#ifndef HP_CLI_ARGUMENTS_H
#define HP_CLI_ARGUMENTS_H

#include <argp.h>

#include "cli/verb.h"

/* Parses what follows the verb's name with `argp`, whose parser gets `input`. `flags`:
 * ARGP_IN_ORDER or 0. Returns only when all is well. */
void hp_arguments_parse(const struct hp_verb *verb, const struct argp *argp, unsigned flags, int argc, char **argv,
                        void *input);
/* Writes a verb's page to standard output. */
void hp_verb_page(const struct hp_verb *verb);

#endif
