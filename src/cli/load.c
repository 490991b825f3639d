#include "cli/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/hints.h"
#include "cli/progress.h"
#include "cli/say.h"
#include "cli/verb.h"
#include "profile/alloc.h"
#include "reader/reader.h"
#include "report/core/symbolize_profile.h"

#define MOST_NOTES 5

void hp_sources_add(struct hp_directories *directories, const char *name)
{
    directories->names =
        hp_grow(directories->names, &directories->capacity, directories->count + 1, sizeof *directories->names);
    directories->names[directories->count++] = name;
}

void hp_sources_free(struct hp_sources *sources)
{
    free(sources->symbols.names);
    free(sources->source.names);
    *sources = (struct hp_sources){0};
}

void hp_loader_open(struct hp_loader *loader, const struct hp_sources *sources)
{
    const struct hp_symbol_options options = {sources->symbols.names, sources->symbols.count};
    *loader = (struct hp_loader){.symbolizer = hp_symbolizer_new(&options)};
}

void hp_source_owner_of(struct hp_source_rules *rules, const char *argument)
{
    struct hp_ledger_info info;
    struct stat status;
    char error[HP_PATH_MAX + 256];
    pid_t pid;
    if (geteuid()) /* nobody but root could read more than the owner allows */
        return;
    if (hp_argument_is_pid(argument, &pid)) {
        if (!hp_ledger_find(argument, &info, error, sizeof error))
            hp_source_rules_owner(rules, info.uid);
    } else if (!(strcmp(argument, "-") ? stat(argument, &status) : fstat(STDIN_FILENO, &status))) {
        hp_source_rules_owner(rules, status.st_uid);
    }
}

struct hp_source_rules *hp_loader_source(struct hp_loader *loader, const struct hp_sources *sources, const char *base,
                                         char *const *arguments, size_t count)
{
    struct hp_source_rules *rules = &loader->source;
    *rules = (struct hp_source_rules){.folders = sources->source.names,
                                      .folder_count = sources->source.count,
                                      .here = true,
                                      .symbolizer = loader->symbolizer};
    if (base)
        hp_source_owner_of(rules, base);
    for (size_t i = 0; i < count; i++)
        hp_source_owner_of(rules, arguments[i]);
    return rules;
}

static void note_left_out(const struct hp_names *files)
{
    if (files->count == 1)
        hp_note("%s is not shown: no --source=DIR, or whose profile it is, allows it", files->names[0]);
    else if (files->count)
        hp_note("%s and %zu more files are not shown: no --source=DIR, or whose profile it is, allows it",
                files->names[0], files->count - 1);
}

void hp_loader_close(struct hp_loader *loader)
{
    note_left_out(&loader->source.left_out);
    hp_source_rules_free(&loader->source);
    if (loader->notes.count > MOST_NOTES)
        hp_note("the same goes for %zu more files", loader->notes.count - MOST_NOTES);
    hp_names_free(&loader->notes);
    hp_symbolizer_free(loader->symbolizer);
}

bool hp_argument_is_pid(const char *argument, pid_t *pid)
{
    return hp_number_is_pid(argument, pid) && access(argument, F_OK);
}

static int read_stdin(struct hp_profile **profile)
{
    struct hp_error error = {""};
    struct hp_byte_buffer memory = {0};
    char block[65536];
    ssize_t size;
    while ((size = read(STDIN_FILENO, block, sizeof block)) > 0)
        hp_byte_buffer_sink(&memory, block, (size_t)size);
    int status = HP_DONE;
    if (size < 0)
        status = hp_fail("standard input: %s", strerror(errno));
    else if (hp_profile_read_memory("standard input", memory.data, memory.size, profile, &error))
        status = hp_fail("%s", error.text);
    free(memory.data);
    return status;
}

static int read_source(const char *argument, struct hp_profile **profile)
{
    if (!strcmp(argument, "-"))
        return read_stdin(profile);
    struct hp_error error = {""};
    pid_t pid;
    int status;
    if (hp_argument_is_pid(argument, &pid)) {
        struct hp_byte_buffer memory = {0};
        status = hp_target_dump(pid, hp_byte_buffer_sink, &memory);
        if (status == HP_DONE && hp_profile_read_memory(argument, memory.data, memory.size, profile, &error))
            status = hp_fail("%s", error.text);
        if (status == HP_DONE)
            (*profile)->live_pid = (int)pid;
        free(memory.data);
        return status;
    }
    status = hp_profile_read(argument, profile, &error);
    return status ? hp_fail("%s", *error.text ? error.text : strerror(-status)) : HP_DONE;
}

