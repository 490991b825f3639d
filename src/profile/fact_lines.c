/* Facts and the comment lines that carry them, in the text format and in profile.proto's comments
 * alike. */
#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"
#include "profile/model.h"

/* The two grouped lines of a dump, for facts that come one by one. */
static const char *const grouped_facts[][9] = {
    {"version", "pid", "exe", "start", "sequence", "time", "time_ns", "interval", "depth"},
    {"samples", "lost", "truncated", "unmatched_frees", "own_bytes", "own_ns"},
};

/* What Go's readers look for under this headline; any of these starts the list. */
static const char *const memstats[] = {"Alloc",    "TotalAlloc", "Sys",          "Lookups",
                                       "Mallocs",  "Frees",      "HeapAlloc",    "HeapSys",
                                       "HeapIdle", "HeapInuse",  "HeapReleased", "HeapObjects"};

static const char prefix[] = "heapprof.";
#define PREFIX_SIZE (sizeof prefix - 1)

static uint32_t usual_group(const char *name)
{
    if (strncmp(name, prefix, PREFIX_SIZE) != 0)
        return 0;
    for (uint32_t group = 0; group < 2; group++)
        for (size_t i = 0; i < 9 && grouped_facts[group][i]; i++)
            if (strcmp(name + PREFIX_SIZE, grouped_facts[group][i]) == 0)
                return group + 1;
    return 0;
}

/* Unix time in units of `unit` ns to ns; 0 for what is none. */
static int64_t parse_time(const char *value, int64_t unit)
{
    char *end;
    long long time = strtoll(value, &end, 10);
    bool valid = end != value && !*end && time > 0 && time < INT64_MAX / unit;
    return valid ? time * unit : 0;
}

/* No dump has a hundredth of these; facts are searched one by one, so a hostile file must not bring
 * millions. A name and an escaped value fit into HP_TEXT_LINE_MAX. */
#define FACTS_MAX 4096
#define NAME_MAX_SIZE 1024
#define VALUE_MAX_SIZE 8192
#define GROUP_LINE_SIZE 30000 /* past it a grouped line goes on in another one */

static void add(struct hp_profile *profile, const char *name, const char *value, uint32_t group)
{
    if (profile->fact_count == FACTS_MAX)
        return;
    profile->facts =
        hp_grow(profile->facts, &profile->private->fact_capacity, profile->fact_count + 1, sizeof *profile->facts);
    profile->facts[profile->fact_count++] = (struct hp_fact){name, value, group};
    if (strcmp(name, "heapprof.time") == 0)
        profile->time_ns = parse_time(value, 1000000000);
    else if (strcmp(name, "heapprof.time_ns") == 0) /* stands behind it, and knows it better */
        profile->time_ns = parse_time(value, 1);
}

void hp_profile_add_fact(struct hp_profile *profile, const char *name, const char *value)
{
    add(profile, hp_profile_intern(profile, name),
        hp_profile_intern_bytes(profile, value, strnlen(value, VALUE_MAX_SIZE)), usual_group(name));
}

const char *hp_profile_fact(const struct hp_profile *profile, const char *name)
{
    for (size_t i = 0; i < profile->fact_count; i++)
        if (strcmp(profile->facts[i].name, name) == 0)
            return profile->facts[i].value;
    return NULL;
}

