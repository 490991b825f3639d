#include "report/core/thread_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/header.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/units.h"

struct thread {
    uint64_t number, tid, threads; /* threads: that a line without a number stands for */
    uint64_t samples;
    double value, error;
    bool ended;
    const char *name; /* "": not known */
};

/* The number after `key`, which has its "=", as a word of its own; 0 if there is none. */
static uint64_t word(const char *words, const char *key)
{
    const char *name = strstr(words, " name=");
    for (const char *at = words; (at = strstr(at, key)) && (!name || at < name); at++)
        if (at > words && at[-1] == ' ')
            return strtoull(at + strlen(key), NULL, 10);
    return 0;
}

static struct thread parse(const char *words, const struct hp_report_options *options)
{
    bool bytes = hp_in_bytes(options);
    const char *name = strstr(words, " name=");
    struct thread thread = {.number = strtoull(words, NULL, 10),
                            .tid = word(words, "tid="),
                            .threads = word(words, "threads="),
                            .samples = word(words, "samples="),
                            .ended = word(words, "ended="),
                            .name = name ? name + strlen(" name=") : ""};
    thread.value = (double)word(words, bytes ? "bytes=" : "objects=");
    thread.error = (double)word(words, bytes ? "bytes_error=" : "objects_error=");
    if (options->raw) {
        thread.value = bytes ? (double)word(words, "sampled_bytes=") : (double)thread.samples;
        thread.error = 0;
    }
    return thread;
}

/* Stacks are not known of threads, so what filters leave over can't be told. */
static bool is_told(const struct hp_report_input *input, const struct hp_report_options *options)
{
    const struct hp_view_options *view = &options->view;
    return !input->before && hp_profile_fact(input->profile, HP_FACT_THREAD) &&
           (options->sample == HP_INUSE_SPACE || options->sample == HP_INUSE_OBJECTS) && !view->focus && !view->ignore;
}

static char *label(const struct thread *thread)
{
    if (!thread->number)
        return thread->threads ? hp_print("%" PRIu64 " more threads", thread->threads) : hp_strdup("more threads");
    if (*thread->name)
        return hp_strdup(thread->name);
    return hp_print(thread->ended ? "thread %" PRIu64 " (ended)" : "thread %" PRIu64, thread->number);
}

static void add_row(struct hp_table *table, const struct thread *thread, double total, bool exact,
                    const struct hp_report_options *options)
{
    char figure[HP_FIGURE];
    bool bytes = hp_in_bytes(options);
    enum hp_style style = thread->value >= 0.1 * total && total > 0 ? HP_BOLD : HP_PLAIN;
    hp_table_cell(table, style, hp_figure(figure, thread->value, bytes));
    if (!exact)
        hp_table_cell(table, HP_DIM, hp_figure(figure, thread->error, bytes));
    hp_table_cell(table, style, hp_percent(figure, thread->value, total));
    snprintf(figure, sizeof figure, "%" PRIu64, thread->samples);
    hp_table_cell(table, HP_PLAIN, figure);
    snprintf(figure, sizeof figure, "%" PRIu64, thread->tid);
    hp_table_cell(table, HP_PLAIN, thread->tid ? figure : "-");
    char *name = label(thread);
    hp_table_last(table, style, name, "");
    free(name);
}

void hp_threads_write_text(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options)
{
    const struct hp_profile *profile = input->profile;
    bool exact = hp_header_exact(input, options);
    const struct hp_column columns[] = {{"flat", 0},    {"±", 0},   {"flat%", 0},
                                        {"samples", 0}, {"tid", 0}, {"thread that allocated", 0}};
    const struct hp_column exact_columns[] = {
        {"flat", 0}, {"flat%", 0}, {options->raw ? "samples" : "objects", 0}, {"tid", 0}, {"thread that allocated", 0}};
    if (!is_told(input, options))
        return;
    double total = 0;
    uint64_t count = 0;
    for (size_t i = 0; i < profile->fact_count; i++)
        if (!strcmp(profile->facts[i].name, HP_FACT_THREAD)) {
            struct thread thread = parse(profile->facts[i].value, options);
            total += thread.value;
            count += thread.number ? 1 : thread.threads;
        }
    struct hp_table *table = exact ? hp_table_new(exact_columns, 5) : hp_table_new(columns, 6);
    for (size_t i = 0; i < profile->fact_count; i++)
        if (!strcmp(profile->facts[i].name, HP_FACT_THREAD)) {
            struct thread thread = parse(profile->facts[i].value, options);
            add_row(table, &thread, total, exact, options);
        }
    fprintf(out, "\n%" PRIu64 " thread%s\n", count, count == 1 ? "" : "s");
    hp_table_write(table, out, &options->look);
    hp_table_free(table);
}

json_t *hp_threads_json(const struct hp_report_input *input, const struct hp_report_options *options)
{
    if (!is_told(input, options))
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < input->profile->fact_count; i++) {
        if (strcmp(input->profile->facts[i].name, HP_FACT_THREAD))
            continue;
        struct thread thread = parse(input->profile->facts[i].value, options);
        json_t *object = json_object();
        hp_json_set(object, "thread", hp_json_number((double)thread.number));
        if (thread.tid)
            hp_json_set(object, "tid", hp_json_number((double)thread.tid));
        if (*thread.name)
            hp_json_set(object, "name", hp_json_string(thread.name));
        if (thread.ended)
            hp_json_set(object, "ended", json_true());
        if (!thread.number && thread.threads)
            hp_json_set(object, "threads", hp_json_number((double)thread.threads));
        hp_json_set(object, "flat", hp_json_number(thread.value));
        hp_json_set(object, "flat_error", hp_json_number(thread.error));
        hp_json_set(object, "samples", hp_json_number((double)thread.samples));
        json_array_append_new(list, object);
    }
    return list;
}
