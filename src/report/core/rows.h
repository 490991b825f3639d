/* rows.h - what reports add up: the samples of a profile, or of the difference of two, by function,
 * file, line or address.
 *
 *   flat  of the samples whose innermost frame is this row
 *   cum   of the samples that have this row anywhere in their stack, each counted once
 */
#ifndef HP_REPORT_CORE_ROWS_H
#define HP_REPORT_CORE_ROWS_H

#include "profile/profile.h"
#include "report/statistics/pairs.h"
#include "report/core/report.h"
#include "report/core/view.h"

/* Without a profile to compare with, `before` is 0 and `growth` is the estimate itself. */
struct hp_measure {
    struct hp_estimate before, after, growth;
};

struct hp_report_row {
    const struct hp_place *place; /* line: for functions, the line of theirs that allocates most */
    struct hp_measure flat, cum;
    double probability; /* that noise alone makes such a growth; 1 unless asked for */
    bool significant;
};

struct hp_rows_options {
    struct hp_view_options view;
    enum hp_sample_type type;
    bool raw, by_cum;
    bool test; /* fill in probability and significant, of flat or (by_cum) of cum; significant rows
                  come first */
};

struct hp_rows {
    struct hp_report_row *rows; /* most first */
    size_t count;
    struct hp_measure total; /* of all samples, also of those that --focus leaves out */
    struct hp_places places;
    struct hp_place *own_places;
};

/* `before` may be NULL. 0, or -EINVAL and *error for a bad regular expression. */
int hp_rows_build(const struct hp_profile *before, const struct hp_profile *after,
                  const struct hp_rows_options *options, struct hp_rows *rows, struct hp_error *error);
/* Which rows of a difference changed by more than noise explains, by themselves or (by_cum) with
 * all that they call: one byte by row number of the hp_stacks of the same input and options, to be
 * freed by the caller; *count of them. */
int hp_rows_significant(const struct hp_report_input *input, const struct hp_report_options *options,
                        char **significant, size_t *count, struct hp_error *error);
void hp_rows_free(struct hp_rows *rows);

static inline const struct hp_measure *hp_row_measure(const struct hp_report_row *row, bool by_cum)
{
    return by_cum ? &row->cum : &row->flat;
}

#endif
