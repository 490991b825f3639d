/* complain.h - what the library says on the target's standard error. Async-signal-safe. */
#ifndef HP_PRELOAD_COMPLAIN_H
#define HP_PRELOAD_COMPLAIN_H

#include <stddef.h>

/* What strerror would say, without locale; a number where there is no such text. */
const char *hp_error_text(int error);

/* A whole line on standard error, of at most PIPE_BUF bytes; nothing if descriptor 2 is no longer what it was at the
 * start, or can't take it at once. */
void hp_say(const char *line, size_t size);

/* One line on standard error, "heapprof: " and the parts; nothing if descriptor 2 is no longer what it was at the
 * start.
 * */
void hp_complain(const char *const *parts, unsigned count);

#endif
