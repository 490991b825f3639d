/* access.h - who may ask a server. */
#ifndef HP_SERVE_ACCESS_H
#define HP_SERVE_ACCESS_H

#include <stdbool.h>

struct MHD_Connection;

/* The token comes as `Authorization: Bearer TOKEN`, as the password of `Basic` (http://any:TOKEN@host/), or as
 * ?token=TOKEN. Takes the same time whichever letter is wrong. */
bool hp_access_by_token(struct MHD_Connection *connection, const char *token);

/* The request names the server by an address or as localhost: a page from elsewhere that had its own name point at this
 * machine does not. */
bool hp_access_by_host(struct MHD_Connection *connection);

/* False if a browser says that a page of another site asks, with which it also sends what it knows of tokens. `get`: not
 * a POST: then a link there may be followed, as its page does not get to see what comes. */
bool hp_access_by_origin(struct MHD_Connection *connection, bool get);

#endif
