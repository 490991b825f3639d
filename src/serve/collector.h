/* collector.h - where a server's profiles come from: ledgers of processes, and files, read anew for each answer.
 *
 * Thread-safe: one profile is made at a time, because neither the reader of ledgers nor the symbolizer can do more.
 * Targets are only read; one that ended by a signal is read from the ledger that it left.
 */
#ifndef HP_SERVE_COLLECTOR_H
#define HP_SERVE_COLLECTOR_H

#include <stdbool.h>

#include "profile/profile.h"
#include "report/core/source.h"

struct hp_collector_options {
    char *const *arguments; /* process ids and files, merged if there are several; live as long as the collector */
    size_t count;
    const char *const *symbol_directories;
    size_t symbol_directory_count;
    const struct hp_source_rules *source; /* what source pages may show; NULL: none */
    /* What is wrong with a module (report/core/symbolize_profile.h); from any thread, never from two at once. */
    void (*note)(void *state, const char *text);
    void *note_state;
};

struct hp_collector *hp_collector_new(const struct hp_collector_options *options);
void hp_collector_free(struct hp_collector *collector);

enum hp_collector_detail { HP_COLLECT_NUMBERS, HP_COLLECT_SYMBOLS };

/* The profile as it is now, time_ns to the nanosecond; the caller frees it. -errno and *error when a target is not
 * there (any more), or a file can't be read. */
int hp_collector_load(struct hp_collector *collector, enum hp_collector_detail detail, struct hp_profile **profile,
                      struct hp_error *error);

const struct hp_source_rules *hp_collector_source(const struct hp_collector *collector);

/* Of one process, not of files or several. */
bool hp_collector_is_process(const struct hp_collector *collector);
/* Functions, files and lines of those locations that have none yet. */
void hp_collector_symbolize(struct hp_collector *collector, struct hp_profile *profile);

/* All of the collector's processes were there when they were last read: what came was not the last profile of a dead
 * one. */
bool hp_collector_running(struct hp_collector *collector);

/* The name of the function at each address of the first process or file; "" where it is not known. The caller frees
 * the names and the list. */
int hp_collector_functions(struct hp_collector *collector, const uint64_t *addresses, size_t count, char ***names,
                           struct hp_error *error);

/* The command line of the first process, NUL between the arguments; the caller frees it. */
int hp_collector_command(struct hp_collector *collector, char **command, size_t *size, struct hp_error *error);

#endif
