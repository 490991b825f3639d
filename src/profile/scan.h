/* scan.h - numbers and words of a text line, without locale and without sscanf (which takes the
 * larger part of the time of reading a large profile).
 *
 * Each function moves *cursor past what it took and returns true; or leaves it and returns false.
 */
#ifndef HP_PROFILE_SCAN_H
#define HP_PROFILE_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline void hp_scan_spaces(const char **cursor)
{
    while (**cursor == ' ' || **cursor == '\t')
        (*cursor)++;
}

static inline bool hp_scan_char(const char **cursor, char expected)
{
    if (**cursor != expected)
        return false;
    (*cursor)++;
    return true;
}

static inline bool hp_scan_word(const char **cursor, const char *word)
{
    size_t size = strlen(word);
    if (strncmp(*cursor, word, size) != 0)
        return false;
    *cursor += size;
    return true;
}

/* 0...INT64_MAX: readers elsewhere take these counters as signed. */
static inline bool hp_scan_dec(const char **cursor, uint64_t *value)
{
    const char *p = *cursor;
    uint64_t sum = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (sum > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    if (p == *cursor)
        return false;
    *cursor = p;
    *value = sum;
    return true;
}

/* 16 digits at most; no 0x. */
static inline bool hp_scan_hex(const char **cursor, uint64_t *value)
{
    const char *p = *cursor;
    uint64_t sum = 0;
    for (;; p++) {
        unsigned digit;
        if (*p >= '0' && *p <= '9')
            digit = (unsigned)(*p - '0');
        else if (*p >= 'a' && *p <= 'f')
            digit = (unsigned)(*p - 'a') + 10;
        else if (*p >= 'A' && *p <= 'F')
            digit = (unsigned)(*p - 'A') + 10;
        else
            break;
        if (sum >> 60)
            return false;
        sum = sum << 4 | digit;
    }
    if (p == *cursor)
        return false;
    *cursor = p;
    *value = sum;
    return true;
}

#endif
