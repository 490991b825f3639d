/* decimal.h - numbers as decimal digits, without stdio: it runs inside other people's programs. Async-signal-safe. */
#ifndef HP_BASE_DECIMAL_H
#define HP_BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

#define HP_DECIMAL_MOST 20u /* digits of the largest number */

/* The value with at least so many digits (at most HP_DECIMAL_MOST), with no end mark; returns how many there are. */
static inline size_t hp_put_decimal(char *to, uint64_t value, unsigned least)
{
    size_t count = 1;
    for (uint64_t rest = value; rest >= 10; rest /= 10)
        count++;
    if (count < least)
        count = least;
    for (size_t at = count; at > 0; value /= 10)
        to[--at] = (char)('0' + value % 10);
    return count;
}

#endif
