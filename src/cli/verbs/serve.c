#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/load.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/serving.h"
#include "cli/values.h"

#define KEY_HTTP 0x3001
#define KEY_TOKEN 0x3002
#define KEY_SYMBOLS 0x3003
#define KEY_EVERY 0x3004
#define KEY_SOURCE 0x3005

struct arguments {
    struct hp_serving serving;
    struct hp_sources sources;
    char **targets;
    size_t count;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case KEY_EVERY:
        arguments->serving.every_ms = (unsigned)(hp_duration_value("--every", value, "100ms", "1h") / 1000000);
        return 0;
    case KEY_HTTP:
        arguments->serving.where = value;
        return 0;
    case KEY_TOKEN:
        hp_serving_token(&arguments->serving, value);
        return 0;
    case KEY_SYMBOLS:
        hp_sources_add(&arguments->sources.symbols, value);
        return 0;
    case KEY_SOURCE:
        hp_sources_add(&arguments->sources.source, value);
        return 0;
    case ARGP_KEY_ARGS:
        arguments->targets = state->argv + state->next;
        arguments->count = (size_t)(state->argc - state->next);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* A target that can't be read now is a mistake of whoever typed this; later it is the answer to a request. */
static int check(struct hp_collector *collector)
{
    struct hp_error error = {""};
    struct hp_profile *profile;
    if (hp_collector_load(collector, HP_COLLECT_NUMBERS, &profile, &error))
        return hp_fail("%s", error.text);
    hp_profile_free(profile);
    return HP_DONE;
}

static int serve(struct arguments *arguments)
{
    sigset_t ends;
    int number;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    int status = hp_serving_listen(&arguments->serving);
    if (status == HP_DONE)
        status = hp_serving_begin(&arguments->serving, arguments->targets, arguments->count, &arguments->sources);
    if (status == HP_DONE)
        status = check(arguments->serving.collector);
    if (status == HP_DONE) {
        printf("%s/\n", hp_server_url(arguments->serving.server));
        status = hp_output_flush();
    }
    if (status == HP_DONE)
        sigwait(&ends, &number);
    hp_serving_end(&arguments->serving);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"http", KEY_HTTP, "ADDR:PORT", 0, NULL, 0},  {"token", KEY_TOKEN, "TOKEN", 0, NULL, 0},
        {"symbols", KEY_SYMBOLS, "DIR", 0, NULL, 0},  {"source", KEY_SOURCE, "DIR", 0, NULL, 0},
        {"every", KEY_EVERY, "DURATION", 0, NULL, 0}, {0},
    };
    static const struct argp argp = {.options = options, .parser = parse_option};
    struct arguments arguments = {.serving = HP_SERVING(HP_SERVING_WHERE)};
    hp_arguments_parse(&hp_verb_serve, &argp, 0, argc, argv, &arguments);
    if (!arguments.count)
        hp_usage("serve needs a PID or FILE");
    int status = serve(&arguments);
    hp_sources_free(&arguments.sources);
    return status;
}

const struct hp_verb hp_verb_serve = {
    "serve",
    "[--http=ADDR:PORT] PID|FILE...",
    "The profile over HTTP, at the addresses where Go programs have theirs, and metrics for Prometheus",
    hp_help_serve,
    run,
};
