#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/arguments.h"
#include "cli/run/series_recorder.h"
#include "cli/run/preload_path.h"
#include "cli/run/target_process.h"
#include "cli/run/run_report.h"
#include "cli/say.h"
#include "cli/serving.h"
#include "cli/run/target_check.h"
#include "cli/values.h"
#include "ledger/ledger.h"
#include "report/core/memory.h"

#define KEY_ALLOCATOR 0x3001
#define KEY_EVERY 0x3002
#define KEY_AT_EXIT 0x3003
#define KEY_HTTP 0x3004
#define KEY_TOKEN 0x3005

#define DEFAULT_PATTERN "heapprof.%e.%p.%n.heap"

struct arguments {
    bool quiet, at_exit;
    const char *interval, *pattern, *allocator;
    uint64_t every_ns; /* 0: no series */
    struct hp_serving serving;
    char **command; /* ends with NULL; NULL: none given */
};

/* In the folder in which the library will read it. */
static void check_pattern(const char *value)
{
    char directory[HP_PATH_MAX], pattern[HP_PATH_MAX];
    if (!getcwd(directory, sizeof directory))
        *directory = '\0';
    if (!hp_parse_pattern(value, directory, pattern, sizeof pattern))
        hp_usage("-o: '%.200s' is no pattern of at most %d bytes: %s", value, HP_PATH_MAX - 1, HP_PATTERN_FORM);
}

/* No dump could be written, which would be found out at the end. Names of folders that the
 * pattern leaves open are not known yet. */
