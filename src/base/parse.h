/* parse.h - sizes, durations and patterns of names as people write them, for the library's settings and the command's
 * options alike: what one takes, the other takes for the same.
 *
 * No malloc, no locale, no call of any library: it runs at the start of other people's programs. All of the text must
 * be the value: no sign, no blanks, no fraction. What is no value leaves the result as it was.
 */
#ifndef HP_BASE_PARSE_H
#define HP_BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HP_SIZE_MOST (1ull << 40) /* bytes */
#define HP_SIZE_MOST_TEXT "1024G"
#define HP_SIZE_FORM "bytes, or a number with K, M or G (512K, 2MiB)"

#define HP_DURATION_MOST (366ull * 24 * 3600 * 1000000000) /* ns; a year */
#define HP_DURATION_MOST_TEXT "8784h"
#define HP_DURATION_FORM "a number with ms, s, m or h (500ms, 30s)"

#define HP_PATTERN_FORM "a name in which %e, %p, %n, %t and %% stand for something"

/* Decimal digits at *text, up to `most`; *text is then what follows. */
bool hp_parse_number(const char **text, uint64_t most, uint64_t *value);

/* "4096", "512K", "2MiB", "1kB" -> bytes, up to HP_SIZE_MOST. K, M and G (or k, m and g) are powers of 1024, with or
 * without iB or B, which are spelled so: Kib and b are bits elsewhere. */
bool hp_parse_size(const char *text, uint64_t *bytes);

/* "500ms", "30s", "5m", "1h" -> ns, up to HP_DURATION_MOST. A unit is needed, in small letters: 5M could be months. */
bool hp_parse_duration(const char *text, uint64_t *ns);

/* The absolute form of a pattern for names of dumps: `directory` is put before a relative one, with its percent signs
 * doubled, which mean nothing. False if the pattern is empty, has a percent sign that stands for nothing, or would not
 * fit into `room` bytes. */
bool hp_parse_pattern(const char *text, const char *directory, char *pattern, size_t room);

#endif
