/* preload_path.h - where the libraries are that `run` preloads. */
#ifndef HP_CLI_RUN_PRELOAD_PATH_H
#define HP_CLI_RUN_PRELOAD_PATH_H

#include "profile/profile.h"

/* libheapprof.so, beside the command or where it is installed. *path is the caller's to free. 0, or
 * -ENOENT. */
int hp_library_find(char **path, struct hp_error *error);

/* What --allocator=NAME means: jemalloc, tcmalloc, mimalloc, or a file. *path is the caller's to
 * free. */
int hp_allocator_find(const char *name, char **path, struct hp_error *error);

/* The value of LD_PRELOAD: ours first, then the allocator (or NULL), then what was there (or NULL).
 * Paths with blanks or colons can't be told to the loader. *value is the caller's to free. */
int hp_preload_value(const char *library, const char *allocator, const char *existing, char **value,
                     struct hp_error *error);

#endif
