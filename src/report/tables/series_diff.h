/* series_diff.h - the report of diff --series: sites by how fast they grow. */
#ifndef HP_REPORT_TABLES_SERIES_DIFF_H
#define HP_REPORT_TABLES_SERIES_DIFF_H

#include "report/core/report.h"
#include "report/core/series.h"

/* As a report's write (report.h). outcome->significant_growth: of the marked rows, from first to
 * last. */
int hp_series_diff_write(FILE *out, const struct hp_series *series, const struct hp_report_options *options,
                         struct hp_report_outcome *outcome, struct hp_error *error);

#endif
