/* load.h - the FILE|PID arguments: profiles read, live targets read, functions looked up. */
#ifndef HP_CLI_LOAD_H
#define HP_CLI_LOAD_H

#include "cli/target.h"
#include "profile/profile.h"
#include "report/core/names.h"
#include "report/core/series.h"
#include "report/core/source.h"
#include "symbolize/symbolize.h"

struct hp_directories {
    const char **names;
    size_t count, capacity;
};

struct hp_sources {
    struct hp_directories symbols, source; /* --symbols, --source */
};
void hp_sources_add(struct hp_directories *directories, const char *name);
void hp_sources_free(struct hp_sources *sources);

/* What stays open while a verb works on its profiles. */
struct hp_loader {
    struct hp_symbolizer *symbolizer;
    struct hp_names notes; /* about modules without symbols: each is said once, and only so many of them */
    struct hp_source_rules source;
};
void hp_loader_open(struct hp_loader *loader, const struct hp_sources *sources);
/* What source may be shown of these profiles, until the loader is closed: that below --source and the current folder,
 * and what modules of the reader's name. `base` may be NULL. */
struct hp_source_rules *hp_loader_source(struct hp_loader *loader, const struct hp_sources *sources, const char *base,
                                         char *const *arguments, size_t count);
/* Adds the owner of a file or of a process. */
void hp_source_owner_of(struct hp_source_rules *rules, const char *argument);
/* Says how many notes and how much source were left out, and closes. */
void hp_loader_close(struct hp_loader *loader);

/* True, and the number, if `argument` names a process and not a file. */
bool hp_argument_is_pid(const char *argument, pid_t *pid);

/* Reads one profile without looking up functions, or several and merges them. Returns HP_DONE, or
 * HP_FAILED after having said why. */
int hp_load_numbers(char *const *arguments, size_t count, struct hp_profile **profile);
/* Two profiles to compare, `before` with or without a file to it (NULL). Either lends its functions
 * to the other where the code is the same. */
int hp_load_both(struct hp_loader *loader, const char *before_name, char *const *arguments, size_t count,
                 struct hp_profile **before, struct hp_profile **profile);
void hp_loader_symbolize(struct hp_loader *loader, struct hp_profile *profile);
/* As hp_load_numbers, with functions, files and lines. */
int hp_load_profile(struct hp_loader *loader, char *const *arguments, size_t count, struct hp_profile **profile);

/* The profiles as a series, in the order of their times, with functions, files and lines. */
int hp_load_series(struct hp_loader *loader, char *const *arguments, size_t count, struct hp_series *series);

#endif
