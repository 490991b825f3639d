#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/arguments.h"
#include "cli/output.h"
#include "cli/say.h"
#include "reader/reader.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/table.h"
#include "report/core/units.h"

struct arguments {
    bool all, json;
};

struct list {
    struct hp_ledger_info *infos;
    size_t count, capacity;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'a':
        arguments->all = true;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case ARGP_KEY_ARG:
        hp_usage("ps takes no argument, but got '%s'", value);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void add(void *state, const struct hp_ledger_info *info)
{
    struct list *list = state;
    list->infos = hp_grow(list->infos, &list->capacity, list->count + 1, sizeof *info);
    list->infos[list->count++] = *info;
}

/* Running ones first, then the latest. */
static int compare(const void *a, const void *b)
{
    const struct hp_ledger_info *left = a, *right = b;
    if (left->running != right->running)
        return left->running ? -1 : 1;
    return (left->start_time_ns < right->start_time_ns) - (left->start_time_ns > right->start_time_ns);
}

static void format_time(char *text, size_t size, uint64_t time_ns)
{
    time_t seconds = (time_t)(time_ns / 1000000000);
    struct tm local;
    if (!localtime_r(&seconds, &local) || !strftime(text, size, "%F %T", &local))
        snprintf(text, size, "?");
}

/* USR2, RTMIN+3: as HEAPPROF_SIGNAL and kill(1) take it. */
static void format_signal(char *text, size_t size, int number)
{
    const char *name = sigabbrev_np(number);
    if (name)
        snprintf(text, size, "%s", name);
    else
        snprintf(text, size, number == SIGRTMIN ? "RTMIN" : "RTMIN%+d", number - SIGRTMIN);
}

static const char *const signal_states[] = {
    [HP_SIGNAL_NONE] = "none",       [HP_SIGNAL_ANSWERED] = "answered", [HP_SIGNAL_TAKEN] = "own handler",
    [HP_SIGNAL_IGNORED] = "ignored", [HP_SIGNAL_DEADLY] = "deadly",     [HP_SIGNAL_BLOCKED] = "blocked",
};

static void write_json(const struct list *list)
{
    json_t *document = json_object(), *rows = json_array();
    for (size_t i = 0; i < list->count; i++) {
        const struct hp_ledger_info *info = &list->infos[i];
        json_t *row = json_object();
        hp_json_set(row, "pid", json_integer(info->pid));
        hp_json_set(row, "running", json_boolean(info->running));
        hp_json_set(row, "program", hp_json_string(info->program));
        hp_json_set(row, "exe", hp_json_string(info->exe));
        hp_json_set(row, "uid", json_integer(info->uid));
        hp_json_set(row, "start", json_integer((json_int_t)(info->start_time_ns / 1000000000)));
        hp_json_set(row, "interval", json_integer((json_int_t)info->interval));
        hp_json_set(row, "live", json_integer((json_int_t)info->live_estimate));
        hp_json_set(row, "inuse", json_integer((json_int_t)info->inuse));
        hp_json_set(row, "samples", json_integer((json_int_t)info->samples));
        char signal[16];
        format_signal(signal, sizeof signal, info->signal);
        hp_json_set(row, "signal", info->signal ? hp_json_string(signal) : json_null());
        hp_json_set(row, "signal_state", hp_json_string(signal_states[info->signal_state]));
        hp_json_set(row, "lost", json_integer((json_int_t)info->lost));
        hp_json_set(row, "ledger", hp_json_string(info->path));
        hp_json_set(row, "ledger_bytes", json_integer((json_int_t)info->reserved));
        json_array_append_new(rows, row);
    }
    hp_json_set(document, "targets", rows);
    hp_json_write(stdout, document);
}

static void number_cell(struct hp_table *table, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    hp_table_cell(table, HP_PLAIN, text);
}

static void write_table(const struct list *list, bool all)
{
    static const struct hp_column columns[] = {{"PID", 0},    {"state", 0},  {"start", 3},   {"interval", 4},
                                               {"live", 0},   {"inuse", 0},  {"samples", 2}, {"lost", 1},
                                               {"signal", 0}, {"program", 0}};
    struct hp_table *table = hp_table_new(columns, sizeof columns / sizeof columns[0]);
    const struct hp_look look = {0};
    for (size_t i = 0; i < list->count; i++) {
        const struct hp_ledger_info *info = &list->infos[i];
        char text[64];
        number_cell(table, (uint64_t)info->pid);
        hp_table_cell(table, HP_PLAIN, info->running ? "running" : "dead");
        format_time(text, sizeof text, info->start_time_ns);
        hp_table_cell(table, HP_PLAIN, text);
        hp_table_cell(table, HP_PLAIN, info->interval ? hp_figure(text, (double)info->interval, true) : "off");
        hp_table_cell(table, HP_PLAIN, hp_figure(text, (double)info->live_estimate, true));
        hp_table_cell(table, HP_PLAIN, hp_figure(text, (double)info->inuse, true));
        number_cell(table, info->samples);
        number_cell(table, info->lost);
        format_signal(text, sizeof text, info->signal);
        hp_table_cell(table, HP_PLAIN,
                      info->signal_state == HP_SIGNAL_ANSWERED ? text : signal_states[info->signal_state]);
        char *user = all ? hp_print("(uid %u)", info->uid) : hp_strdup("");
        hp_table_last(table, HP_PLAIN, info->program, user);
        free(user);
    }
    hp_table_write(table, stdout, &look);
    hp_table_free(table);
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {{"all", 'a', NULL, 0, NULL, 0}, {"json", 'j', NULL, 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = options, .parser = parse_option};
    struct arguments arguments = {0};
    struct list list = {0};
    hp_arguments_parse(&hp_verb_ps, &argp, 0, argc, argv, &arguments);
    int damaged = hp_ledger_each(arguments.all, add, &list);
    if (list.count)
        qsort(list.infos, list.count, sizeof *list.infos, compare);
    if (arguments.json)
        write_json(&list);
    else if (list.count)
        write_table(&list, arguments.all);
    else
        puts("no program runs under heapprof, and none left its ledger");
    if (damaged)
        hp_note("%d files are no ledgers of this version, or damaged", damaged);
    free(list.infos);
    return hp_output_flush();
}

const struct hp_verb hp_verb_ps = {
    "ps",
    "[--all] [--json]",
    "The programs that run under heapprof, and those that died with their ledger left",
    hp_help_ps,
    run,
};
