/* say.h - what the command says on standard error: one line each, whatever names and messages hold.
 */
#ifndef HP_CLI_SAY_H
#define HP_CLI_SAY_H

/* "heapprof: ...". Returns HP_FAILED, for the caller to exit with. */
int hp_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "note: ..." */
void hp_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "heapprof: ... (try 'heapprof help VERB')", and exits with HP_USAGE. */
void hp_usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* The verb that hp_usage names from now on. */
void hp_usage_verb(const char *name);

#endif
