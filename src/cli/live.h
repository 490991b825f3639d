/* live.h - what `heapprof live` shows, apart from the screen: the last profile, and how it came to be. */
#ifndef HP_CLI_LIVE_H
#define HP_CLI_LIVE_H

#include "profile/profile.h"
#include "serve/feed.h"

#define HP_LIVE_MOMENTS 240

enum hp_live_order { HP_LIVE_FLAT, HP_LIVE_CUM, HP_LIVE_GROWTH, HP_LIVE_RATE, HP_LIVE_ORDERS };
extern const char *const hp_live_order_names[HP_LIVE_ORDERS];

struct hp_live_site {
    char *name;
    double flat, flat_error, cum, growth; /* bytes; growth of flat since the mark */
    double rate;                          /* bytes allocated a second, since the moment before */
    double shown_by;                      /* the one of them that orders */
};

/* Bytes. */
struct hp_live_moment {
    double live, inuse, idle;
};

struct hp_live_state {
    struct hp_feed *feed;
    struct hp_profile *now, *before, *mark; /* NULL: none yet */
    struct hp_live_site *sites;             /* largest first */
    size_t site_count;
    struct hp_live_moment moments[HP_LIVE_MOMENTS]; /* the last ones, oldest first */
    size_t moment_count;
    double live_error, rate; /* bytes; bytes a second of all sites */
    enum hp_live_order order;
};

/* Takes a new profile. On an error the state is as before. */
int hp_live_update(struct hp_live_state *state, struct hp_error *error);
/* Growth counts from now on. */
void hp_live_mark(struct hp_live_state *state);
void hp_live_sort(struct hp_live_state *state, enum hp_live_order order);
void hp_live_free(struct hp_live_state *state);

/* What the profiler says of itself, as one line. The caller frees it. */
char *hp_live_audit(const struct hp_live_state *state);

/* `count` values as one row of eight heights, the smallest at the bottom, the last ones if there are more than
 * `width`: block elements, or without `blocks` ASCII. The caller frees it. */
char *hp_live_sparkline(const double *values, size_t count, size_t width, bool blocks);

#endif
