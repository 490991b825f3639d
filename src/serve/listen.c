#include "serve/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

/* A server that was killed leaves its socket behind; one that answers keeps it. */
static bool nobody_there(const struct sockaddr_un *address)
{
    struct stat file;
    if (lstat(address->sun_path, &file) || !S_ISSOCK(file.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return refused;
}

static int listen_unix(const char *path, struct hp_listener *listener, struct hp_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof address.sun_path)
        return hp_error_set(error, -EINVAL, "'%s': a unix socket's path has 1 to %zu letters", path,
                            sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener->fd < 0)
        return hp_error_set(error, -errno, "%s: %s", path, strerror(errno));
    if (nobody_there(&address))
        unlink(path);
    mode_t mask = umask(0177);
    int failed = bind(listener->fd, (struct sockaddr *)&address, sizeof address) ? errno : 0;
    umask(mask);
    if (!failed)
        strcpy(listener->path, path);
    if (!failed && listen(listener->fd, BACKLOG))
        failed = errno;
    if (failed)
        return hp_error_set(error, -failed, "%s: %s", path, strerror(failed));
    snprintf(listener->url, sizeof listener->url, "unix:%s", path);
    return 0;
}

/* The part before the port, without brackets, and the port. */
static int split(const char *where, char host[256], const char **port, struct hp_error *error)
{
    const char *colon = strrchr(where, ':');
    *port = colon ? colon + 1 : where;
    size_t length = colon ? (size_t)(colon - where) : 0;
    if (length >= 2 && where[0] == '[' && where[length - 1] == ']') {
        where++;
        length -= 2;
    } else if (memchr(where, ':', length)) {
        return hp_error_set(error, -EINVAL, "'%s': write an IPv6 address as [ADDR]:PORT", where);
    }
    if (length >= 256 || !**port || (*port)[strspn(*port, "0123456789")] || strlen(*port) > 5 ||
        strtol(*port, NULL, 10) > 65535)
        return hp_error_set(error, -EINVAL, "'%s' is no ADDR:PORT", where);
    snprintf(host, 256, "%.*s", (int)length, where);
    return 0;
}

static void name_it(struct hp_listener *listener)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    char host[256] = "?", port[16] = "?";
    if (!getsockname(listener->fd, (struct sockaddr *)&bound, &size))
        getnameinfo((struct sockaddr *)&bound, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    bool six = bound.ss_family == AF_INET6;
    snprintf(listener->url, sizeof listener->url, "http://%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);
}

static int listen_internet(const char *where, bool token, struct hp_listener *listener, struct hp_error *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    char host[256] = "";
    const char *port;
    const int on = 1;
    int status = split(where, host, &port, error);
    if (status)
        return status;
    int reason = getaddrinfo(*host ? host : "127.0.0.1", port, &hints, &found);
    if (reason)
        return hp_error_set(error, -EINVAL, "%s: %s", where,
                            reason == EAI_SYSTEM ? strerror(errno) : gai_strerror(reason));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!token && !is_loopback(found->ai_addr))
        status = hp_error_set(error, -EACCES, "%s can be reached from other machines: that needs a token", where);
    else if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
             bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, BACKLOG))
        status = hp_error_set(error, -errno, "%s: %s", where, strerror(errno));
    freeaddrinfo(found);
    if (!status) {
        listener->fd = fd;
        name_it(listener);
    } else if (fd >= 0) {
        close(fd);
    }
    return status;
}

int hp_listen(const char *where, bool token, struct hp_listener *listener, struct hp_error *error)
{
    *listener = (struct hp_listener){.fd = -1};
    int status = strncmp(where, "unix:", 5) ? listen_internet(where, token, listener, error)
                                            : listen_unix(where + 5, listener, error);
    if (status)
        hp_listener_close(listener);
    return status;
}

void hp_listener_close(struct hp_listener *listener)
{
    if (listener->fd >= 0)
        close(listener->fd);
    if (*listener->path)
        unlink(listener->path);
    *listener = (struct hp_listener){.fd = -1};
}
