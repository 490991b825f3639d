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

struct hp_keeper {
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

char *hp_keeper_name(const char *pattern, const char *program, pid_t pid, unsigned number,
                     int64_t time_s)
{
    char *name = NULL;
    size_t size, place = has_number(pattern) ? SIZE_MAX : place_of_number(pattern);
    FILE *out = open_memstream(&name, &size);
    if (!out)
        return hp_strdup("");
    for (size_t i = 0; pattern[i] || i == place; i++) {
        if (i == place)
            fprintf(out, ".s%04u", number);
        if (!pattern[i])
            break;
        if (pattern[i] != '%' || !pattern[i + 1]) {
            fputc(pattern[i], out);
            continue;
        }
        switch (pattern[++i]) {
        case 'e':
            for (const char *c = program; *c; c++) /* as the library does */
                fputc(*c == '/' || (unsigned char)*c <= ' ' ? '_' : *c, out);
            break;
        case 'p':
            fprintf(out, "%d", (int)pid);
            break;
        case 'n':
            fprintf(out, "s%04u", number);
            break;
        case 't':
            fprintf(out, "%lld", (long long)time_s);
            break;
        default:
            fputc(pattern[i], out);
        }
    }
    fclose(out);
    return name;
}

/* ------------------------------------------------------------------ one moment */

static int read_target(struct hp_keeper *keeper, struct hp_byte_buffer *text)
{
    char number[16];
    snprintf(number, sizeof number, "%d", (int)keeper->pid);
    int status = 0;
    if (!keeper->ledger.pid)
        status = hp_ledger_find(number, &keeper->ledger, keeper->failure, sizeof keeper->failure);
    if (status < 0) {
        keeper->ledger.pid = 0;
        return status;
    }
    return hp_ledger_write(&keeper->ledger, hp_byte_buffer_sink, text, keeper->failure, sizeof keeper->failure);
}

static void keep_figures(struct hp_keeper *keeper, const struct hp_profile *profile)
{
    if (keeper->figure_count == FIGURES_MOST) {
        int64_t times[FIGURES_MOST];
        for (size_t i = 0; i < FIGURES_MOST; i++)
            times[i] = keeper->figures[i].time_ns;
        size_t spare = hp_series_spare(times, FIGURES_MOST);
        memmove(&keeper->figures[spare], &keeper->figures[spare + 1],
                (--keeper->figure_count - spare) * sizeof *keeper->figures);
    }
    keeper->figures = hp_grow(keeper->figures, &keeper->figure_capacity, keeper->figure_count + 1,
                              sizeof *keeper->figures);
    keeper->figures[keeper->figure_count++] = hp_figures_of(profile);
}

static bool too_much(const struct hp_keeper *keeper)
{
    uint64_t size = 0;
    for (size_t i = 0; i < keeper->file_count; i++)
        size += keeper->files[i].size;
    return keeper->file_count > HP_KEEPER_FILES ||
           (size > HP_KEEPER_BYTES && keeper->file_count > 3);
}

static void thin(struct hp_keeper *keeper)
{
    int64_t times[HP_KEEPER_FILES + 1];
    while (too_much(keeper)) {
        for (size_t i = 0; i < keeper->file_count; i++)
            times[i] = keeper->files[i].time_ns;
        size_t spare = hp_series_spare(times, keeper->file_count);
        unlink(keeper->files[spare].path);
        free(keeper->files[spare].path);
        memmove(&keeper->files[spare], &keeper->files[spare + 1],
                (--keeper->file_count - spare) * sizeof *keeper->files);
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
static void keep_file(struct hp_keeper *keeper, const struct hp_byte_buffer *text, const struct hp_profile *profile)
{
    const char *program = hp_profile_program(profile);
    struct stat file;
    char *path = NULL;
    int status = -EEXIST;
    for (unsigned tries = 0; status == -EEXIST && tries < NAMES_TRIED; tries++) {
        free(path);
        path = hp_keeper_name(keeper->pattern, program ? program : "unknown", keeper->pid,
                              ++keeper->number, profile->time_ns / 1000000000);
        status = write_file(path, text);
    }
    if (status == -EEXIST)
        hp_note("%s is there already, as are those before it", path);
    if (status != HP_DONE || stat(path, &file)) {
        free(path);
        return;
    }
    keeper->files = hp_grow(keeper->files, &keeper->file_capacity, keeper->file_count + 1,
                            sizeof *keeper->files);
    keeper->files[keeper->file_count++] =
        (struct kept){path, (uint64_t)file.st_size, profile->time_ns};
    thin(keeper);
}

/* What can't be read now may be there next time: a program that executes another has no ledger for
 * a moment. */
static void take_moment(void *state)
{
    struct hp_keeper *keeper = state;
    struct hp_byte_buffer text = {0};
    struct hp_profile *profile;
    struct hp_error error;
    if (read_target(keeper, &text) >= 0) {
        if (!hp_profile_read_memory("moment", text.data, text.size, &profile, &error)) {
            keep_file(keeper, &text, profile);
            keep_figures(keeper, profile);
            hp_profile_free(profile);
        } else {
            snprintf(keeper->failure, sizeof keeper->failure, "%s", error.text);
        }
    }
    free(text.data);
}

struct hp_keeper *hp_keeper_start(pid_t pid, uint64_t every_ns, const char *pattern)
{
    struct hp_keeper *keeper = hp_alloc(1, sizeof *keeper);
    *keeper = (struct hp_keeper){.pid = pid, .pattern = pattern};
    int status = hp_ticker_start(&keeper->ticker, every_ns, take_moment, keeper);
    if (!status)
        return keeper;
    hp_fail("--every: %s", strerror(-status));
    free(keeper);
    return NULL;
}

void hp_keeper_stop(struct hp_keeper *keeper, bool killed)
{
    hp_ticker_stop(&keeper->ticker);
    if (killed)
        take_moment(keeper);
}

/* ------------------------------------------------------------------ the time line */

void hp_keeper_report(const struct hp_keeper *keeper, const struct hp_profile *last)
{
    struct winsize window;
    size_t columns =
        isatty(STDERR_FILENO) && !ioctl(STDERR_FILENO, TIOCGWINSZ, &window) ? window.ws_col : 100;
    size_t count = keeper->figure_count;
    struct hp_figures_at *moments = hp_alloc(count + 1, sizeof *moments);
    if (count)
        memcpy(moments, keeper->figures, count * sizeof *moments);
    if (last && (!count || last->time_ns > moments[count - 1].time_ns))
        moments[count++] = hp_figures_of(last);
    setlocale(LC_CTYPE, "");
    if (count > 1)
        hp_timeline_write(stderr, moments, count, columns, !strcmp(nl_langinfo(CODESET), "UTF-8"));
    if (!keeper->file_count && *keeper->failure)
        hp_note("--every: %s", keeper->failure);
    free(moments);
}

void hp_keeper_free(struct hp_keeper *keeper)
{
    if (!keeper)
        return;
    for (size_t i = 0; i < keeper->file_count; i++)
        free(keeper->files[i].path);
    free(keeper->files);
    free(keeper->figures);
    free(keeper);
}