static int check_folder(const char *pattern)
{
    const char *slash = strrchr(pattern, '/');
    int length = slash ? (int)(slash - pattern) : 0;
    if (!slash || memchr(pattern, '%', (size_t)length))
        return HP_DONE;
    char *folder = length ? hp_print("%.*s", length, pattern) : hp_strdup("/");
    int status = access(folder, W_OK | X_OK) ? hp_fail("-o: %s: %s", folder, strerror(errno)) : HP_DONE;
    free(folder);
    return status;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'q':
        arguments->quiet = true;
        return 0;
    case 'i':
        hp_size_value("-i", value); /* the library gets it as it was written, and takes it for the same */
        arguments->interval = value;
        return 0;
    case 'o':
        check_pattern(value);
        arguments->pattern = value;
        return 0;
    case KEY_ALLOCATOR:
        arguments->allocator = value;
        return 0;
    case KEY_EVERY:
        arguments->every_ns = hp_duration_value("--every", value, "100ms", HP_DURATION_MOST_TEXT);
        return 0;
    case KEY_AT_EXIT:
        arguments->at_exit = true;
        return 0;
    case KEY_HTTP:
        arguments->serving.where = value;
        return 0;
    case KEY_TOKEN:
        hp_serving_token(&arguments->serving, value);
        return 0;
    case ARGP_KEY_ARGS:
        arguments->command = state->argv + state->next;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *set(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* Nobody asked for files: the dump at the end only feeds the report. */
static bool wants_files(const struct arguments *arguments)
{
    const char *at_exit = set("HEAPPROF_AT_EXIT");
    return arguments->pattern || arguments->every_ns || arguments->at_exit || set("HEAPPROF_OUTPUT") ||
           set("HEAPPROF_EVERY") || set("HEAPPROF_GROWTH") || (at_exit && strcmp(at_exit, "0"));
}

static int make_folder(char **folder)
{
    const char *parent = set("TMPDIR") ? set("TMPDIR") : "/tmp";
    *folder = hp_print("%s/heapprof-run.XXXXXX", parent);
    if (mkdtemp(*folder))
        return HP_DONE;
    int status = hp_fail("%s: %s", *folder, strerror(errno));
    free(*folder);
    *folder = NULL;
    return status;
}

static char *pattern_in(const char *folder)
{
    size_t room = 2 * strlen(folder) + sizeof DEFAULT_PATTERN + 1;
    char *pattern = hp_alloc(room, 1);
    hp_parse_pattern(DEFAULT_PATTERN, folder, pattern, room);
    return pattern;
}

/* Sets LD_PRELOAD. */
static int preload(const struct arguments *arguments)
{
    struct hp_error error = {""};
    char *library = NULL, *allocator = NULL, *value = NULL;
    int status = hp_library_find(&library, &error);
    if (!status && arguments->allocator)
        status = hp_allocator_find(arguments->allocator, &allocator, &error);
    if (!status)
        status = hp_preload_value(library, allocator, getenv("LD_PRELOAD"), &value, &error);
    if (!status)
        setenv("LD_PRELOAD", value, 1);
    free(library);
    free(allocator);
    free(value);
    return status ? hp_fail("%s", error.text) : HP_DONE;
}

static void set_options(const struct arguments *arguments, const char *pattern, bool at_exit)
{
    if (arguments->interval)
        setenv("HEAPPROF_INTERVAL", arguments->interval, 1);
    if (pattern)
        setenv("HEAPPROF_OUTPUT", pattern, 1);
    if (at_exit)
        setenv("HEAPPROF_AT_EXIT", "1", 1);
}

static int exit_status(int wait_status, bool quiet)
{
    if (WIFEXITED(wait_status))
        return WEXITSTATUS(wait_status);
    int number = WTERMSIG(wait_status);
    if (!quiet)
        hp_fail("the target was ended by signal %d (%s%s)", number, strsignal(number),
                WCOREDUMP(wait_status) ? ", core dumped" : "");
    return 128 + number;
}

struct started {
    struct arguments *arguments;
    const char *pattern;
    struct hp_series_recorder *recorder; /* NULL: no series */
    char number[16];
    char *targets[1];
};

/* The target runs on when this fails, as it does without its profiler. */
static void watch_target(void *state, pid_t pid)
{
    struct started *started = state;
    struct hp_serving *serving = &started->arguments->serving;
    snprintf(started->number, sizeof started->number, "%d", (int)pid);
    started->targets[0] = started->number;
    if (started->arguments->every_ns < 3600000000000)
        serving->every_ms = (unsigned)(started->arguments->every_ns / 1000000);
    if (hp_serving_begin(serving, started->targets, 1, NULL) == HP_DONE && serving->server &&
        !started->arguments->quiet)
        hp_note("serving %s/", hp_server_url(serving->server));
    if (started->arguments->every_ns)
        started->recorder = hp_series_recorder_start(pid, started->arguments->every_ns, started->pattern);
}

static int run_and_report(struct arguments *arguments, char *folder)
{
    struct hp_error error = {""};
    char *private_pattern = folder ? pattern_in(folder) : NULL;
    const char *pattern = folder ? private_pattern : arguments->pattern;
    bool at_exit = folder || arguments->at_exit || arguments->every_ns || (!arguments->quiet && wants_files(arguments));
    set_options(arguments, pattern, at_exit);
    if (!pattern)
        pattern = set("HEAPPROF_OUTPUT") ? set("HEAPPROF_OUTPUT") : DEFAULT_PATTERN;
    struct hp_run_dumps dumps = {.pattern = pattern, .folder = folder};
    clock_gettime(CLOCK_REALTIME_COARSE, &dumps.started); /* the clock of file times */
    int wait_status = 0, status;
    struct started started = {.arguments = arguments, .pattern = pattern};
    if (hp_run_target(arguments->command, watch_target, &started, &dumps.pid, &wait_status, &error)) {
        status = hp_fail("%s", error.text);
    } else {
        status = exit_status(wait_status, arguments->quiet);
        dumps.killed = WIFSIGNALED(wait_status);
        if (started.recorder)
            hp_series_recorder_stop(started.recorder, dumps.killed);
        dumps.recorder = started.recorder;
        dumps.wanted = at_exit && !folder && !started.recorder; /* whose last moment is that */
        hp_run_keep(&dumps);
        if (!arguments->quiet)
            hp_run_report(&dumps);
        hp_run_convert(&dumps);
    }
    hp_serving_end(&arguments->serving);
    hp_run_clear(&dumps, arguments->quiet);
    hp_series_recorder_free(started.recorder);
    free(private_pattern);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"quiet", 'q', NULL, 0, NULL, 0},
        {"interval", 'i', "SIZE", 0, NULL, 0},
        {"output", 'o', "PATTERN", 0, NULL, 0},
        {"allocator", KEY_ALLOCATOR, "NAME", 0, NULL, 0},
        {"every", KEY_EVERY, "DURATION", 0, NULL, 0},
        {"at-exit", KEY_AT_EXIT, NULL, 0, NULL, 0},
        {"http", KEY_HTTP, "ADDR:PORT", 0, NULL, 0},
        {"token", KEY_TOKEN, "TOKEN", 0, NULL, 0},
        {0},
    };
    static const struct argp argp = {.options = options, .parser = parse_option};
    struct arguments arguments = {.serving = HP_SERVING(NULL)};
    hp_arguments_parse(&hp_verb_run, &argp, ARGP_IN_ORDER, argc, argv, &arguments);
    if (!arguments.command || !*arguments.command)
        hp_usage("run needs a command");
    struct hp_error error = {""};
    if (hp_target_check(arguments.command[0], &error))
        return hp_fail("%s", error.text);
    if (arguments.pattern && check_folder(arguments.pattern) != HP_DONE)
        return HP_FAILED;
    if (preload(&arguments) != HP_DONE || hp_serving_listen(&arguments.serving) != HP_DONE)
        return HP_FAILED;
    char *folder = NULL;
    if (!arguments.quiet && !wants_files(&arguments) && make_folder(&folder) != HP_DONE)
        return HP_FAILED;
    int status = run_and_report(&arguments, folder);
    free(folder);
    return status;
}

const struct hp_verb hp_verb_run = {
    "run",
    "[OPTION...] [--] COMMAND [ARGUMENT...]",
    "Run a program with the profiler, and report what it holds at its end",
    hp_help_run,
    run,
};
