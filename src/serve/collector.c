#include "serve/collector.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "reader/reader.h"
#include "report/core/memory.h"
#include "report/core/symbolize_profile.h"

#define COMMAND_MOST (1u << 20)

struct source {
    const char *argument;
    bool process; /* not a file */
    bool dead;    /* as of the last look */
    char *ledger; /* its path, once it was found: a later process with the same number is another one */
};

struct hp_collector {
    struct hp_collector_options options;
    struct source *sources;
    pthread_mutex_t lock; /* guards all below */
    struct hp_symbolizer *symbolizer;
};

struct text {
    char *data;
    size_t size, capacity;
};

static int collect(void *state, const void *data, size_t size)
{
    struct text *text = state;
    text->data = hp_grow(text->data, &text->capacity, text->size + size, 1);
    memcpy(text->data + text->size, data, size);
    text->size += size;
    return 0;
}

static bool is_number(const char *argument)
{
    return *argument && !argument[strspn(argument, "0123456789")];
}

struct hp_collector *hp_collector_new(const struct hp_collector_options *options)
{
    struct hp_collector *collector = hp_alloc(1, sizeof *collector);
    const struct hp_symbol_options symbols = {options->symbol_directories, options->symbol_directory_count};
    collector->options = *options;
    collector->sources = hp_alloc(options->count, sizeof *collector->sources);
    for (size_t i = 0; i < options->count; i++) {
        const char *argument = options->arguments[i];
        collector->sources[i] =
            (struct source){.argument = argument, .process = is_number(argument) && access(argument, F_OK)};
    }
    collector->symbolizer = hp_symbolizer_new(&symbols);
    pthread_mutex_init(&collector->lock, NULL);
    return collector;
}

void hp_collector_free(struct hp_collector *collector)
{
    for (size_t i = 0; i < collector->options.count; i++)
        free(collector->sources[i].ledger);
    free(collector->sources);
    hp_symbolizer_free(collector->symbolizer);
    pthread_mutex_destroy(&collector->lock);
    free(collector);
}

/* The caller holds the lock. */
static int find_ledger(struct source *source, struct hp_ledger_info *info, struct hp_error *error)
{
    char reason[HP_PATH_MAX + 256] = "";
    int status = hp_ledger_find(source->ledger ? source->ledger : source->argument, info, reason, sizeof reason);
    if (status < 0 && source->ledger)
        return hp_error_set(error, status, "process %s has ended", source->argument);
    if (status < 0)
        return hp_error_set(error, status, "%.900s", reason);
    source->dead = !info->running;
    if (!source->ledger)
        source->ledger = hp_strdup(info->path);
    return 0;
}

static int load_process(struct source *source, struct hp_profile **profile, struct hp_error *error)
{
    struct hp_ledger_info info;
    struct text text = {0};
    char reason[HP_PATH_MAX + 256] = "";
    int status = find_ledger(source, &info, error);
    if (status)
        return status;
    status = hp_ledger_write(&info, collect, &text, reason, sizeof reason);
    if (status < 0)
        hp_error_set(error, status, "%.900s", reason);
    else
        status = hp_profile_read_memory(source->argument, text.data, text.size, profile, error);
    if (!status)
        (*profile)->live_pid = (int)strtol(source->argument, NULL, 10);
    free(text.data);
    return status;
}

static int load_source(struct source *source, struct hp_profile **profile, struct hp_error *error)
{
    struct timespec now;
    if (!source->process)
        return hp_profile_read(source->argument, profile, error);
    int status = load_process(source, profile, error);
    clock_gettime(CLOCK_REALTIME, &now);
    if (!status)
        (*profile)->time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    return status;
}

/* The caller holds the lock. */
static int load_all(struct hp_collector *collector, struct hp_profile **profile, struct hp_error *error)
{
    size_t count = collector->options.count, done = 0;
    int status = 0;
    if (count == 1)
        return load_source(&collector->sources[0], profile, error);
    struct hp_profile **all = hp_alloc(count, sizeof *all);
    while (done < count && !status) {
        status = load_source(&collector->sources[done], &all[done], error);
        done += !status;
    }
    if (!status)
        status = hp_profile_merge((const struct hp_profile *const *)all, count, profile, error);
    for (size_t i = 0; i < done; i++)
        hp_profile_free(all[i]);
    free(all);
    return status;
}

