#include "base/parse.h"

bool hp_parse_number(const char **text, uint64_t most, uint64_t *value)
{
    const char *p = *text;
    uint64_t sum = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (digit > most || sum > (most - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *text = p;
    *value = sum;
    return true;
}

bool hp_parse_size(const char *text, uint64_t *bytes)
{
    static const char letters[] = "KMG";
    uint64_t value;
    unsigned shift = 0;
    if (!hp_parse_number(&text, HP_SIZE_MOST, &value))
        return false;
    for (unsigned i = 0; letters[i]; i++)
        if (*text == letters[i] || *text == (letters[i] | 0x20))
            shift = 10 * (i + 1);
    if (shift)
        text++;
    if (shift && text[0] == 'i' && text[1] == 'B')
        text += 2;
    else if (*text == 'B')
        text++;
    if (*text || value > HP_SIZE_MOST >> shift)
        return false;
    *bytes = value << shift;
    return true;
}

static bool equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

bool hp_parse_duration(const char *text, uint64_t *ns)
{
    static const struct {
        char name[3];
        uint64_t ns;
    } units[] = {{"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};
    uint64_t value;
    if (!hp_parse_number(&text, HP_DURATION_MOST, &value))
        return false;
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++)
        if (equal(text, units[i].name) && value <= HP_DURATION_MOST / units[i].ns) {
            *ns = value * units[i].ns;
            return true;
        }
    return false;
}

static bool stands_for_something(char letter)
{
    return letter == 'e' || letter == 'p' || letter == 'n' || letter == 't' || letter == '%';
}

/* What it takes with its end; nothing is written past `room`. */
static size_t make_absolute(const char *text, const char *directory, char *pattern, size_t room)
{
    size_t used = 0;
    for (const char *p = directory; *text != '/' && *p; p++)
        for (unsigned twice = *p == '%' ? 2 : 1; twice; twice--, used++)
            if (used < room)
                pattern[used] = *p;
    if (used && used < room)
        pattern[used] = '/';
    used += used > 0;
    for (const char *p = text; *p; p++, used++)
        if (used < room)
            pattern[used] = *p;
    if (used < room)
        pattern[used] = '\0';
    return used + 1;
}

bool hp_parse_pattern(const char *text, const char *directory, char *pattern, size_t room)
{
    if (!*text || make_absolute(text, directory, NULL, 0) > room)
        return false;
    for (const char *p = text; *p; p++)
        if (*p == '%' && !stands_for_something(*++p))
            return false;
    make_absolute(text, directory, pattern, room);
    return true;
}
