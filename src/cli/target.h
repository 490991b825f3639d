/* target.h - live targets: told by their number, read into memory. */
#ifndef HP_CLI_TARGET_H
#define HP_CLI_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/text_writer.h"

/* True, and the number, if `argument` is a possible process id. */
bool hp_number_is_pid(const char *argument, pid_t *pid);

/* The text profile of a live target, read from its ledger; sink as hp_text's. HP_DONE, or HP_FAILED
 * after a line. */
int hp_target_dump(pid_t pid, hp_sink_fn *sink, void *state);

/* A sink that collects in memory. Starts zeroed; the caller frees `data`. */
struct hp_byte_buffer {
    char *data;
    size_t size, capacity;
};
int hp_byte_buffer_sink(void *buffer, const void *data, size_t size);

#endif
