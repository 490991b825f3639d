/* serving.h - a server and its collector, as `serve` and `run --http` have them. */
#ifndef HP_CLI_SERVING_H
#define HP_CLI_SERVING_H

#include "cli/load.h"
#include "serve/server.h"

#define HP_SERVING(address)                                                                                            \
    {                                                                                                                  \
        .where = (address), .listener = {.fd = -1 }                                                                    \
    }
#define HP_SERVING_WHERE "127.0.0.1:6060"

/* Starts as HP_SERVING(where). */
struct hp_serving {
    const char *where; /* NULL: nothing is served, and all functions here do nothing */
    struct hp_listener listener;
    char *token;       /* NULL: none */
    unsigned every_ms; /* between two moments of the page's time line; 0: as usual */
    struct hp_collector *collector;
    struct hp_history *history;
    struct hp_server *server;
    struct hp_source_rules source;
    struct hp_names notes; /* each is said once */
};

/* --token=TOKEN or --token=@FILE. A token that can't be used is a usage error. */
void hp_serving_token(struct hp_serving *serving, const char *value);
/* Takes the address, so that what is wrong with it is known before a target is started. HP_DONE, or HP_FAILED after a
 * line. */
int hp_serving_listen(struct hp_serving *serving);
/* HP_DONE, or HP_FAILED after a line. `targets` outlives the server. */
int hp_serving_begin(struct hp_serving *serving, char *const *targets, size_t count, const struct hp_sources *sources);
/* Also after a failure. */
void hp_serving_end(struct hp_serving *serving);

#endif
