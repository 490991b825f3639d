/* values.h - the values of options. What is none is a usage error, which names the option, the value and what is
 * understood; it does not return.
 */
#ifndef HP_CLI_VALUES_H
#define HP_CLI_VALUES_H

#include <stdint.h>

/* Bytes; up to HP_SIZE_MOST, as the library takes them. */
uint64_t hp_size_value(const char *option, const char *value);
/* Nanoseconds; the limits are durations themselves, as they are shown. */
uint64_t hp_duration_value(const char *option, const char *value, const char *least, const char *most);
/* A whole number, with what it counts. */
uint64_t hp_count_value(const char *option, const char *value, const char *what);

#endif
