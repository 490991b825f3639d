/* watch.h - a ledger that is read again and again, as a screen does: its counters alone, and each
 * stack once.
 *
 * Reading a whole profile of 10,000 stacks as text, and parsing it, takes some 100 ms; counters
 * take 1.
 */
#ifndef HP_READER_WATCH_H
#define HP_READER_WATCH_H

#include "reader/reader.h"

struct hp_watch;

/* Finds the ledger of a process id, and keeps it mapped. -errno and a line as in reader.h. */
int hp_watch_open(const char *pid, struct hp_watch **watch, char *error, size_t error_size);
void hp_watch_close(struct hp_watch *watch);

/* The target executed another program, with a ledger of its own, or ended: close, and open again.
 */
bool hp_watch_is_over(const struct hp_watch *watch);
/* It was there when the watch was opened. */
bool hp_watch_is_running(const struct hp_watch *watch);
const char *hp_watch_program(const struct hp_watch *watch);

struct hp_watch_reading {
    /* In no order, in the interval of the profile; a stack keeps its number. Valid until the next
     * reading. */
    const struct hp_entry_row *rows;
    uint64_t count;
    uint64_t interval;
    uint64_t inuse, idle; /* bytes */
    uint64_t clock_ns;    /* CLOCK_MONOTONIC */
    struct hp_audit audit;
    uint64_t own_bytes, own_ns;
};
/* 0; -EBADMSG: damaged or cut; -ENOMEM. */
int hp_watch_read(struct hp_watch *watch, struct hp_watch_reading *reading);

/* Writes a profile of these rows only, in this order; without what takes time to find out (MaxRSS
 * and HeapReleased). */
int hp_watch_write(const struct hp_watch *watch, const struct hp_entry_row *rows, uint64_t count, hp_sink_fn *sink,
                   void *state);

#endif
