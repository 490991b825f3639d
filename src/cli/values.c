#include "cli/values.h"

#include "base/parse.h"
#include "cli/say.h"

uint64_t hp_size_value(const char *option, const char *value)
{
    uint64_t bytes;
    if (!hp_parse_size(value, &bytes))
        hp_usage("%s: '%.200s' is no size up to %s: %s", option, value, HP_SIZE_MOST_TEXT, HP_SIZE_FORM);
    return bytes;
}

uint64_t hp_duration_value(const char *option, const char *value, const char *least, const char *most)
{
    uint64_t ns, from = 0, to = 0;
    hp_parse_duration(least, &from);
    hp_parse_duration(most, &to);
    if (!hp_parse_duration(value, &ns) || ns < from || ns > to)
        hp_usage("%s: '%.200s' is no duration from %s to %s: %s", option, value, least, most, HP_DURATION_FORM);
    return ns;
}

uint64_t hp_count_value(const char *option, const char *value, const char *what)
{
    uint64_t count;
    const char *rest = value;
    if (!hp_parse_number(&rest, INT64_MAX, &count) || *rest)
        hp_usage("%s: '%.200s' is no number of %s", option, value, what);
    return count;
}
