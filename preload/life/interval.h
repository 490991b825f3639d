/* interval.h - bytes a sample, as they change while the process runs. */
#ifndef HP_PRELOAD_INTERVAL_H
#define HP_PRELOAD_INTERVAL_H

#include <stdint.h>

/* Take over a new interval. Returns 0, -ENOSYS, or -EINVAL (more than 1 TiB). Async-signal-safe. */
int hp_library_set_interval(uint64_t bytes);

#endif
