/* live_state.h - what `heapprof live` shows, apart from the screen.
 *
 * Each second only counters are read, and added up by number: the functions of a stack are looked up once, when it is
 * seen for the first time.
 *
 * Terms
 *   site   a function, by its number
 *   stack  of the target's ledger, by its place in `stacks`
 */
#ifndef HP_CLI_LIVE_LIVE_STATE_H
#define HP_CLI_LIVE_LIVE_STATE_H

#include "reader/watch.h"
#include "profile/map.h"
#include "profile/profile.h"
#include "report/core/view.h"
#include "symbolize/symbolize.h"

#define HP_LIVE_MOMENTS 240

enum hp_live_order { HP_LIVE_FLAT, HP_LIVE_CUM, HP_LIVE_GROWTH, HP_LIVE_RATE, HP_LIVE_ORDERS };
extern const char *const hp_live_order_names[HP_LIVE_ORDERS];

/* Bytes. */
struct hp_live_site {
    double flat, cum;
    double growth;        /* of flat since the mark */
    double rate;          /* bytes allocated a second, since the moment before */
    double alloc, before; /* allocated since the start, now and at the moment before */
    double marked;        /* flat at the mark */
    uint32_t seen;        /* the last row of the reading that counted, plus 1 */
};

struct hp_live_stack {
    size_t first; /* index into frames: the innermost */
    uint32_t depth;
    uint64_t samples; /* live */
    double live;      /* bytes */
};

/* Bytes. */
struct hp_live_moment {
    double live, inuse, idle;
};

struct hp_live_state {
    const char *target; /* process id */
    struct hp_symbolizer *symbolizer;
    void (*note)(void *state, const char *text);
    void *note_state;

    struct hp_watch *watch;
    uint64_t clock_ns; /* of the last reading */
    struct hp_places places;
    struct hp_map stack_of; /* the ledger's number of a stack to its place */
    struct hp_live_stack *stacks;
    size_t stack_count, stack_capacity;
    uint32_t *frames; /* numbers in places.sites, of all stacks */
    size_t frame_count, frame_capacity;
    struct hp_live_site *sites; /* by number in places.rows */
    size_t site_count, site_capacity;

    struct hp_live_moment moments[HP_LIVE_MOMENTS]; /* the last ones, oldest first */
    size_t moment_count;
    double live_error, rate; /* bytes; bytes a second of all sites */
    struct hp_audit audit;   /* what the profiler says of itself */
    uint64_t own_bytes, own_ns;
    uint64_t mark_ns; /* clock_ns at the mark */
};

/* Reads the target. On an error the state is as before: -ESRCH or -ENOENT when it has ended. */
int hp_live_update(struct hp_live_state *state, struct hp_error *error);
/* Growth counts from now on. */
void hp_live_mark(struct hp_live_state *state);
/* The first `most` sites by this order, those for which `chosen` (by site; NULL: all) is not 0. Returns how many. */
size_t hp_live_first(const struct hp_live_state *state, enum hp_live_order order, const char *chosen, uint32_t *sites,
                     size_t most);
/* The first `most` stacks that end in this site, or, if none does, that it is part of, largest first; `live` of each
 * is more than 0. Returns how many; *all: of how many. */
size_t hp_live_stacks(const struct hp_live_state *state, uint32_t site, uint32_t *stacks, size_t most, size_t *all);
static inline const char *hp_live_name(const struct hp_live_state *state, uint32_t site)
{
    return state->places.rows[site].label;
}
void hp_live_free(struct hp_live_state *state);

#endif
