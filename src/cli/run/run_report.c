#include "cli/run/run_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/dump_file.h"
#include "cli/dump_proto.h"
#include "cli/hints.h"
#include "cli/load.h"
#include "cli/run/series_recorder.h"
#include "cli/run/target_process.h"
#include "cli/say.h"
#include "cli/write_profile.h"
#include "reader/reader.h"
#include "report/core/header.h"
#include "report/core/memory.h"
#include "report/core/report.h"
#include "report/core/units.h"

static bool is_of(const struct hp_profile *profile, pid_t pid)
{
    const char *fact = hp_profile_fact(profile, "heapprof.pid");
    return fact && strtol(fact, NULL, 10) == (long)pid;
}

/* The last dump of the target itself, not of its children; NULL if there is none that can be read.
 */
static struct hp_profile *last_dump(const struct hp_run_dumps *where, char **path)
{
    struct hp_dumps dumps;
    struct hp_profile *profile = NULL;
    hp_dumps_find(where->pattern, where->pid, &where->started, &dumps);
    for (size_t i = dumps.count; i-- > 0 && !profile;) {
        struct hp_error error;
        if (hp_profile_read(dumps.paths[i], &profile, &error)) {
            profile = NULL;
            hp_note("%s", error.text);
        } else if (!is_of(profile, where->pid)) {
            hp_profile_free(profile);
            profile = NULL;
        } else {
            *path = hp_strdup(dumps.paths[i]);
        }
    }
    hp_dumps_free(&dumps);
    return profile;
}

static void write_allocated(const struct hp_profile *profile)
{
    struct hp_report_options options = {.sample = HP_ALLOC_SPACE};
    struct hp_estimate total = hp_profile_total(profile, HP_ALLOC_SPACE);
    char *text = hp_header_total(&total, profile, &options);
    fprintf(stderr, "heapprof: allocated since the start %s\n", text);
    free(text);
}

static void write_top(struct hp_profile *profile)
{
    struct hp_sources sources = {0};
    struct hp_loader loader;
    hp_loader_open(&loader, &sources);
    hp_loader_symbolize(&loader, profile);
    hp_loader_close(&loader);
    /* Of a program that freed all it had there is still to say who allocated. */
    bool live = hp_profile_total(profile, HP_INUSE_OBJECTS).samples > 0;
    struct hp_report_options options = {.sample = live ? HP_INUSE_SPACE : HP_ALLOC_SPACE, .rows = 10};
    struct winsize size;
    if (isatty(STDERR_FILENO)) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
        options.look.color = !(no_color && *no_color) && term && strcmp(term, "dumb");
        options.look.width = !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) ? size.ws_col : 0;
    }
    const struct hp_report_input input = {.profile = profile};
    hp_hint_report(NULL, profile, &options);
    struct hp_report_outcome outcome;
    struct hp_error error = {""};
    if (hp_report_top.write(stderr, &input, &options, &outcome, &error))
        hp_fail("%s", error.text);
}

static void write_files(const struct hp_run_dumps *where)
{
    struct hp_dumps dumps;
    hp_dumps_find(where->pattern, 0, &where->started, &dumps);
    if (dumps.count == 1)
        fprintf(stderr, "heapprof: 1 profile written: %s\n", dumps.paths[0]);
    else if (dumps.count)
        fprintf(stderr, "heapprof: %zu profiles written, the last is %s\n", dumps.count, dumps.paths[dumps.count - 1]);
    hp_dumps_free(&dumps);
}

/* The target's ledger, which is there when it did not end as the library sees it (it was killed, or left by a system
 * call of its own) or could not write its dump. 0, or -errno and `error`. */
static int find_left(const struct hp_run_dumps *where, struct hp_ledger_info *info, char *error, size_t error_size)
{
    char number[16];
    const uint64_t started = (uint64_t)where->started.tv_sec * 1000000000 + (uint64_t)where->started.tv_nsec;
    snprintf(number, sizeof number, "%d", (int)where->pid);
    int status = hp_ledger_find(number, info, error, error_size);
    /* An older one is of another process that had the number; of one that runs on, a child of the target is left. */
    if (status >= 0 && !where->killed && (info->running || info->start_time_ns < started))
        return -ENOENT;
    return status < 0 ? status : 0;
}

/* As the library would have named it: with the first number that is free, where the pattern has one. */
static char *name_of_dump(const struct hp_run_dumps *where, const struct hp_ledger_info *info)
{
    char number[16];
    char *name = NULL, *before;
    bool is_fixed = false;
    for (unsigned i = 1; i <= 9999 && !is_fixed && (!name || !access(name, F_OK)); i++) {
        before = name;
        snprintf(number, sizeof number, "%04u", i);
        name = hp_pattern_name(where->pattern, info->program, where->pid, number, time(NULL));
        is_fixed = before && !strcmp(name, before); /* it has no number: the file is replaced */
        free(before);
    }
    return name;
}

