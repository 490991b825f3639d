/* new_file.h - the file of a dump: nobody sees it before it is whole. Async-signal-safe; keeps errno. */
#ifndef HP_PRELOAD_NEW_FILE_H
#define HP_PRELOAD_NEW_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/ledger.h"

struct hp_new_file {
    char path[HP_PATH_MAX]; /* the final name; set by the caller, as is `sequence` */
    /* PATH.PID.SEQUENCE.tmp: a parent and its children, or several threads, may write to one name. */
    char temporary[HP_PATH_MAX];
    uint32_t sequence; /* of the dump in the process */
    int fd;
    bool is_named; /* it has the temporary name; else it has none */
};

/* Returns 0 or -errno. */
int hp_new_file_open(struct hp_new_file *file);

/* Give it its final name. Returns 0 or -errno; -ENOENT with !is_named: it can't be named here, try
 * hp_new_file_reopen. */
int hp_new_file_publish(struct hp_new_file *file);

/* Once more from the start, as a file that has the temporary name. Returns 0 or -errno. */
int hp_new_file_reopen(struct hp_new_file *file);

/* What went wrong before (`error`, 0: nothing) or now. Nothing is left of a file that was not published. */
int hp_new_file_close(struct hp_new_file *file, int error);

#endif
