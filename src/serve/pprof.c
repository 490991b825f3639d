#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/markup.h"
#include "report/core/memory.h"
#include "report/core/report.h"
#include "report/core/trim.h"
#include "serve/answer.h"

#define TEXT "text/plain; charset=utf-8"
#define HTML "text/html; charset=utf-8"
#define BINARY "application/octet-stream"
#define MOST_SYMBOLS 10000

struct body {
    char *data;
    size_t size, capacity;
};

static int collect(void *state, const void *data, size_t size)
{
    struct body *body = state;
    body->data = hp_grow(body->data, &body->capacity, body->size + size, 1);
    memcpy(body->data + body->size, data, size);
    body->size += size;
    return 0;
}

void hp_answer_fail(struct hp_answer *answer, unsigned status, const char *format, ...)
{
    char line[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    size_t length = strlen(line);
    line[length] = '\n';
    line[length + 1] = '\0';
    free(answer->body);
    *answer =
        (struct hp_answer){.status = status, .type = TEXT, .failed = true, .body = hp_strdup(line), .size = length + 1};
}

void hp_answer_fail_to_load(struct hp_answer *answer, const struct hp_error *error)
{
    hp_answer_fail(answer, 503, "%s", error->text);
}

FILE *hp_answer_open(struct hp_answer *answer)
{
    FILE *out = open_memstream(&answer->body, &answer->size);
    if (!out)
        hp_answer_fail(answer, 500, "%s", strerror(errno));
    return out;
}

void hp_answer_close(FILE *out, struct hp_answer *answer, const char *type)
{
    if (fclose(out)) {
        hp_answer_fail(answer, 500, "%s", strerror(errno));
        return;
    }
    answer->status = 200;
    answer->type = type;
}

/* ------------------------------------------------------------------ profiles */

static void write_proto(struct hp_profile *profile, bool allocs, const char *file_name, struct hp_answer *answer)
{
    struct body body = {0};
    profile->default_type = hp_profile_intern(profile, hp_sample_type_names[allocs ? HP_ALLOC_SPACE : HP_INUSE_SPACE]);
    hp_trim_allocator(profile);
    int status = hp_profile_write_proto(profile, collect, &body);
    *answer =
        (struct hp_answer){.status = 200, .type = BINARY, .file_name = file_name, .body = body.data, .size = body.size};
    if (status)
        hp_answer_fail(answer, 500, "%s", strerror(-status));
}

static void answer_proto(struct hp_collector *collector, bool allocs, struct hp_answer *answer)
{
    struct hp_error error = {""};
    struct hp_profile *profile;
    if (hp_collector_load(collector, HP_COLLECT_SYMBOLS, &profile, &error)) {
        hp_answer_fail_to_load(answer, &error);
        return;
    }
    write_proto(profile, allocs, allocs ? "allocs" : "heap", answer);
    hp_profile_free(profile);
}

void hp_answer_heap(struct hp_collector *collector, struct hp_answer *answer)
{
    answer_proto(collector, false, answer);
}

void hp_answer_allocs(struct hp_collector *collector, struct hp_answer *answer)
{
    answer_proto(collector, true, answer);
}

void hp_answer_heap_text(struct hp_collector *collector, struct hp_answer *answer)
{
    struct hp_error error = {""};
    struct hp_profile *profile;
    struct body body = {0};
    if (hp_collector_load(collector, HP_COLLECT_SYMBOLS, &profile, &error)) {
        hp_answer_fail_to_load(answer, &error);
        return;
    }
    int status = hp_profile_write_text(profile, true, collect, &body);
    hp_profile_free(profile);
    *answer = (struct hp_answer){.status = 200, .type = TEXT, .body = body.data, .size = body.size};
    if (status)
        hp_answer_fail(answer, 500, "%s", strerror(-status));
}

void hp_answer_delta(struct hp_profile *before, struct hp_profile *after, bool allocs, struct hp_answer *answer)
{
    struct hp_error error = {""};
    struct hp_profile *delta;
    if (hp_profile_delta(before, after, &delta, &error)) {
        hp_answer_fail(answer, 500, "failed to compute delta");
    } else {
        write_proto(delta, allocs, allocs ? "allocs-delta" : "heap-delta", answer);
        hp_profile_free(delta);
    }
    hp_profile_free(before);
    hp_profile_free(after);
}

/* ------------------------------------------------------------------ for people */

static void put_row(FILE *out, const char *name, const char *explanation)
{
    fprintf(out, "<tr><td><a href=\"%s\">%s</a></td><td>%s</td></tr>\n", name, name, explanation);
}

void hp_answer_index(struct hp_collector *collector, struct hp_answer *answer)
{
    struct hp_error error = {""};
    struct hp_profile *profile;
    if (hp_collector_load(collector, HP_COLLECT_NUMBERS, &profile, &error)) {
        hp_answer_fail_to_load(answer, &error);
        return;
    }
    FILE *out = hp_answer_open(answer);
    if (out) {
        const char *program = hp_profile_program(profile);
        fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>/debug/pprof/</title>\n"
              "<style>body { font: 15px sans-serif; margin: 2em } td { padding: 0.2em 1.5em 0.2em 0 }</style>\n"
              "</head>\n<body>\n<h1>",
              out);
        hp_markup_text(out, program && *program ? program : profile->name);
        fprintf(out, "</h1>\n<p>%zu stacks, sampled every %.0f bytes</p>\n<table>\n", profile->sample_count,
                profile->interval);
        put_row(out, "heap", "what is live, and what was ever allocated; for go tool pprof");
        put_row(out, "heap?debug=1", "the same as text, with functions and lines");
        put_row(out, "heap?seconds=5", "what changes within 5 seconds");
        put_row(out, "allocs", "the same as heap; opens with what was ever allocated");
        put_row(out, "cmdline", "the command line");
        put_row(out, "../../metrics", "figures for Prometheus");
        put_row(out, "../../", "flame graph, table and stacks in this browser");
        fputs("</table>\n</body>\n</html>\n", out);
        hp_answer_close(out, answer, HTML);
    }
    hp_profile_free(profile);
}

