#include "serve/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "report/core/memory.h"
#include "serve/access.h"
#include "serve/answer.h"

#define CONNECTIONS_MOST 2000
#define IDLE_SECONDS 60 /* without a byte moved */
#define SECONDS_MOST 3600
#define QUESTION_MOST (1u << 20) /* bytes of a POST */
#define THREAD_STACK (1u << 20)

enum kind { PAGE, PAGE_DATA, INDEX, HEAP, HEAP_TEXT, ALLOCS, COMMAND, METRICS, KINDS };

/* The last answer of a kind. */
struct shared {
    pthread_mutex_t lock;          /* guards all, and is held while one is made */
    struct MHD_Response *response; /* NULL: none yet */
    unsigned status;
    uint64_t begun_ns; /* CLOCK_MONOTONIC */
};

struct hp_server {
    struct hp_collector *collector;
    struct hp_history *history;
    const char *token;
    struct hp_listener listener;
    struct MHD_Daemon *daemon;
    struct shared shared[KINDS];
    int stopping;
};

struct request {
    char *target; /* as it was sent: path and question */
    bool seen;    /* its headers */
    bool too_long;
    char *posted;
    size_t size, capacity;
    uint64_t arrived_ns;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------ answers */

/* Takes the answer's body. */
static struct MHD_Response *make_response(struct hp_answer *answer)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(answer->size, answer->body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(answer->body);
        return NULL;
    }
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Frame-Options", "DENY");
    MHD_add_response_header(response, "Content-Security-Policy", "frame-ancestors 'none'");
    MHD_add_response_header(response, "Content-Type", answer->type);
    if (answer->failed)
        MHD_add_response_header(response, "X-Go-Pprof", "1");
    if (answer->file_name) {
        char *disposition = hp_print("attachment; filename=\"%s\"", answer->file_name);
        MHD_add_response_header(response, "Content-Disposition", disposition);
        free(disposition);
    }
    if (answer->more && answer->status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", answer->more);
    else if (answer->more)
        MHD_add_response_header(response, answer->status == 405 ? "Allow" : "Location", answer->more);
    return response;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct hp_answer *answer)
{
    struct MHD_Response *response = make_response(answer);
    if (!response)
        return MHD_NO;
    enum MHD_Result result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static void make_answer(const struct hp_server *server, enum kind kind, struct hp_answer *answer)
{
    static hp_answer_fn *const makers[KINDS] = {
        [INDEX] = hp_answer_index,   [HEAP] = hp_answer_heap,       [HEAP_TEXT] = hp_answer_heap_text,
        [ALLOCS] = hp_answer_allocs, [COMMAND] = hp_answer_command, [METRICS] = hp_answer_metrics};
    if (kind == PAGE)
        hp_answer_page(server->collector, server->history, answer);
    else if (kind == PAGE_DATA)
        hp_answer_page_data(server->collector, server->history, answer);
    else
        makers[kind](server->collector, answer);
}

/* The answer that is being made for others may be too old for this request; the next one is not. */
static enum MHD_Result send_shared(struct hp_server *server, enum kind kind, struct MHD_Connection *connection,
                                   const struct request *request)
{
    struct shared *shared = &server->shared[kind];
    enum MHD_Result result = MHD_NO;
    pthread_mutex_lock(&shared->lock);
    if (!shared->response || shared->begun_ns < request->arrived_ns) {
        struct hp_answer answer = {0};
        shared->begun_ns = now_ns();
        make_answer(server, kind, &answer);
        if (shared->response)
            MHD_destroy_response(shared->response);
        shared->response = make_response(&answer);
        shared->status = answer.status;
    }
    if (shared->response)
        result = MHD_queue_response(connection, shared->status, shared->response);
    pthread_mutex_unlock(&shared->lock);
    return result;
}

static enum MHD_Result send_failure(struct MHD_Connection *connection, unsigned status, const char *text,
                                    const char *more)
{
    struct hp_answer answer = {0};
    hp_answer_fail(&answer, status, "%s", text);
    answer.failed = status == 400 || status >= 500; /* the others are not from Go's pprof, but from around it */
    answer.more = more;
    return send_answer(connection, &answer);
}

/* ------------------------------------------------------------------ what changes within N seconds */

/* False if the client went away, or the server stops. */
static bool wait_seconds(const struct hp_server *server, struct MHD_Connection *connection, unsigned seconds)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd client = {.fd = info ? info->connect_fd : -1, .events = POLLRDHUP};
    uint64_t end = now_ns() + seconds * 1000000000ull;
    for (uint64_t now; (now = now_ns()) < end;) {
        uint64_t left_ms = (end - now) / 1000000 + 1;
        if (poll(&client, 1, left_ms < 200 ? (int)left_ms : 200) > 0 ||
            __atomic_load_n(&server->stopping, __ATOMIC_RELAXED))
            return false;
    }
    return true;
}

static enum MHD_Result send_delta(struct hp_server *server, struct MHD_Connection *connection, bool allocs,
                                  unsigned seconds)
{
    struct hp_answer answer = {0};
    struct hp_error error = {""};
    struct hp_profile *before, *after;
    if (hp_collector_load(server->collector, HP_COLLECT_SYMBOLS, &before, &error))
        return send_failure(connection, 503, error.text, NULL);
    /* Meanwhile no byte moves. */
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds + IDLE_SECONDS);
    bool waited = wait_seconds(server, connection, seconds);
    if (!waited || hp_collector_load(server->collector, HP_COLLECT_SYMBOLS, &after, &error)) {
        hp_profile_free(before);
        return waited ? send_failure(connection, 503, error.text, NULL) : MHD_NO;
    }
    hp_answer_delta(before, after, allocs, &answer);
    return send_answer(connection, &answer);
}

