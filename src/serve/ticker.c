#include "serve/ticker.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *run(void *state)
{
    struct hp_ticker *ticker = state;
    uint64_t due_ns = now_ns();
    pthread_mutex_lock(&ticker->lock);
    while (!ticker->stopping) {
        due_ns += ticker->every_ns;
        uint64_t now = now_ns();
        if (due_ns < now)
            due_ns = now + ticker->every_ns - (now - due_ns) % ticker->every_ns;
        const struct timespec due = {(time_t)(due_ns / 1000000000), (long)(due_ns % 1000000000)};
        while (!ticker->stopping && pthread_cond_timedwait(&ticker->woken, &ticker->lock, &due) != ETIMEDOUT)
            continue;
        if (ticker->stopping)
            break;
        pthread_mutex_unlock(&ticker->lock);
        ticker->tick(ticker->state);
        pthread_mutex_lock(&ticker->lock);
    }
    pthread_mutex_unlock(&ticker->lock);
    return NULL;
}

static void destroy(struct hp_ticker *ticker)
{
    pthread_cond_destroy(&ticker->woken);
    pthread_mutex_destroy(&ticker->lock);
}

int hp_ticker_start(struct hp_ticker *ticker, uint64_t every_ns, void (*tick)(void *state), void *state)
{
    pthread_condattr_t monotonic;
    sigset_t most, mask;
    *ticker = (struct hp_ticker){.tick = tick, .state = state, .every_ns = every_ns};
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&ticker->woken, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&ticker->lock, NULL);
    sigfillset(&most);
    sigdelset(&most, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &most, &mask);
    int status = pthread_create(&ticker->thread, NULL, run, ticker);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (status)
        destroy(ticker);
    return -status;
}

void hp_ticker_stop(struct hp_ticker *ticker)
{
    pthread_mutex_lock(&ticker->lock);
    ticker->stopping = true;
    pthread_cond_signal(&ticker->woken);
    pthread_mutex_unlock(&ticker->lock);
    pthread_join(ticker->thread, NULL);
    destroy(ticker);
}
