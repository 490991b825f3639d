/* output.h - files that appear whole or not at all: written beside their name, then renamed. */
#ifndef HP_CLI_OUTPUT_H
#define HP_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <zlib.h>

struct hp_output {
    char *path;  /* NULL: standard output */
    char *draft; /* what is written until it is whole; NULL: written in place (a pipe, a device) */
    int descriptor;
    gzFile gzip; /* NULL: not compressed */
};

/* For one's own eyes, or as the file of this user that is replaced. */
#define HP_OUTPUT_MODE ((mode_t)-1)

/* `path` NULL or "-": standard output. `gzip`: compress. `mode` of the file, whatever the umask. Links, pipes and
 * devices that belong neither to this user nor to root are refused, but for the pipe or terminal that is standard
 * output. Returns HP_DONE, or HP_FAILED after a line that says why. */
int hp_output_open(struct hp_output *output, const char *path, bool gzip, mode_t mode);
int hp_output_sink(void *output, const void *data, size_t size); /* an hp_sink_fn */
/* Puts the file in place; with `keep` false, or when that fails, removes it. With `exclusive` an
 * existing file stays, and -EEXIST is returned. Otherwise HP_DONE, or HP_FAILED after a line. */
int hp_output_close(struct hp_output *output, bool keep, bool exclusive);

/* The name ends in `suffix`. */
bool hp_ends_in(const char *name, const char *suffix);
/* Flushes standard output: HP_DONE, or HP_FAILED after a line. */
int hp_output_flush(void);

#endif
