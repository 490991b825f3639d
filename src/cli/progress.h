/* progress.h - one line on a terminal's standard error that tells how far long work is; nothing in
 * a pipe, and nothing for work that is done at once. */
#ifndef HP_CLI_PROGRESS_H
#define HP_CLI_PROGRESS_H

#include <stddef.h>

/* "WHAT 120 of 4000"; `what` is shown until another one follows. Cheap enough for inner loops. */
void hp_progress(const char *what, size_t done, size_t all);
/* Takes the line away, if there is one. Everything else that writes to standard error calls it. */
void hp_progress_clear(void);

#endif
