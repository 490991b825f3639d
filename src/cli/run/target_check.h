/* target_check.h - can this program be profiled by preloading a library? Told before it runs,
 * rather than found out by an empty profile. */
#ifndef HP_CLI_RUN_TARGET_CHECK_H
#define HP_CLI_RUN_TARGET_CHECK_H

#include "profile/profile.h"

/* `command` is a path, or a name that is looked for in PATH as execvp(3) does. 0 if nothing is
 * known to be in the way; otherwise -errno, and *error says what, why, and what to do. Follows #!
 * lines and env(1) to the program that runs in the end. */
int hp_target_check(const char *command, struct hp_error *error);

#endif
