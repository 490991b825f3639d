#include "serve/history.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "report/memory.h"

#define MOMENTS_MOST 64
#define COUNTS_MOST (64u << 20) /* bytes */
#define FRESH_NS 500000000

struct hp_history {
    struct hp_feed *feed;
    unsigned every_ms;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t woken;
    bool stopping;
    struct hp_series series;
};

/* The caller holds the lock. What can't be added is of another program under the same number
 * (exec), or sampled at another interval, which can't be compared with what was before: the series
 * begins anew. */
static int take(struct hp_history *history, struct hp_error *error)
{
    struct hp_profile *profile;
    int status = hp_feed_load(history->feed, HP_FEED_NUMBERS, &profile, error);
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

static void *remember(void *state)
{
    struct hp_history *history = state;
    struct timespec due;
    struct hp_error error;
    pthread_mutex_lock(&history->lock);
    while (!history->stopping) {
        if (!history->series.count || hp_feed_running(history->feed))
            take(history, &error); /* what went wrong is said to whoever asks */
        clock_gettime(CLOCK_MONOTONIC, &due);
        due.tv_sec += history->every_ms / 1000;
        due.tv_nsec += history->every_ms % 1000 * 1000000;
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        while (!history->stopping &&
               pthread_cond_timedwait(&history->woken, &history->lock, &due) != ETIMEDOUT)
            continue;
    }
    pthread_mutex_unlock(&history->lock);
    return NULL;
}

struct hp_history *hp_history_start(struct hp_feed *feed, unsigned every_ms)
{
    if (!hp_feed_is_process(feed))
        return NULL;
    struct hp_history *history = hp_alloc(1, sizeof *history);
    *history = (struct hp_history){.feed = feed, .every_ms = every_ms};
    pthread_condattr_t monotonic;
    sigset_t most, mask;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&history->woken, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&history->lock, NULL);
    sigfillset(&most);
    sigdelset(&most, SIGBUS); /* raised by a cut file in the reader of ledgers */
    pthread_sigmask(SIG_SETMASK, &most, &mask);
    int status = pthread_create(&history->thread, NULL, remember, history);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (!status)
        return history;
    free(history);
    return NULL;
}

void hp_history_stop(struct hp_history *history)
{
    if (!history)
        return;
    pthread_mutex_lock(&history->lock);
    history->stopping = true;
    pthread_cond_signal(&history->woken);
    pthread_mutex_unlock(&history->lock);
    pthread_join(history->thread, NULL);
    hp_series_free(&history->series);
    pthread_cond_destroy(&history->woken);
    pthread_mutex_destroy(&history->lock);
    free(history);
}

unsigned hp_history_every_ms(const struct hp_history *history)
{
    return history->every_ms;
}

int hp_history_visit(struct hp_history *history,
                     void (*visit)(void *state, const struct hp_series *series), void *state,
                     struct hp_error *error)
{
    struct timespec now;
    int status = 0;
    pthread_mutex_lock(&history->lock);
    clock_gettime(CLOCK_REALTIME, &now);
    struct hp_series *series = &history->series;
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    int64_t last_ns = series->count ? series->moments[series->count - 1].figures.time_ns : 0;
    bool ended = series->count && !hp_feed_running(history->feed);
    if (!ended && now_ns - last_ns > FRESH_NS)
        status = take(history, error);
    if (series->count)
        status = 0;
    if (!status) {
        hp_feed_symbolize(history->feed, series->stacks);
        visit(state, series);
    }
    pthread_mutex_unlock(&history->lock);
    return status;
}