/* Part of a profile, taken for all of it, is a wrong answer. */
static int read_one(const char *argument, struct hp_profile **profile)
{
    int status = read_source(argument, profile);
    if (status != HP_DONE || !(*profile)->missing_objects)
        return status;
    status =
        hp_fail("%s: is cut off: its first line tells of %" PRIu64 " objects more than are in it; was it copied in "
                "full?",
                (*profile)->name, (*profile)->missing_objects);
    hp_profile_free(*profile);
    *profile = NULL;
    return status;
}

static void free_all(struct hp_profile **all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hp_profile_free(all[i]);
    free(all);
}

/* All or none of them. */
static int read_all(char *const *arguments, size_t count, struct hp_profile ***all)
{
    int status = HP_DONE;
    size_t read = 0;
    *all = hp_alloc(count, sizeof **all);
    while (read < count && status == HP_DONE) {
        hp_progress("reading file", read + 1, count);
        status = read_one(arguments[read], &(*all)[read]);
        read += status == HP_DONE;
    }
    hp_progress_clear();
    if (status != HP_DONE)
        free_all(*all, read);
    return status;
}

int hp_load_numbers(char *const *arguments, size_t count, struct hp_profile **profile)
{
    if (count == 1)
        return read_one(arguments[0], profile);
    struct hp_profile **all;
    struct hp_error error = {""};
    int status = read_all(arguments, count, &all);
    if (status != HP_DONE)
        return status;
    hp_hint_merged(all, count);
    if (hp_profile_merge((const struct hp_profile *const *)all, count, profile, &error))
        status = hp_fail("%s", error.text);
    free_all(all, count);
    return status;
}

static int by_time(const void *a, const void *b)
{
    const struct hp_profile *left = *(struct hp_profile *const *)a, *right = *(struct hp_profile *const *)b;
    return (left->time_ns > right->time_ns) - (left->time_ns < right->time_ns);
}

int hp_load_series(struct hp_loader *loader, char *const *arguments, size_t count, struct hp_series *series)
{
    struct hp_profile **all;
    struct hp_error error = {""};
    int status = read_all(arguments, count, &all);
    if (status != HP_DONE)
        return status;
    qsort(all, count, sizeof(struct hp_profile *), by_time);
    for (size_t i = 0; i < count && status == HP_DONE; i++)
        if (hp_series_add(series, all[i], &error))
            status = hp_fail("%s", error.text);
    free_all(all, count);
    if (status == HP_DONE)
        hp_loader_symbolize(loader, series->stacks);
    return status;
}

static void note_module(void *state, const char *text)
{
    struct hp_loader *loader = state;
    bool added;
    if (hp_names_add(&loader->notes, text, &added) < MOST_NOTES && added)
        hp_note("%s", text);
}

static void show_progress(size_t done, size_t all)
{
    hp_progress("looking up functions:", done, all);
}

void hp_loader_symbolize(struct hp_loader *loader, struct hp_profile *profile)
{
    const struct hp_symbolize_watch watch = {note_module, show_progress, loader};
    hp_symbolize_profile(profile, loader->symbolizer, &watch);
    hp_progress_clear();
}

int hp_load_profile(struct hp_loader *loader, char *const *arguments, size_t count, struct hp_profile **profile)
{
    int status = hp_load_numbers(arguments, count, profile);
    if (status == HP_DONE)
        hp_loader_symbolize(loader, *profile);
    return status;
}

int hp_load_both(struct hp_loader *loader, const char *before_name, char *const *arguments, size_t count,
                 struct hp_profile **before, struct hp_profile **profile)
{
    int status = before_name ? read_one(before_name, before) : HP_DONE;
    if (status == HP_DONE)
        status = hp_load_numbers(arguments, count, profile);
    if (status != HP_DONE)
        return status;
    if (before_name) {
        hp_symbols_share(*before, *profile);
        hp_symbols_share(*profile, *before);
        hp_loader_symbolize(loader, *before);
        hp_hint_compared(*before, *profile);
    }
    hp_loader_symbolize(loader, *profile);
    return HP_DONE;
}
