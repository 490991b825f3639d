#include "process/options.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "base/decimal.h"
#include "base/parse.h"

#define DEFAULT_OUTPUT "heapprof.%e.%p.%n.heap"
#define MEMORY_LEAST (1ull << 20)
#define MEMORY_MOST HP_BUDGET_MOST

static bool parse_bool(const char *text, bool *value)
{
    if ((text[0] != '0' && text[0] != '1') || text[1])
        return false;
    *value = text[0] == '1';
    return true;
}

static bool parse_signal(const char *text, int *number)
{
    uint64_t value;
    const char *p = text;
    if (!strcmp(text, "none"))
        return *number = 0, true;
    if (!strncmp(p, "SIG", 3))
        p += 3;
    if (!strcmp(p, "USR1"))
        return *number = SIGUSR1, true;
    if (!strcmp(p, "USR2"))
        return *number = SIGUSR2, true;
    int base = 0;
    if (!strncmp(p, "RTMIN", 5)) {
        base = SIGRTMIN;
        p += 5;
        if (!*p)
            return *number = base, true;
        if (*p++ != '+')
            return false;
    }
    if (!hp_parse_number(&p, 64, &value) || *p)
        return false;
    value += (uint64_t)base;
    if (value < 1 || value > (uint64_t)SIGRTMAX || value == SIGKILL || value == SIGSTOP)
        return false;
    if (value > SIGSYS && value < (uint64_t)SIGRTMIN)
        return false; /* libc keeps them for itself */
    return *number = (int)value, true;
}

static bool parse_depth(const char *text, uint32_t *depth)
{
    uint64_t value;
    if (!hp_parse_number(&text, HP_DEPTH_MAX, &value) || *text || value < 1)
        return false;
    *depth = (uint32_t)value;
    return true;
}

static bool parse_engine(const char *text, enum hp_engine *engine)
{
    static const char *const names[] = {"cfi", "libunwind", "fp"};
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(text, names[i]))
            return *engine = (enum hp_engine)i, true;
    return false;
}

static const char *value_of(char **environment, const char *name)
{
    size_t length = strlen(name);
    for (; environment && *environment; environment++)
        if (**environment == *name && !strncmp(*environment, name, length) && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

struct reader {
    char **environment;
    hp_complain_fn *complain;
};

/* The value of `name` if it is set; NULL if not. */
static const char *get(const struct reader *reader, const char *name)
{
    const char *value = value_of(reader->environment, name);
    return value && *value ? value : NULL;
}

static void check(const struct reader *reader, const char *name, const char *value, bool good, const char *used)
{
    if (!good && reader->complain)
        reader->complain(name, value, used);
}

void hp_options_read(struct hp_options *options, char **environment, const char *directory, hp_complain_fn *complain)
{
    const struct reader reader = {environment, complain};
    const char *value;
    memset(options, 0, offsetof(struct hp_options, output));
    options->interval = HP_INTERVAL_USUAL;
    options->signal = SIGUSR2;
    options->depth = 128;
    options->engine = HP_ENGINE_CFI;
    options->memory = 256ull << 20;
    options->follow = true;
    if (!hp_parse_pattern(DEFAULT_OUTPUT, directory, options->output, HP_PATH_MAX))
        memcpy(options->output, DEFAULT_OUTPUT, sizeof DEFAULT_OUTPUT);
    options->ledger = "auto";

    if ((value = get(&reader, "HEAPPROF_DISABLE")))
        check(&reader, "HEAPPROF_DISABLE", value, parse_bool(value, &options->disable), "0");
    if ((value = get(&reader, "HEAPPROF_INTERVAL")))
        check(&reader, "HEAPPROF_INTERVAL", value, hp_parse_size(value, &options->interval), "512K");
    if ((value = get(&reader, "HEAPPROF_OUTPUT")))
        check(&reader, "HEAPPROF_OUTPUT", value, hp_parse_pattern(value, directory, options->output, HP_PATH_MAX),
              DEFAULT_OUTPUT);
    if ((value = get(&reader, "HEAPPROF_SIGNAL")))
        check(&reader, "HEAPPROF_SIGNAL", value, parse_signal(value, &options->signal), "USR2");
    if ((value = get(&reader, "HEAPPROF_AT_EXIT")))
        check(&reader, "HEAPPROF_AT_EXIT", value, parse_bool(value, &options->at_exit), "0");
    if ((value = get(&reader, "HEAPPROF_EVERY")))
        check(&reader, "HEAPPROF_EVERY", value, hp_parse_duration(value, &options->every_ns), "off");
    if ((value = get(&reader, "HEAPPROF_GROWTH")))
        check(&reader, "HEAPPROF_GROWTH", value, hp_parse_size(value, &options->growth), "off");
    if ((value = get(&reader, "HEAPPROF_TRACE")))
        check(&reader, "HEAPPROF_TRACE", value, hp_parse_duration(value, &options->trace_ns), "off");
    if ((value = get(&reader, "HEAPPROF_DEPTH")))
        check(&reader, "HEAPPROF_DEPTH", value, parse_depth(value, &options->depth), "128");
    if ((value = get(&reader, "HEAPPROF_UNWINDER")))
        check(&reader, "HEAPPROF_UNWINDER", value, parse_engine(value, &options->engine), "cfi");
    if ((value = get(&reader, "HEAPPROF_MEMORY"))) {
        uint64_t bytes = options->memory;
        const bool good = hp_parse_size(value, &bytes), small = bytes<MEMORY_LEAST, large = bytes> MEMORY_MOST;
        check(&reader, "HEAPPROF_MEMORY", value, good && !small && !large,
              !good   ? "256M"
              : small ? "1M, the least there is"
                      : "2G, the most there is");
        options->memory = small ? MEMORY_LEAST : large ? MEMORY_MOST : bytes;
    }
    if ((value = get(&reader, "HEAPPROF_LEDGER"))) {
        bool good = strlen(value) < HP_PATH_MAX;
        if (good)
            options->ledger = value;
        check(&reader, "HEAPPROF_LEDGER", value, good, "auto");
    }
    if ((value = get(&reader, "HEAPPROF_FOLLOW")))
        check(&reader, "HEAPPROF_FOLLOW", value, parse_bool(value, &options->follow), "1");
}

struct builder {
    char *path;
    size_t used;
    bool full;
};

static void put(struct builder *builder, const char *text, size_t size)
{
    if (builder->used + size >= HP_PATH_MAX) {
        builder->full = true;
        return;
    }
    memcpy(builder->path + builder->used, text, size);
    builder->used += size;
}

static void put_number(struct builder *builder, uint64_t value, unsigned width)
{
    char digits[HP_DECIMAL_MOST];
    put(builder, digits, hp_put_decimal(digits, value, width));
}

int hp_expand_pattern(char *path, const char *pattern, const char *program, int pid, uint32_t sequence,
                      uint64_t seconds)
{
    struct builder builder = {.path = path};
    for (const char *p = pattern; *p; p++) {
        if (*p != '%' || !p[1]) {
            put(&builder, p, 1);
            continue;
        }
        switch (*++p) {
        case 'e':
            put(&builder, program, strlen(program));
            break;
        case 'p':
            put_number(&builder, (uint64_t)pid, 1);
            break;
        case 'n':
            put_number(&builder, sequence, 4);
            break;
        case 't':
            put_number(&builder, seconds, 1);
            break;
        default:
            put(&builder, "%", 1);
        }
    }
    path[builder.used] = '\0';
    return builder.full ? -ENAMETOOLONG : 0;
}
