/* history.h - what a server remembers of its target: a bounded series of profiles, taken while it
 * runs.
 *
 * Thread-safe. There is a history of one process only, not of several or of files.
 */
#ifndef HP_SERVE_HISTORY_H
#define HP_SERVE_HISTORY_H

#include <stdint.h>

#include "report/core/series.h"
#include "serve/collector.h"

/* Between two moments. At most 64 are kept, with 64 MiB of counts (hp_series_thin). */
#define HP_HISTORY_EVERY_MS 5000

struct hp_history;

/* Starts a thread that takes a moment each `every_ms`; NULL if the collector is not of one process, or
 * no thread can be had. */
struct hp_history *hp_history_start(struct hp_collector *collector, unsigned every_ms);
/* Ends the thread. `history` may be NULL. */
void hp_history_stop(struct hp_history *history);
unsigned hp_history_every_ms(const struct hp_history *history);

/* Takes a moment now, if the last one is not of just now, and calls `visit` with the series,
 * symbolized, which stays as it is meanwhile. -errno and *error when there is no moment at all; 0
 * and *error when there is none of now. */
int hp_history_visit(struct hp_history *history, void (*visit)(void *state, const struct hp_series *series),
                     void *state, struct hp_error *error);

#endif
