#include "cli/run/series_recorder.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/load.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/verb.h"
#include "reader/reader.h"
#include "report/core/memory.h"
#include "report/core/series.h"
#include "report/tables/timeline.h"
#include "serve/ticker.h"

#define FIGURES_MOST 1024
#define NAMES_TRIED 1000

struct kept {
    char *path;
    uint64_t size;
    int64_t time_ns;
};

struct hp_series_recorder {
    pid_t pid;
    const char *pattern;
    struct hp_ticker ticker;
    /* The ticker's until it is stopped. */
    struct hp_ledger_info ledger; /* pid 0: not found yet */
    struct kept *files;           /* oldest first */
    size_t file_count, file_capacity;
    struct hp_figures_at *figures; /* of more moments than there are files */
    size_t figure_count, figure_capacity;
    unsigned number;                 /* of the next file */
    char failure[HP_PATH_MAX + 256]; /* why there is not a single one; "" */
};

/* Where %n goes in a pattern that has none: before its last .heap or .gz, or both. */
static size_t place_of_number(const char *pattern)
{
    size_t length = strlen(pattern);
    if (hp_ends_in(pattern, ".gz"))
        length -= 3;
    return length >= 5 && !strncmp(pattern + length - 5, ".heap", 5) ? length - 5 : length;
}

static bool has_number(const char *pattern)
{
    for (; *pattern; pattern++)
        if (*pattern == '%' && *++pattern == 'n')
            return true;
        else if (!*pattern)
            break;
    return false;
}

char *hp_pattern_name(const char *pattern, const char *program, pid_t pid, const char *number, int64_t time_s)
{
    char *name = NULL;
    size_t size;
    FILE *out = open_memstream(&name, &size);
    if (!out)
        return hp_strdup("");
    for (; *pattern; pattern++) {
        if (*pattern != '%' || !pattern[1]) {
            fputc(*pattern, out);
            continue;
        }
        switch (*++pattern) {
        case 'e':
            for (const char *c = program; *c; c++) /* as the library does */
                fputc(*c == '/' || (unsigned char)*c <= ' ' ? '_' : *c, out);
            break;
        case 'p':
            fprintf(out, "%d", (int)pid);
            break;
        case 'n':
            fputs(number, out);
            break;
        case 't':
            fprintf(out, "%lld", (long long)time_s);
            break;
        default:
            fputc(*pattern, out);
        }
    }
    fclose(out);
    return name;
}

char *hp_series_file_name(const char *pattern, const char *program, pid_t pid, unsigned number, int64_t time_s)
{
    char text[16];
    snprintf(text, sizeof text, "s%04u", number);
    if (has_number(pattern))
        return hp_pattern_name(pattern, program, pid, text, time_s);
    size_t place = place_of_number(pattern);
    char *start = hp_print("%.*s", (int)place, pattern);
    char *head = hp_pattern_name(start, program, pid, text, time_s);
    char *name = hp_print("%s.%s%s", head, text, pattern + place); /* behind the place there is no letter */
    free(start);
    free(head);
    return name;
}

/* ------------------------------------------------------------------ one moment */

static int read_target(struct hp_series_recorder *recorder, struct hp_byte_buffer *text)
{
    char number[16];
    snprintf(number, sizeof number, "%d", (int)recorder->pid);
    int status = 0;
    if (!recorder->ledger.pid)
        status = hp_ledger_find(number, &recorder->ledger, recorder->failure, sizeof recorder->failure);
    if (status < 0) {
        recorder->ledger.pid = 0;
        return status;
    }
    return hp_ledger_write(&recorder->ledger, hp_byte_buffer_sink, text, recorder->failure, sizeof recorder->failure);
}

static void keep_figures(struct hp_series_recorder *recorder, const struct hp_profile *profile)
{
    if (recorder->figure_count == FIGURES_MOST) {
        int64_t times[FIGURES_MOST];
        for (size_t i = 0; i < FIGURES_MOST; i++)
            times[i] = recorder->figures[i].time_ns;
        size_t spare = hp_series_spare(times, FIGURES_MOST);
        memmove(&recorder->figures[spare], &recorder->figures[spare + 1],
                (--recorder->figure_count - spare) * sizeof *recorder->figures);
    }
    recorder->figures =
        hp_grow(recorder->figures, &recorder->figure_capacity, recorder->figure_count + 1, sizeof *recorder->figures);
    recorder->figures[recorder->figure_count++] = hp_figures_of(profile);
}

static bool too_much(const struct hp_series_recorder *recorder)
{
    uint64_t size = 0;
    for (size_t i = 0; i < recorder->file_count; i++)
        size += recorder->files[i].size;
    return recorder->file_count > HP_SERIES_FILES || (size > HP_SERIES_BYTES && recorder->file_count > 3);
}

