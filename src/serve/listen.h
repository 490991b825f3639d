/* listen.h - the socket of a server, from what --http says. */
#ifndef HP_SERVE_LISTEN_H
#define HP_SERVE_LISTEN_H

#include <stdbool.h>

#include "profile/profile.h"

struct hp_listener {
    int fd;
    char url[300];  /* "http://127.0.0.1:6060", or "unix:PATH" */
    char path[108]; /* of a unix socket; "" otherwise */
};

/* "ADDR:PORT", "[ADDR]:PORT", ":PORT" or "PORT" (127.0.0.1), or "unix:PATH" (mode 0600). Port 0: a free one. Without
 * `token`, an address that others than this machine can reach is refused with -EACCES. */
int hp_listen(const char *where, bool token, struct hp_listener *listener, struct hp_error *error);
/* Closes it, if `fd` is not -1, and removes a unix socket's file. */
void hp_listener_close(struct hp_listener *listener);

#endif
