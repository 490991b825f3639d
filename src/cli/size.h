/* size.h - sizes and durations as options take them. */
#ifndef HP_CLI_SIZE_H
#define HP_CLI_SIZE_H

#include <stdint.h>

/* "4096", "512K", "2MiB", "1GB" (powers of 1024; letters of either case). 0, or -EINVAL, or -ERANGE
 * when it does not fit into 64 bits; then *bytes is untouched. */
int hp_size_parse(const char *text, uint64_t *bytes);
/* "500ms", "30s", "5m", "1h": a unit is needed. */
int hp_duration_parse(const char *text, uint64_t *nanoseconds);

#endif