void hp_answer_command(struct hp_collector *collector, struct hp_answer *answer)
{
    struct hp_error error = {""};
    *answer = (struct hp_answer){.status = 200, .type = TEXT};
    if (hp_collector_command(collector, &answer->body, &answer->size, &error))
        hp_answer_fail_to_load(answer, &error);
}

/* ------------------------------------------------------------------ functions by address */

/* The number of this word, as Go's ParseUint with base 0 takes it; 0 if it is none. */
static uint64_t parse_address(const char *word, size_t length)
{
    char copy[32], *end;
    if (!length || length >= sizeof copy || word[0] < '0' || word[0] > '9')
        return 0;
    memcpy(copy, word, length);
    copy[length] = '\0';
    errno = 0;
    unsigned long long number = strtoull(copy, &end, 0);
    return errno || *end ? 0 : number;
}

static size_t parse_addresses(const char *question, uint64_t *addresses)
{
    size_t count = 0;
    while (*question && count < MOST_SYMBOLS) {
        size_t length = strcspn(question, "+");
        uint64_t address = parse_address(question, length);
        if (address)
            addresses[count++] = address;
        question += length + (question[length] == '+');
    }
    return count;
}

void hp_answer_symbol(struct hp_collector *collector, const char *question, struct hp_answer *answer)
{
    struct hp_error error = {""};
    uint64_t *addresses = hp_alloc(MOST_SYMBOLS, sizeof *addresses);
    size_t count = parse_addresses(question, addresses);
    char **names = NULL;
    FILE *out;
    if (count && hp_collector_functions(collector, addresses, count, &names, &error)) {
        hp_answer_fail_to_load(answer, &error);
    } else if ((out = hp_answer_open(answer))) {
        fputs("num_symbols: 1\n", out);
        for (size_t i = 0; i < count; i++)
            if (*names[i])
                fprintf(out, "%#" PRIx64 " %s\n", addresses[i], names[i]);
        hp_answer_close(out, answer, TEXT);
    }
    for (size_t i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
    free(addresses);
}
