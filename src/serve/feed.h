/* feed.h - where a server's profiles come from: ledgers of processes, and files, read anew for each answer.
 *
 * Thread-safe: one profile is made at a time, because neither the reader of ledgers nor the symbolizer can do more.
 * Targets are only read; one that ended by a signal is read from the ledger that it left.
 */
#ifndef HP_SERVE_FEED_H
#define HP_SERVE_FEED_H

#include <stdbool.h>

#include "profile/profile.h"

struct hp_feed_options {
    char *const *arguments; /* process ids and files, merged if there are several; live as long as the feed */
    size_t count;
    const char *const *symbol_directories;
    size_t symbol_directory_count;
    /* What is wrong with a module (report/core/symbolize_profile.h); from any thread, never from two at once. */
    void (*note)(void *state, const char *text);
    void *note_state;
};

struct hp_feed *hp_feed_new(const struct hp_feed_options *options);
void hp_feed_free(struct hp_feed *feed);

enum hp_feed_detail { HP_FEED_NUMBERS, HP_FEED_SYMBOLS };

/* The profile as it is now, time_ns to the nanosecond; the caller frees it. -errno and *error when a target is not
 * there (any more), or a file can't be read. */
int hp_feed_load(struct hp_feed *feed, enum hp_feed_detail detail, struct hp_profile **profile, struct hp_error *error);

/* Of one process, not of files or several. */
bool hp_feed_is_process(const struct hp_feed *feed);
/* Functions, files and lines of those locations that have none yet. */
void hp_feed_symbolize(struct hp_feed *feed, struct hp_profile *profile);

/* All of the feed's processes were there when they were last read: what came was not the last profile of a dead one. */
bool hp_feed_running(struct hp_feed *feed);

/* The name of the function at each address of the first process or file; "" where it is not known. The caller frees
 * the names and the list. */
int hp_feed_functions(struct hp_feed *feed, const uint64_t *addresses, size_t count, char ***names,
                      struct hp_error *error);

/* The command line of the first process, NUL between the arguments; the caller frees it. */
int hp_feed_command(struct hp_feed *feed, char **command, size_t *size, struct hp_error *error);

#endif
