/* report_verb.h - what verbs that write one report about FILE|PID... have in common. */
#ifndef HP_CLI_REPORT_VERB_H
#define HP_CLI_REPORT_VERB_H

#include "cli/report_options.h"
#include "cli/verb.h"

/* With it, the first argument is a regular expression that chooses functions. */
#define HP_WANTS_PATTERN 0x10000u

/* Parses the arguments, reads and merges the inputs, writes the report to standard output. `takes`:
 * the options that mean anything to it (enum hp_report_option). Returns the exit status. */
int hp_report_verb(const struct hp_verb *verb, const struct hp_report *report, unsigned takes, int argc, char **argv);

/* Writes `report`, and says what went wrong if it did. */
int hp_report_run(const struct hp_report *report, const struct hp_report_input *input,
                  const struct hp_report_options *options, struct hp_report_outcome *outcome);

#endif