/* A whole number as Go's Atoi takes it; false if it is none. */
static bool parse_number(const char *text, long *number)
{
    char *end;
    if (!text || !(strchr("+-", *text) || (*text >= '0' && *text <= '9')))
        return false;
    errno = 0;
    *number = strtol(text, &end, 10);
    return !errno && end != text && !*end;
}

static const char *question(struct MHD_Connection *connection, const char *name)
{
    const char *value = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
    return value && *value ? value : NULL;
}

static enum MHD_Result send_profile(struct hp_server *server, struct MHD_Connection *connection,
                                    const struct request *request, bool allocs)
{
    long debug = 0, seconds;
    const char *within = question(connection, "seconds");
    if (!parse_number(question(connection, "debug"), &debug))
        debug = 0;
    if (!within)
        return send_shared(server, debug ? HEAP_TEXT : allocs ? ALLOCS : HEAP, connection, request);
    if (!parse_number(within, &seconds) || seconds <= 0)
        return send_failure(connection, 400, "invalid value for \"seconds\" - must be a positive integer", NULL);
    if (seconds > SECONDS_MOST)
        return send_failure(connection, 400, "profile duration exceeds server's WriteTimeout", NULL);
    if (debug)
        return send_failure(connection, 400, "seconds and debug params are incompatible", NULL);
    return send_delta(server, connection, allocs, (unsigned)seconds);
}

static enum MHD_Result send_symbol(struct hp_server *server, struct MHD_Connection *connection,
                                   const struct request *request, bool post)
{
    struct hp_answer answer = {0};
    const char *after = strchr(request->target, '?');
    const char *asked = post ? request->posted : after ? after + 1 : NULL;
    hp_answer_symbol(server->collector, asked ? asked : "", &answer);
    return send_answer(connection, &answer);
}

/* ------------------------------------------------------------------ requests */

static enum MHD_Result route(struct hp_server *server, struct MHD_Connection *connection, const struct request *request,
                             const char *path, bool post)
{
    static const struct {
        const char *path;
        enum kind kind;
    } plain[] = {{"/", PAGE},
                 {"/page.json", PAGE_DATA},
                 {"/debug/pprof/", INDEX},
                 {"/debug/pprof/cmdline", COMMAND},
                 {"/metrics", METRICS}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!strcmp(path, plain[i].path))
            return send_shared(server, plain[i].kind, connection, request);
    if (!strcmp(path, "/debug/pprof/heap"))
        return send_profile(server, connection, request, false);
    if (!strcmp(path, "/debug/pprof/allocs"))
        return send_profile(server, connection, request, true);
    if (!strcmp(path, "/debug/pprof/symbol"))
        return send_symbol(server, connection, request, post);
    if (!strcmp(path, "/debug/pprof"))
        return send_failure(connection, 301, "Moved Permanently", "/debug/pprof/");
    if (!strncmp(path, "/debug/pprof/", 13)) {
        struct hp_answer answer = {0};
        hp_answer_fail(&answer, 404, "Unknown profile");
        return send_answer(connection, &answer);
    }
    return send_failure(connection, 404, "404 page not found", NULL);
}

