#include "cli/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int digits(const char *text, uint64_t *value, const char **rest)
{
    if (!isdigit((unsigned char)*text)) /* strtoull takes a sign and blanks */
        return -EINVAL;
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    *rest = end;
    return errno ? -ERANGE : 0;
}

static int scale(uint64_t value, uint64_t factor, uint64_t *result)
{
    return __builtin_mul_overflow(value, factor, result) ? -ERANGE : 0;
}

int hp_size_parse(const char *text, uint64_t *bytes)
{
    uint64_t value;
    const char *unit;
    int status = digits(text, &value, &unit);
    if (status)
        return status;
    static const char letters[] = "KMGT";
    unsigned shift = 0;
    const char *letter = *unit ? strchr(letters, toupper((unsigned char)*unit)) : NULL;
    if (letter) {
        shift = 10 * (unsigned)(letter - letters + 1);
        unit++;
    }
    bool known = !*unit || !strcasecmp(unit, "B") || (letter && !strcasecmp(unit, "iB"));
    if (!known)
        return -EINVAL;
    uint64_t result;
    status = scale(value, (uint64_t)1 << shift, &result);
    if (!status)
        *bytes = result;
    return status;
}

int hp_duration_parse(const char *text, uint64_t *nanoseconds)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};
    uint64_t value;
    const char *unit;
    int status = digits(text, &value, &unit);
    if (status)
        return status;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(unit, units[i].name)) {
            uint64_t result;
            status = scale(value, units[i].ns, &result);
            if (!status)
                *nanoseconds = result;
            return status;
        }
    return -EINVAL;
}
