/* run_report.h - what `heapprof run` says when the target has ended. */
#ifndef HP_CLI_RUN_RUN_REPORT_H
#define HP_CLI_RUN_RUN_REPORT_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

struct hp_series_recorder;
struct hp_run_dumps {
    const char *pattern; /* where the target's dumps went */
    const char *folder;  /* a private one, of dumps that nobody asked to keep; NULL: none */
    pid_t pid;           /* of the target */
    bool killed;         /* by a signal: it made no dump at its end */
    bool wanted;         /* somebody asked for the file of the dump at the end */
    struct timespec started;
    const struct hp_series_recorder *recorder; /* of the series; NULL: none */
};

/* Where the target made no dump at its end though one was wanted, the file is written from its ledger. */
void hp_run_keep(const struct hp_run_dumps *dumps);
/* The report, on standard error. */
void hp_run_report(const struct hp_run_dumps *dumps);
/* Dumps that are named as profile.proto, which the library wrote as text, become that. */
void hp_run_convert(const struct hp_run_dumps *dumps);
/* Removes the private folder with the dumps made at the end of processes; those that somebody asked
 * for before, by a signal, move to the current directory. `quiet`: without saying so. */
void hp_run_clear(const struct hp_run_dumps *dumps, bool quiet);

#endif