/* The caller holds the lock. */
static void symbolize(struct hp_collector *collector, struct hp_profile *profile)
{
    const struct hp_symbolize_watch watch = {.note = collector->options.note, .state = collector->options.note_state};
    hp_symbolize_profile(profile, collector->symbolizer, &watch);
}

int hp_collector_load(struct hp_collector *collector, enum hp_collector_detail detail, struct hp_profile **profile,
                      struct hp_error *error)
{
    pthread_mutex_lock(&collector->lock);
    int status = load_all(collector, profile, error);
    if (!status && detail == HP_COLLECT_SYMBOLS)
        symbolize(collector, *profile);
    pthread_mutex_unlock(&collector->lock);
    return status;
}

const struct hp_source_rules *hp_collector_source(const struct hp_collector *collector)
{
    return collector->options.source;
}

bool hp_collector_is_process(const struct hp_collector *collector)
{
    return collector->options.count == 1 && collector->sources[0].process;
}

void hp_collector_symbolize(struct hp_collector *collector, struct hp_profile *profile)
{
    pthread_mutex_lock(&collector->lock);
    symbolize(collector, profile);
    pthread_mutex_unlock(&collector->lock);
}

bool hp_collector_running(struct hp_collector *collector)
{
    bool running = true;
    pthread_mutex_lock(&collector->lock);
    for (size_t i = 0; i < collector->options.count; i++)
        running &= !collector->sources[i].dead;
    pthread_mutex_unlock(&collector->lock);
    return running;
}

static char *function_at(struct hp_collector *collector, const struct hp_profile *profile, uint64_t address)
{
    struct hp_symbol_frame frame;
    for (size_t i = 0; i < profile->module_count; i++) {
        const struct hp_module *module = &profile->modules[i];
        if (address < module->start || address >= module->limit)
            continue;
        struct hp_symbol_module *symbols = hp_symbolizer_module(collector->symbolizer, module->path, module->build_id);
        if (hp_symbolize(symbols, address - module->start + module->offset, &frame, 1))
            return hp_strdup(frame.function);
    }
    return hp_strdup("");
}

int hp_collector_functions(struct hp_collector *collector, const uint64_t *addresses, size_t count, char ***names,
                           struct hp_error *error)
{
    struct hp_profile *profile;
    pthread_mutex_lock(&collector->lock);
    int status = load_source(&collector->sources[0], &profile, error);
    if (!status) {
        *names = hp_alloc(count, sizeof **names);
        for (size_t i = 0; i < count; i++)
            (*names)[i] = function_at(collector, profile, addresses[i]);
        hp_profile_free(profile);
    }
    pthread_mutex_unlock(&collector->lock);
    return status;
}

static void read_command(pid_t pid, struct text *text)
{
    char path[64], block[4096];
    ssize_t size = 0;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    /* With the collector's lock held, but /proc keeps nobody waiting. */
    /* NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection) */
    while (fd >= 0 && text->size < COMMAND_MOST && (size = read(fd, block, sizeof block)) > 0)
        collect(text, block, (size_t)size);
    if (fd >= 0)
        close(fd);
    if (text->size && !text->data[text->size - 1])
        text->size--;
}

int hp_collector_command(struct hp_collector *collector, char **command, size_t *size, struct hp_error *error)
{
    struct source *source = &collector->sources[0];
    struct hp_ledger_info info = {.running = false};
    struct hp_profile *profile = NULL;
    struct text text = {0};
    pthread_mutex_lock(&collector->lock);
    int status = source->process ? find_ledger(source, &info, error) : load_source(source, &profile, error);
    if (!status && info.running)
        read_command(info.pid, &text);
    if (!status && !text.size) {
        const char *exe = profile ? hp_profile_fact(profile, "heapprof.exe") : info.exe;
        if (exe)
            collect(&text, exe, strlen(exe));
    }
    pthread_mutex_unlock(&collector->lock);
    hp_profile_free(profile);
    *command = text.data;
    *size = text.size;
    return status;
}
