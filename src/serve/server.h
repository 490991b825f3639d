/* server.h - profiles over HTTP, at the addresses where Go programs have theirs.
 *
 *     /                      the page of convert --to=html; of a process live, with its history, for which it asks
 *     /page.json             for more
 *     /debug/pprof/          what there is, for people
 *     /debug/pprof/heap      profile.proto; ?debug=1 text; ?seconds=N what changes within that time
 *     /debug/pprof/allocs    the same, opens with what was ever allocated
 *     /debug/pprof/cmdline, /debug/pprof/symbol
 *     /metrics               OpenMetrics
 *
 * Who may ask: with a token, who knows it; without one, only who can reach a loopback address or a unix socket, and a
 * browser only under the machine's own names, so that no page from elsewhere can make it ask.
 *
 * Each connection has a thread of its own, so a slow reader keeps nobody waiting. What is made for one request is also
 * the answer to all that arrived before it was begun: a thousand requests at once make two profiles, not a thousand.
 */
#ifndef HP_SERVE_SERVER_H
#define HP_SERVE_SERVER_H

#include "serve/collector.h"
#include "serve/history.h"
#include "serve/listen.h"

struct hp_server;

struct hp_server_options {
    const struct hp_listener *listener; /* the server's from now on, also when it can't be started */
    const char *token;                  /* NULL: none needed */
    struct hp_collector *collector;     /* outlives the server */
    struct hp_history *history;         /* as well; NULL: none */
};

int hp_server_start(const struct hp_server_options *options, struct hp_server **server, struct hp_error *error);
/* "http://127.0.0.1:6060"; the server's. */
const char *hp_server_url(const struct hp_server *server);
/* Ends all connections, and returns when their threads are gone. */
void hp_server_stop(struct hp_server *server);

#endif
