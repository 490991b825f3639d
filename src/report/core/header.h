/* header.h - the lines above a table: what is shown, of which program, and how sure it is. */
#ifndef HP_REPORT_CORE_HEADER_H
#define HP_REPORT_CORE_HEADER_H

#include "report/core/report.h"

/* "NAME: PROGRAM (pid N), inuse_space, 1 sample per 512.0 KiB" and, where samples were lost, a line
 * that says so. `options` NULL: without the sample type. */
void hp_header_write(FILE *out, const struct hp_profile *profile, const struct hp_report_options *options);
/* "12.0 MiB ± 1.4 MiB (84 samples)", or "12.0 MiB (exact, 84 objects)". The caller frees it. */
char *hp_header_total(const struct hp_estimate *total, const struct hp_profile *profile,
                      const struct hp_report_options *options);
/* What rows are called at this granularity: "function", "file", "line", "address". */
const char *hp_header_row(const struct hp_report_options *options);
/* Where a row is, for the dim end of its line: "sds.c:103"; "" when the label says it already. The
 * caller frees it. */
char *hp_header_place(const struct hp_place *place, const struct hp_report_options *options);

/* The header lines of a report with one total: hp_header_write, "less BASE" and "total ...". */
void hp_header_report(FILE *out, const struct hp_report_input *input, const struct hp_estimate *total,
                      const struct hp_report_options *options);
/* There is no error to show: the profiles are exact, or the figures as sampled. */
bool hp_header_exact(const struct hp_report_input *input, const struct hp_report_options *options);

static inline bool hp_in_bytes(const struct hp_report_options *options)
{
    return options->sample == HP_INUSE_SPACE || options->sample == HP_ALLOC_SPACE;
}

/* No sampling noise: nothing to show a ± for. */
static inline bool hp_is_exact(const struct hp_profile *profile)
{
    return hp_profile_exact(profile);
}

#endif
