/* series_recorder.h - `heapprof run --every`: keeps a series of profiles of the target, read from outside.
 */
#ifndef HP_CLI_RUN_SERIES_RECORDER_H
#define HP_CLI_RUN_SERIES_RECORDER_H

#include <stdint.h>
#include <sys/types.h>

#include "profile/profile.h"

/* So many files, and bytes of them, at most: past that they are thinned (report/core/series.h). */
#define HP_SERIES_FILES 64
#define HP_SERIES_BYTES (256ull << 20)

struct hp_series_recorder;

/* A thread that reads the ledger of process `pid` each `every_ns`, and writes what it finds to
 * files. `pattern` is that of HEAPPROF_OUTPUT, which lives as long as the recorder; %n is sNNNN,
 * which no dump of the process itself has (without %n it stands before the name's .heap and .gz).
 * NULL, and a line, if no thread can be had. */
struct hp_series_recorder *hp_series_recorder_start(pid_t pid, uint64_t every_ns, const char *pattern);
/* Ends the thread; the target has ended. `killed`: its ledger is still there, and becomes the last
 * moment. */
void hp_series_recorder_stop(struct hp_series_recorder *recorder, bool killed);
/* The time line, on standard error. `last`: the profile that the target wrote at its end, or NULL.
 */
void hp_series_recorder_report(const struct hp_series_recorder *recorder, const struct hp_profile *last);
void hp_series_recorder_free(struct hp_series_recorder *recorder);

/* The name that the pattern stands for, as the library makes it, with `number` for %n. The caller frees it. */
char *hp_pattern_name(const char *pattern, const char *program, pid_t pid, const char *number, int64_t time_s);
/* The name of file `number` of a series. The caller frees it. */
char *hp_series_file_name(const char *pattern, const char *program, pid_t pid, unsigned number, int64_t time_s);

#endif