bool hp_profile_same_process(const struct hp_profile *a, const struct hp_profile *b)
{
    static const char *const names[] = {"heapprof.pid", "heapprof.exe", "heapprof.start"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *left = hp_profile_fact(a, names[i]);
        const char *right = hp_profile_fact(b, names[i]);
        if (!left || !right || strcmp(left, right) != 0)
            return false;
    }
    return true;
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

size_t hp_unescape(char *text, size_t size)
{
    if (!memchr(text, '\\', size))
        return size;
    size_t to = 0;
    for (size_t i = 0; i < size; i++, to++) {
        text[to] = text[i];
        if (text[i] != '\\' || size - i < 4 || !is_octal(text[i + 1]) || text[i + 1] > '3' || !is_octal(text[i + 2]) ||
            !is_octal(text[i + 3]))
            continue;
        text[to] = (char)((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 | (text[i + 3] - '0'));
        i += 3;
    }
    return to;
}

static const char *intern_unescaped(struct hp_profile *profile, const char *data, size_t size)
{
    if (size > VALUE_MAX_SIZE)
        size = VALUE_MAX_SIZE;
    if (!memchr(data, '\\', size))
        return hp_profile_intern_bytes(profile, data, size);
    char *copy = hp_alloc(size, 1);
    memcpy(copy, data, size);
    const char *string = hp_profile_intern_bytes(profile, copy, hp_unescape(copy, size));
    free(copy);
    return string;
}

static bool is_name(const char *start, const char *end)
{
    for (const char *p = start; p < end; p++)
        if ((unsigned char)*p < ' ')
            return false;
    return end > start && end - start <= NAME_MAX_SIZE;
}

/* "a=1 b=2": facts heapprof.a and heapprof.b of one group. Words without '=' are passed over. */
static void add_group(struct hp_profile *profile, const char *text, size_t size)
{
    uint32_t group = 3; /* after the usual two, so that facts added later never join this line */
    if (profile->fact_count && profile->facts[profile->fact_count - 1].group >= group)
        group = profile->facts[profile->fact_count - 1].group + 1;
    const char *end = text + size;
    while (text < end) {
        const char *space = memchr(text, ' ', (size_t)(end - text));
        const char *stop = space ? space : end;
        const char *equals = memchr(text, '=', (size_t)(stop - text));
        if (equals && equals - text < 64 && is_name(text, equals)) {
            char name[PREFIX_SIZE + 64];
            memcpy(name, prefix, PREFIX_SIZE);
            memcpy(name + PREFIX_SIZE, text, (size_t)(equals - text));
            add(profile, hp_profile_intern_bytes(profile, name, PREFIX_SIZE + (size_t)(equals - text)),
                intern_unescaped(profile, equals + 1, (size_t)(stop - equals) - 1), group);
        }
        text = space ? space + 1 : end;
    }
}

/* Lines that only the readers understand; a fact of such a name, from some other file, would break
 * the text. */
static bool is_reserved(const char *name, size_t size)
{
    static const char *const names[] = {"heapprof.module", "heapprof.front", "heapprof.raw", "heapprof.type"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (size == strlen(names[i]) && memcmp(name, names[i], size) == 0)
            return true;
    return false;
}

bool hp_profile_add_comment(struct hp_profile *profile, const char *text, size_t size)
{
    static const char group_mark[] = "heapprof: ";
    const size_t mark_size = sizeof group_mark - 1;
    for (; size && *text == ' '; size--)
        text++;
    if (size > mark_size && memcmp(text, group_mark, mark_size) == 0) {
        add_group(profile, text + mark_size, size - mark_size);
        return true;
    }
    const char *equals = memmem(text, size, " = ", 3);
    if (!equals || !is_name(text, equals))
        return false;
    if (is_reserved(text, (size_t)(equals - text)))
        return false;
    const char *value = equals + 3;
    add(profile, hp_profile_intern_bytes(profile, text, (size_t)(equals - text)),
        intern_unescaped(profile, value, size - (size_t)(value - text)), 0);
    return true;
}

struct line {
    char *data;
    size_t used, capacity;
};

static void put(struct line *line, const char *data, size_t size)
{
    line->data = hp_grow(line->data, &line->capacity, line->used + size + 1, 1);
    memcpy(line->data + line->used, data, size);
    line->used += size;
    line->data[line->used] = '\0';
}

static void put_escaped(struct line *line, const char *value, bool spaces)
{
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c < ' ' || c == 127 || c == '\\' || (spaces && c == ' ')) {
            char octal[4] = {'\\', (char)('0' + (c >> 6)), (char)('0' + (c >> 3 & 7)), (char)('0' + (c & 7))};
            put(line, octal, sizeof octal);
        } else {
            put(line, value, 1);
        }
    }
}

static bool is_memstat(const char *name)
{
    for (size_t i = 0; i < sizeof memstats / sizeof *memstats; i++)
        if (strcmp(name, memstats[i]) == 0)
            return true;
    return false;
}

void hp_profile_each_comment(const struct hp_profile *profile, void (*emit)(void *state, const char *line), void *state)
{
    struct line line = {0};
    bool headline = false;
    for (size_t i = 0; i < profile->fact_count; i++) {
        const struct hp_fact *fact = &profile->facts[i];
        if (!headline && is_memstat(fact->name)) {
            emit(state, "# runtime.MemStats");
            headline = true;
        }
        if (!fact->group) {
            line.used = 0;
            put(&line, "# ", 2);
            put(&line, fact->name, strlen(fact->name));
            put(&line, " = ", 3);
            put_escaped(&line, fact->value, false);
            emit(state, line.data);
            continue;
        }
        bool full = line.used > GROUP_LINE_SIZE;
        if (i == 0 || profile->facts[i - 1].group != fact->group || full) {
            if (full && i && profile->facts[i - 1].group == fact->group)
                emit(state, line.data);
            line.used = 0;
            put(&line, "# heapprof:", 11);
        }
        put(&line, " ", 1);
        put(&line, fact->name + PREFIX_SIZE, strlen(fact->name + PREFIX_SIZE));
        put(&line, "=", 1);
        put_escaped(&line, fact->value, true);
        if (i + 1 == profile->fact_count || profile->facts[i + 1].group != fact->group)
            emit(state, line.data);
    }
    free(line.data);
}

const char *hp_profile_program(const struct hp_profile *profile)
{
    const char *program = hp_profile_fact(profile, "heapprof.program");
    if (program)
        return program;
    const char *exe = hp_profile_fact(profile, "heapprof.exe");
    const char *slash = exe ? strrchr(exe, '/') : NULL;
    return slash ? slash + 1 : exe;
}
