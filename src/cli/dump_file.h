/* dump_file.h - the file that `dump` and `recover` write. */
#ifndef HP_CLI_DUMP_FILE_H
#define HP_CLI_DUMP_FILE_H

#include "cli/verb.h"
#include "reader/reader.h"

/* `TARGET [-o FILE]`; output is NULL without -o. */
struct hp_dump_arguments {
    const char *target, *output;
};
/* Returns only when all is well. `target`: what the verb needs, for the usage error: "PID". */
void hp_dump_arguments_parse(const struct hp_verb *verb, const char *target, int argc, char **argv,
                             struct hp_dump_arguments *arguments);

/* What writes profile.proto (dump_proto.h). NULL in the program that starts at once, which has no symbolizer and leaves
 * such files to the other. */
typedef int hp_dump_converter_fn(const struct hp_ledger_info *info, const void *text, size_t size, const char *path);
extern hp_dump_converter_fn *hp_dump_converter;

/* Write the profile in this ledger to `output` (replaced when the new one is whole; "-": standard
 * output), or with NULL to heapprof.PROGRAM.PID.NUMBER.heap with the first free number; print the
 * name. As profile.proto if it is so named. Returns the exit status, having said what went wrong. */
int hp_dump_file_write(const struct hp_ledger_info *info, const char *output);
/* To `path`, without printing it. */
int hp_dump_file_put(const struct hp_ledger_info *info, const char *path);
/* The same of a running process. */
int hp_dump_running(pid_t pid, const char *output);

#endif
