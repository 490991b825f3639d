/* hints.h - what a reader would take for an answer and is none: one line each, on standard error.
 */
#ifndef HP_CLI_HINTS_H
#define HP_CLI_HINTS_H

#include "profile/profile.h"
#include "report/core/report.h"

/* About a report of `profile`, which has its functions by now, less `before` (NULL: none): an expression that matches
 * nothing, no sample at all, functions without names, live memory that is little of what is resident. */
void hp_hint_report(const struct hp_profile *before, const struct hp_profile *profile,
                    const struct hp_report_options *options);
/* The two that are compared are in the wrong order, or of two programs. */
void hp_hint_compared(const struct hp_profile *before, const struct hp_profile *after);
/* Those that are added up are not all of one program. */
void hp_hint_merged(struct hp_profile *const *profiles, size_t count);

#endif
