#include "options.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#define DEFAULT_OUTPUT "heapprof.%e.%p.%n.heap"
#define MEMORY_LEAST (1ull << 20)
#define MEMORY_MOST (1ull << 30)
#define SIZE_MOST (1ull << 40)                        /* 1 TiB */
#define DURATION_MOST (366ull * 24 * 3600 * 1000000000) /* a year */

static bool parse_number(const char **text, uint64_t most, uint64_t *value)
{
    const char *p = *text;
    uint64_t sum = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        sum = sum * 10 + (uint64_t)(*p - '0');
        if (sum > most)
            return false;
    }
    *text = p;
    *value = sum;
    return true;
}

bool hp_parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMG";
    uint64_t value;
    unsigned shift = 0;
    if (!parse_number(&text, SIZE_MOST, &value))
        return false;
    for (unsigned i = 0; units[i]; i++)
        if (*text == units[i] || *text == (units[i] | 0x20))
            shift = 10 * (i + 1);
    if (shift)
        text++;
    if (shift && text[0] == 'i' && text[1] == 'B')
        text += 2;
    else if (*text == 'B')
        text++;
    if (*text || value > SIZE_MOST >> shift)
        return false;
    *bytes = value << shift;
    return true;
}

bool hp_parse_duration(const char *text, uint64_t *ns)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};
    uint64_t value;
    if (!parse_number(&text, DURATION_MOST, &value))
        return false;
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!strcmp(text, units[i].name) && value <= DURATION_MOST / units[i].ns) {
            *ns = value * units[i].ns;
            return true;
        }
    }
    return false;
}

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
    if (!parse_number(&p, 64, &value) || *p)
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
    if (!parse_number(&text, HP_DEPTH_MAX, &value) || *text || value < 1)
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

/* The folder's own percent signs are doubled: they mean nothing. */
static size_t pattern_size(const char *directory)
{
    size_t size = strlen(directory);
    for (const char *p = directory; *p; p++)
        size += *p == '%';
    return size;
}

static bool parse_output(const char *text, char *output, const char *directory)
{
    size_t length = text[0] == '/' ? 0 : pattern_size(directory);
    if (!*text || length + strlen(text) + 2 > HP_PATH_MAX)
        return false;
    for (const char *p = text; *p; p++)
        if (*p == '%' && !strchr("epnt%", p[1] ? *++p : '?'))
            return false;
    if (length) {
        for (const char *p = directory; *p; p++) {
            *output++ = *p;
            if (*p == '%')
                *output++ = '%';
        }
        *output++ = '/';
    }
    memcpy(output, text, strlen(text) + 1);
    return true;
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
    options->interval = 512 * 1024;
    options->signal = SIGUSR2;
    options->depth = 128;
    options->engine = HP_ENGINE_CFI;
    options->memory = 256ull << 20;
    options->follow = true;
    if (!parse_output(DEFAULT_OUTPUT, options->output, directory))
        memcpy(options->output, DEFAULT_OUTPUT, sizeof DEFAULT_OUTPUT);
    options->ledger = "auto";

    if ((value = get(&reader, "HEAPPROF_INTERVAL")))
        check(&reader, "HEAPPROF_INTERVAL", value, hp_parse_size(value, &options->interval), "512K");
    if ((value = get(&reader, "HEAPPROF_OUTPUT")))
        check(&reader, "HEAPPROF_OUTPUT", value, parse_output(value, options->output, directory), DEFAULT_OUTPUT);
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
        const bool good = hp_parse_size(value, &bytes), small = bytes < MEMORY_LEAST, large = bytes > MEMORY_MOST;
        check(&reader, "HEAPPROF_MEMORY", value, good && !small && !large,
              !good ? "256M" : small ? "1M, the least there is" : "1G, the most there is");
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
    char digits[20], *p = digits + sizeof digits;
    do {
        *--p = (char)('0' + value % 10);
        value /= 10;
    } while (value || (size_t)(digits + sizeof digits - p) < width);
    put(builder, p, (size_t)(digits + sizeof digits - p));
}

int hp_expand_pattern(char *path, const char *pattern, const char *program, int pid, uint32_t sequence, uint64_t seconds)
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
