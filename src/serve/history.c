#include "serve/history.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "report/core/memory.h"
#include "serve/ticker.h"

#define MOMENTS_MOST 64
#define COUNTS_MOST (64u << 20) /* bytes */
#define FRESH_NS 500000000

struct hp_history {
    struct hp_collector *collector;
    unsigned every_ms;
    struct hp_ticker ticker;
    pthread_mutex_t lock; /* guards `series` */
    struct hp_series series;
};

/* The caller holds the lock. What can't be added is of another program under the same number
 * (exec), or sampled at another interval, which can't be compared with what was before: the series
 * begins anew. */
static int take(struct hp_history *history, struct hp_error *error)
{
    struct hp_profile *profile;
    int status = hp_collector_load(history->collector, HP_COLLECT_NUMBERS, &profile, error);
    if (status)
        return status;
    status = hp_series_add(&history->series, profile, error);
    if (status) {
        hp_series_free(&history->series);
        status = hp_series_add(&history->series, profile, error);
    }
    hp_series_thin(&history->series, MOMENTS_MOST, COUNTS_MOST);
    hp_profile_free(profile);
    return status;
}

static void free_all(struct hp_history *history)
{
    hp_series_free(&history->series);
    pthread_mutex_destroy(&history->lock);
    free(history);
}

static void remember(void *state)
{
    struct hp_history *history = state;
    struct hp_error error;
    pthread_mutex_lock(&history->lock);
    if (!history->series.count || hp_collector_running(history->collector))
        take(history, &error); /* what went wrong is said to whoever asks */
    pthread_mutex_unlock(&history->lock);
}

struct hp_history *hp_history_start(struct hp_collector *collector, unsigned every_ms)
{
    if (!hp_collector_is_process(collector))
        return NULL;
    struct hp_history *history = hp_alloc(1, sizeof *history);
    *history = (struct hp_history){.collector = collector, .every_ms = every_ms};
    pthread_mutex_init(&history->lock, NULL);
    remember(history);
    if (!hp_ticker_start(&history->ticker, every_ms * 1000000ull, remember, history))
        return history;
    free_all(history);
    return NULL;
}

void hp_history_stop(struct hp_history *history)
{
    if (!history)
        return;
    hp_ticker_stop(&history->ticker);
    free_all(history);
}

unsigned hp_history_every_ms(const struct hp_history *history)
{
    return history->every_ms;
}

int hp_history_visit(struct hp_history *history, void (*visit)(void *state, const struct hp_series *series),
                     void *state, struct hp_error *error)
{
    struct timespec now;
    int status = 0;
    pthread_mutex_lock(&history->lock);
    clock_gettime(CLOCK_REALTIME, &now);
    struct hp_series *series = &history->series;
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    int64_t last_ns = series->count ? series->moments[series->count - 1].figures.time_ns : 0;
    bool ended = series->count && !hp_collector_running(history->collector);
    if (!ended && now_ns - last_ns > FRESH_NS)
        status = take(history, error);
    if (series->count)
        status = 0;
    if (!status) {
        hp_collector_symbolize(history->collector, series->stacks);
        visit(state, series);
    }
    pthread_mutex_unlock(&history->lock);
    return status;
}
