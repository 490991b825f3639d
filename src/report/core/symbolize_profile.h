/* symbolize_profile.h - gives the locations of a profile their functions, files and lines. */
#ifndef HP_REPORT_CORE_SYMBOLIZE_PROFILE_H
#define HP_REPORT_CORE_SYMBOLIZE_PROFILE_H

#include "profile/profile.h"
#include "symbolize/symbolize.h"

struct hp_symbolize_watch {
    void (*note)(void *state, const char *text);
    void (*progress)(size_t done, size_t all); /* locations; NULL: nobody asks */
    void *state;
};

/* Looks up each location that has no lines yet: in its module, or, of code made at run time, in the
 * /tmp/perf-PID.map of the process. For each module that can't be read, or
 * whose file was replaced since (its code is never guessed at), calls `note` of `watch` with a line
 * that says so and what to do. */
void hp_symbolize_profile(struct hp_profile *profile, struct hp_symbolizer *symbolizer,
                          const struct hp_symbolize_watch *watch);

/* Gives the locations of `to` without lines those that `from` has for the same code (build id and
 * offset). */
void hp_symbols_share(const struct hp_profile *from, struct hp_profile *to);

#endif