void hp_run_keep(const struct hp_run_dumps *where)
{
    struct hp_ledger_info info;
    char error[HP_PATH_MAX + 256];
    if (!where->wanted || find_left(where, &info, error, sizeof error))
        return;
    char *name = name_of_dump(where, &info);
    hp_dump_file_put(&info, name);
    free(name);
}

/* NULL if no ledger is left, with a line if the target was killed. */
static struct hp_profile *from_ledger(const struct hp_run_dumps *where)
{
    struct hp_ledger_info info;
    struct hp_byte_buffer dump = {0};
    struct hp_profile *profile = NULL;
    struct hp_error failure;
    char error[HP_PATH_MAX + 256];
    int status = find_left(where, &info, error, sizeof error);
    if (!where->killed && status < 0)
        return NULL;
    if (status < 0 || hp_ledger_write(&info, hp_byte_buffer_sink, &dump, error, sizeof error) < 0)
        hp_fail("its profile is lost: %s", error);
    else if (hp_profile_read_memory(where->killed ? "when it was killed" : "at its end", dump.data, dump.size, &profile,
                                    &failure))
        hp_fail("%s", failure.text);
    else if (!where->wanted)
        fprintf(stderr, "heapprof: its profile was kept: 'heapprof recover %d' writes it to a file\n", (int)where->pid);
    free(dump.data);
    return profile;
}

void hp_run_report(const struct hp_run_dumps *where)
{
    char *path = NULL;
    struct hp_profile *profile = from_ledger(where);
    const bool left = profile != NULL;
    if (!profile && !where->killed)
        profile = last_dump(where, &path);
    if (profile) {
        if (where->folder && !left)
            profile->name = hp_profile_intern(profile, "at exit");
        write_top(profile);
        write_allocated(profile);
    } else if (!where->killed) {
        hp_fail("process %d left no profile", (int)where->pid);
    }
    if (!where->folder)
        write_files(where);
    if (where->recorder)
        hp_series_recorder_report(where->recorder, where->killed ? NULL : profile);
    hp_profile_free(profile);
    free(path);
}

void hp_run_convert(const struct hp_run_dumps *where)
{
    struct hp_dumps dumps;
    if (!hp_is_proto_name(where->pattern))
        return;
    hp_dumps_find(where->pattern, 0, &where->started, &dumps);
    for (size_t i = 0; i < dumps.count; i++)
        hp_dump_proto_replace(dumps.paths[i]);
    hp_dumps_free(&dumps);
}

/* Across file systems rename(2) can't. */
static int move(const char *from, const char *to)
{
    if (!access(to, F_OK))
        return -EEXIST;
    if (!rename(from, to))
        return 0;
    FILE *in = fopen(from, "re"), *out = in ? fopen(to, "wxe") : NULL;
    char block[65536];
    size_t size = sizeof block;
    int status = out ? 0 : -errno;
    while (out && !status && size == sizeof block) { /* less: the end, or an error */
        size = fread(block, 1, sizeof block, in);
        if (fwrite(block, 1, size, out) != size)
            status = -EIO;
    }
    if (out && ferror(in)) /* what was read is not all */
        status = -EIO;
    if (in)
        fclose(in);
    if (out && fclose(out))
        status = -errno;
    if (!status)
        unlink(from);
    return status;
}

/* The dump of the same process with the next number is there: this one was not made at the end. */
static bool has_successor(const char *path)
{
    size_t head = strlen(path) - strlen("0001.heap");
    unsigned long number = strtoul(path + head, NULL, 10);
    char *next = hp_print("%.*s%04lu.heap", (int)head, path, number + 1);
    bool there = !access(next, F_OK);
    free(next);
    return there;
}

static void rescue(const char *path, bool quiet)
{
    const char *name = hp_basename(path);
    int status = move(path, name);
    if (status)
        hp_note("%s stays there: %s: %s", path, name, strerror(-status));
    else if (!quiet)
        fprintf(stderr, "heapprof: profile written: %s\n", name);
}

void hp_run_clear(const struct hp_run_dumps *where, bool quiet)
{
    if (!where->folder)
        return;
    struct hp_dumps dumps;
    for (int own = where->killed; own >= 0; own--) {
        hp_dumps_find(where->pattern, own ? where->pid : 0, &(struct timespec){0}, &dumps);
        bool *asked_for = hp_alloc(dumps.count, sizeof *asked_for);
        for (size_t i = 0; i < dumps.count; i++)
            asked_for[i] = own || has_successor(dumps.paths[i]);
        for (size_t i = 0; i < dumps.count; i++) {
            if (asked_for[i])
                rescue(dumps.paths[i], quiet);
            else
                unlink(dumps.paths[i]);
        }
        free(asked_for);
        hp_dumps_free(&dumps);
    }
    if (rmdir(where->folder) && errno != ENOTEMPTY && errno != EEXIST)
        hp_note("%s: %s", where->folder, strerror(errno));
}