static enum MHD_Result take_posted(struct request *request, const char *data, size_t *size)
{
    if (request->size + *size > QUESTION_MOST) {
        request->too_long = true;
    } else {
        request->posted = hp_grow(request->posted, &request->capacity, request->size + *size + 1, 1);
        memcpy(request->posted + request->size, data, *size);
        request->size += *size;
        request->posted[request->size] = '\0';
    }
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result handle(void *state, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *data, size_t *size, void **own)
{
    struct hp_server *server = state;
    struct request *request = *own;
    if (!request)
        return MHD_NO;
    if (!request->seen) {
        request->seen = true;
        return MHD_YES;
    }
    if (*size)
        return take_posted(request, data, size);
    request->arrived_ns = now_ns();
    bool post = !strcmp(method, "POST");
    if (!post && strcmp(method, "GET") && strcmp(method, "HEAD"))
        return send_failure(connection, 405, "Method Not Allowed", "GET, HEAD, POST");
    if (strstr(request->target, "%00")) /* would end the path here, not there */
        return send_failure(connection, 400, "Bad Request", NULL);
    if (request->too_long)
        return send_failure(connection, 413, "Request Entity Too Large", NULL);
    if (server->token && !hp_access_by_token(connection, server->token))
        return send_failure(connection, 401, "Unauthorized", "Basic realm=\"heapprof\"");
    if (!server->token && !*server->listener.path && !hp_access_by_host(connection))
        return send_failure(connection, 403, "Forbidden: not under this name; use its address, or a token", NULL);
    if (!hp_access_by_origin(connection, !post))
        return send_failure(connection, 403, "Forbidden: not for pages of other sites", NULL);
    return route(server, connection, request, path, post);
}

static void *begin_request(void *state, const char *target, struct MHD_Connection *connection)
{
    struct request *request = hp_alloc(1, sizeof *request);
    request->target = hp_strdup(target);
    return request;
}

static void end_request(void *state, struct MHD_Connection *connection, void **own,
                        enum MHD_RequestTerminationCode reason)
{
    struct request *request = *own;
    if (!request)
        return;
    free(request->target);
    free(request->posted);
    free(request);
    *own = NULL;
}

/* ------------------------------------------------------------------ life */

/* What is said here of a client's mistakes is nobody's concern. */
static void say_nothing(void *state, const char *format, va_list arguments) {}

/* The server's threads leave signals to the program, but for those that a cut file raises in the reader of ledgers. */
static struct MHD_Daemon *start_daemon(struct hp_server *server)
{
    sigset_t most, mask;
    sigfillset(&most);
    sigdelset(&most, SIGBUS);
    sigdelset(&most, SIGSEGV);
    sigdelset(&most, SIGFPE);
    sigdelset(&most, SIGILL);
    pthread_sigmask(SIG_SETMASK, &most, &mask);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ERROR_LOG | MHD_USE_ITC, 0, NULL, NULL,
        handle, server, MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL, MHD_OPTION_LISTEN_SOCKET, server->listener.fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MOST, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK, MHD_OPTION_URI_LOG_CALLBACK, begin_request, server,
        MHD_OPTION_NOTIFY_COMPLETED, end_request, server, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return daemon;
}

static void allow_descriptors(void)
{
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int hp_server_start(const struct hp_server_options *options, struct hp_server **result, struct hp_error *error)
{
    struct hp_server *server = hp_alloc(1, sizeof *server);
    server->listener = *options->listener;
    server->collector = options->collector;
    server->history = options->history;
    server->token = options->token;
    for (size_t i = 0; i < KINDS; i++)
        pthread_mutex_init(&server->shared[i].lock, NULL);
    allow_descriptors();
    server->daemon = start_daemon(server);
    if (!server->daemon) {
        int status = hp_error_set(error, -EAGAIN, "%s: the server can't be started", server->listener.url);
        hp_listener_close(&server->listener);
        free(server);
        return status;
    }
    *result = server;
    return 0;
}

const char *hp_server_url(const struct hp_server *server)
{
    return server->listener.url;
}

void hp_server_stop(struct hp_server *server)
{
    __atomic_store_n(&server->stopping, 1, __ATOMIC_RELAXED);
    MHD_stop_daemon(server->daemon); /* closes the socket */
    server->listener.fd = -1;
    hp_listener_close(&server->listener);
    for (size_t i = 0; i < KINDS; i++) {
        if (server->shared[i].response)
            MHD_destroy_response(server->shared[i].response);
        pthread_mutex_destroy(&server->shared[i].lock);
    }
    free(server);
}
