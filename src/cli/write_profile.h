/* write_profile.h - whole profiles into files. */
#ifndef HP_CLI_WRITE_PROFILE_H
#define HP_CLI_WRITE_PROFILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "cli/output.h"
#include "profile/profile.h"
#include "report/core/report.h"

struct hp_format {
    const char *name;
    bool binary;    /* not for a terminal */
    unsigned takes; /* the report options that mean anything to it: enum hp_report_option */
    /* One of the two. 0 or the sink's error. */
    int (*write)(struct hp_profile *profile, hp_sink_fn *sink, void *state);
    const struct hp_report *report;
};
struct hp_series;

extern const struct hp_format hp_format_text, hp_format_pprof;
extern const struct hp_format *const hp_formats[]; /* ends with NULL */

/* By how the name of an output file ends: profile.proto, or else text. */
static inline bool hp_is_proto_name(const char *path)
{
    return hp_ends_in(path, ".pb.gz") || hp_ends_in(path, ".pb") || hp_ends_in(path, ".pprof");
}
const struct hp_format *hp_format_of_name(const char *path);
/* The profile may lose frames that the format has no use for.
 * `base`: to be subtracted, or NULL. To `path`, or NULL or "-": standard output. Names that end in
 * .gz are compressed, and get `mode`, which may be HP_OUTPUT_MODE. The exit status. */
/* `series`: for html, then `profile` is its stacks; or NULL. */
int hp_write_profile(struct hp_profile *profile, const struct hp_profile *base, const struct hp_series *series,
                     const struct hp_format *format, const struct hp_report_options *options, const char *path,
                     mode_t mode);

#endif
