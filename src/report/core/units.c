#include "report/core/units.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"

static const char *format(char *buffer, double value, bool bytes, const char *plus)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double size = fabs(value);
    const char *sign = value < 0 && size >= 0.5 ? "-" : size >= 0.5 ? plus : "";
    if (!bytes) {
        snprintf(buffer, HP_FIGURE, size < 1e15 ? "%s%.0f" : "%s%.3g", sign, size);
        return buffer;
    }
    /* What would round to 1024.0 belongs to the next unit. */
    while (size >= (unit ? 1023.95 : 1023.5) && unit + 1 < sizeof units / sizeof *units) {
        size /= 1024;
        unit++;
    }
    snprintf(buffer, HP_FIGURE, size < 1e9 ? "%s%.*f %s" : "%s%.*e %s", sign, unit ? 1 : 0, size, units[unit]);
    return buffer;
}

const char *hp_figure(char *buffer, double value, bool bytes)
{
    return format(buffer, value, bytes, "");
}

const char *hp_signed_figure(char *buffer, double value, bool bytes)
{
    return format(buffer, value, bytes, "+");
}

const char *hp_percent(char *buffer, double part, double total)
{
    if (total == 0)
        return strcpy(buffer, "-");
    double percent = 100 * part / fabs(total);
    snprintf(buffer, HP_FIGURE, fabs(percent) < 1e6 ? "%.1f%%" : "%.1e%%", fabs(percent) < 0.05 ? 0 : percent);
    return buffer;
}

/* Bytes of the UTF-8 sequence at `s`; 0 if it is none (overlong forms, surrogates, beyond
 * U+10FFFF). */
static size_t sequence(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    size_t size = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return size;
}

char *hp_clean(const char *text)
{
    char *clean = hp_alloc(strlen(text) + 1, 1), *out = clean;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t size = sequence(s);
        bool control = *s < ' ' || *s == 127 || (size == 2 && s[0] == 0xc2 && s[1] < 0xa0);
        if (!size || control) {
            *out++ = '?';
            s += size ? size : 1;
            continue;
        }
        memcpy(out, s, size);
        out += size;
        s += size;
    }
    *out = 0;
    return clean;
}

size_t hp_text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static const char *skip(const char *text, size_t columns)
{
    while (*text && (columns || ((unsigned char)*text & 0xc0) == 0x80)) {
        columns -= ((unsigned char)*text & 0xc0) != 0x80;
        text++;
    }
    return text;
}

char *hp_shorten(const char *text, size_t width)
{
    size_t all = hp_text_width(text);
    if (all <= width)
        return hp_strdup(text);
    if (width < 2)
        return hp_strdup(width ? "…" : "");
    size_t head = (width - 1) / 2, tail = width - 1 - head;
    const char *head_end = skip(text, head), *tail_start = skip(text, all - tail);
    return hp_print("%.*s…%s", (int)(head_end - text), text, tail_start);
}

char *hp_cut(const char *text, size_t width)
{
    if (hp_text_width(text) <= width)
        return hp_strdup(text);
    return width ? hp_print("%.*s…", (int)(skip(text, width - 1) - text), text) : hp_strdup("");
}

/* The end of the bracket that opens at `open`, behind its closing partner; NULL if it is none that
 * holds arguments: an operator's name, a Rust path that begins with it, an unnamed namespace. */
static const char *bracket_end(const char *name, const char *open)
{
    static const char operator_name[] = "operator", anonymous[] = "(anonymous namespace)";
    size_t word = sizeof operator_name - 1;
    if (open == name || !strncmp(open, anonymous, sizeof anonymous - 1) || open[1] == ')' ||
        ((size_t)(open - name) >= word && !memcmp(open - word, operator_name, word)) ||
        (*open == '<' && open[-1] == '<' && (size_t)(open - name) > word &&
         !memcmp(open - word - 1, operator_name, word)))
        return NULL;
    int depth = 0;
    for (const char *c = open; *c; c++) {
        bool arrow = *c == '>' && c[-1] == '-';
        if (*c == '<' || *c == '(')
            depth++;
        else if ((*c == '>' && !arrow) || *c == ')')
            depth--;
        if (!depth)
            return c + 1;
    }
    return NULL;
}

/* Parameters tell least, so they go first; then the template arguments. */
static char *elide(const char *name, char bracket)
{
    char *result = hp_alloc(3 * strlen(name) + 1, 1), *out = result; /* "<…>" for "<a>" */
    for (const char *c = name; *c;) {
        const char *end = *c == bracket ? bracket_end(name, c) : NULL;
        if (!end) {
            *out++ = *c++;
            continue;
        }
        out += sprintf(out, "%c…%c", bracket, end[-1]);
        c = end;
    }
    *out = 0;
    return result;
}

/* The longest end of a qualified name that fits: the outer scopes tell less than the inner ones.
 * NULL if not even the innermost name does. */
static char *drop_scopes(const char *name, size_t width)
{
    for (const char *c = name; *c; c++) {
        const char *end = *c == '(' || *c == '<' ? bracket_end(name, c) : NULL;
        if (end) {
            c = end - 1;
            continue;
        }
        if (c[0] == ':' && c[1] == ':' && hp_text_width(c) < width)
            return hp_print("…%s", c);
    }
    return NULL;
}

char *hp_shorten_function(const char *name, size_t width)
{
    if (hp_text_width(name) <= width)
        return hp_strdup(name);
    char *no_parameters = elide(name, '(');
    if (hp_text_width(no_parameters) <= width)
        return no_parameters;
    char *bare = elide(no_parameters, '<');
    free(no_parameters);
    char *shorter = hp_text_width(bare) > width ? drop_scopes(bare, width) : NULL;
    if (!shorter)
        shorter = hp_shorten(bare, width);
    free(bare);
    return shorter;
}

const char *hp_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}