static void thin(struct hp_series_recorder *recorder)
{
    int64_t times[HP_SERIES_FILES + 1];
    while (too_much(recorder)) {
        for (size_t i = 0; i < recorder->file_count; i++)
            times[i] = recorder->files[i].time_ns;
        size_t spare = hp_series_spare(times, recorder->file_count);
        unlink(recorder->files[spare].path);
        free(recorder->files[spare].path);
        memmove(&recorder->files[spare], &recorder->files[spare + 1],
                (--recorder->file_count - spare) * sizeof *recorder->files);
    }
}

/* HP_DONE, HP_FAILED after a line, or -EEXIST. */
static int write_file(const char *path, const struct hp_byte_buffer *text)
{
    struct hp_output output;
    if (hp_output_open(&output, path, hp_ends_in(path, ".gz"), 0600) != HP_DONE)
        return HP_FAILED;
    int status = hp_output_sink(&output, text->data, text->size);
    if (!status)
        return hp_output_close(&output, true, true);
    hp_output_close(&output, false, false);
    return hp_fail("%s: %s", path, strerror(-status));
}

/* What is there already, be it a link, is of others: the next number is tried. */
static void keep_file(struct hp_series_recorder *recorder, const struct hp_byte_buffer *text,
                      const struct hp_profile *profile)
{
    const char *program = hp_profile_program(profile);
    struct stat file;
    char *path = NULL;
    int status = -EEXIST;
    for (unsigned tries = 0; status == -EEXIST && tries < NAMES_TRIED; tries++) {
        free(path);
        path = hp_series_file_name(recorder->pattern, program ? program : "unknown", recorder->pid, ++recorder->number,
                                   profile->time_ns / 1000000000);
        status = write_file(path, text);
    }
    if (status == -EEXIST)
        hp_note("%s is there already, as are those before it", path);
    if (status != HP_DONE || stat(path, &file)) {
        free(path);
        return;
    }
    recorder->files =
        hp_grow(recorder->files, &recorder->file_capacity, recorder->file_count + 1, sizeof *recorder->files);
    recorder->files[recorder->file_count++] = (struct kept){path, (uint64_t)file.st_size, profile->time_ns};
    thin(recorder);
}

/* What can't be read now may be there next time: a program that executes another has no ledger for
 * a moment. */
static void take_moment(void *state)
{
    struct hp_series_recorder *recorder = state;
    struct hp_byte_buffer text = {0};
    struct hp_profile *profile;
    struct hp_error error;
    if (read_target(recorder, &text) >= 0) {
        if (!hp_profile_read_memory("moment", text.data, text.size, &profile, &error)) {
            keep_file(recorder, &text, profile);
            keep_figures(recorder, profile);
            hp_profile_free(profile);
        } else {
            snprintf(recorder->failure, sizeof recorder->failure, "%s", error.text);
        }
    }
    free(text.data);
}

struct hp_series_recorder *hp_series_recorder_start(pid_t pid, uint64_t every_ns, const char *pattern)
{
    struct hp_series_recorder *recorder = hp_alloc(1, sizeof *recorder);
    *recorder = (struct hp_series_recorder){.pid = pid, .pattern = pattern};
    int status = hp_ticker_start(&recorder->ticker, every_ns, take_moment, recorder);
    if (!status)
        return recorder;
    hp_fail("--every: %s", strerror(-status));
    free(recorder);
    return NULL;
}

void hp_series_recorder_stop(struct hp_series_recorder *recorder, bool killed)
{
    hp_ticker_stop(&recorder->ticker);
    if (killed)
        take_moment(recorder);
}

/* ------------------------------------------------------------------ the time line */

void hp_series_recorder_report(const struct hp_series_recorder *recorder, const struct hp_profile *last)
{
    struct winsize window;
    size_t columns = isatty(STDERR_FILENO) && !ioctl(STDERR_FILENO, TIOCGWINSZ, &window) ? window.ws_col : 100;
    size_t count = recorder->figure_count;
    struct hp_figures_at *moments = hp_alloc(count + 1, sizeof *moments);
    if (count)
        memcpy(moments, recorder->figures, count * sizeof *moments);
    if (last && (!count || last->time_ns > moments[count - 1].time_ns))
        moments[count++] = hp_figures_of(last);
    setlocale(LC_CTYPE, "");
    if (count > 1)
        hp_timeline_write(stderr, moments, count, columns, !strcmp(nl_langinfo(CODESET), "UTF-8"));
    if (!recorder->file_count && *recorder->failure)
        hp_note("--every: %s", recorder->failure);
    free(moments);
}

void hp_series_recorder_free(struct hp_series_recorder *recorder)
{
    if (!recorder)
        return;
    for (size_t i = 0; i < recorder->file_count; i++)
        free(recorder->files[i].path);
    free(recorder->files);
    free(recorder->figures);
    free(recorder);
}
