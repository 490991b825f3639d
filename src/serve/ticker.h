/* ticker.h - a thread that does something again and again, until it is told to stop. */
#ifndef HP_SERVE_TICKER_H
#define HP_SERVE_TICKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct hp_ticker {
    void (*tick)(void *state);
    void *state;
    uint64_t every_ns;
    pthread_t thread;
    pthread_mutex_t lock; /* guards `stopping` */
    pthread_cond_t woken;
    bool stopping;
};

/* Calls tick(state) each `every_ns`, the first time after as long, at times that do not drift; those that come while
 * one is under way are left out. Its thread handles no signal but SIGBUS, which a cut file raises in the reader of
 * ledgers. 0, or -errno if no thread can be had. `ticker` must stay where it is until it is stopped. */
int hp_ticker_start(struct hp_ticker *ticker, uint64_t every_ns, void (*tick)(void *state), void *state);
/* Waits for the tick that is under way; none comes after. Not from inside a tick. */
void hp_ticker_stop(struct hp_ticker *ticker);

#endif
