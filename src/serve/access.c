#include "serve/access.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

static bool equal(const char *given, const char *token)
{
    size_t length = strlen(token), different = strlen(given) ^ length;
    for (size_t i = 0; i < length && i < strlen(given); i++)
        different |= (unsigned char)(given[i] ^ token[i]);
    return !different;
}

bool hp_access_by_token(struct MHD_Connection *connection, const char *token)
{
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    const char *argument = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "token");
    if (argument && equal(argument, token))
        return true;
    if (header && !strncasecmp(header, "Bearer ", 7))
        return equal(header + 7, token);
    char *password = NULL, *user = MHD_basic_auth_get_username_password(connection, &password);
    bool known = password && equal(password, token);
    if (user)
        MHD_free(user);
    if (password)
        MHD_free(password);
    return known;
}

bool hp_access_by_host(struct MHD_Connection *connection)
{
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    char name[256];
    struct in6_addr address;
    if (!host)
        return true; /* HTTP/1.0, and so no browser */
    const char *end = *host == '[' ? strchr(host, ']') : strchrnul(host, ':');
    host += *host == '[';
    if (!end || end - host >= (long)sizeof name)
        return false;
    memcpy(name, host, (size_t)(end - host));
    name[end - host] = '\0';
    return !strcasecmp(name, "localhost") || inet_pton(AF_INET, name, &address) == 1 ||
           inet_pton(AF_INET6, name, &address) == 1;
}

static bool is_same_site(struct MHD_Connection *connection, const char *origin)
{
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    const char *name = strstr(origin, "://");
    return host && name && !strcasecmp(name + 3, host);
}

bool hp_access_by_origin(struct MHD_Connection *connection, bool get)
{
    const char *origin = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Origin");
    const char *site = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Sec-Fetch-Site");
    const char *use = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Sec-Fetch-Dest");
    if (origin && !is_same_site(connection, origin))
        return false;
    return !site || !strcmp(site, "none") || !strcmp(site, "same-origin") || (get && use && !strcmp(use, "document"));
}
