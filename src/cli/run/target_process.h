/* target_process.h - the target of `heapprof run`: started, waited for, and its dumps found. */
#ifndef HP_CLI_RUN_TARGET_PROCESS_H
#define HP_CLI_RUN_TARGET_PROCESS_H

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "profile/profile.h"

/* Called once, when the program runs, with its process id. */
typedef void hp_run_started_fn(void *state, pid_t pid);

/* Starts `argv` with the current environment, hands on the signals that ask a program to end or to
 * do something, and waits. 0 and the status as of waitpid(2), or -errno and *error. */
int hp_run_target(char **argv, hp_run_started_fn *started, void *state, pid_t *pid, int *wait_status,
                  struct hp_error *error);

/* The files that a HEAPPROF_OUTPUT pattern stands for, in the order of their time. `pid` 0: of any
 * process. Only those written since `since`. The caller frees each path and the list. */
struct hp_dumps {
    char **paths;
    size_t count;
};
void hp_dumps_find(const char *pattern, pid_t pid, const struct timespec *since, struct hp_dumps *dumps);
void hp_dumps_free(struct hp_dumps *dumps);

#endif
