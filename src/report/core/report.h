/* report.h - a report is a const descriptor in a file of its own; this list has them all. */
#ifndef HP_REPORT_CORE_REPORT_H
#define HP_REPORT_CORE_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "profile/profile.h"
#include "report/core/series.h"
#include "report/core/source.h"
#include "report/core/table.h"
#include "report/core/view.h"

struct hp_report_options {
    struct hp_view_options view;
    enum hp_sample_type sample;
    bool raw, by_cum;
    bool json;
    size_t rows; /* at most; 0: all */
    bool rows_given;
    const char *pattern;            /* peek, list: which functions; NULL otherwise */
    struct hp_source_rules *source; /* what source may be shown; NULL: none */
    struct hp_look look;
};

struct hp_report_input {
    const struct hp_profile *before; /* --base, or the A of diff; NULL if there is none */
    const struct hp_profile *profile;
    const struct hp_series *series; /* html: `profile` is its stacks, and `before` NULL; NULL: none */
    unsigned refresh_ms;            /* html of a series: how often to ask the server for more; 0: never */
};

struct hp_report_outcome {
    double significant_growth; /* diff: the growth of all significant rows that grew, in the
                                  sample's unit */
    double before;             /* diff: all that there was, in the same unit */
};

struct hp_stacks;

struct hp_report {
    const char *name;
    /* One of the two. */
    /* Writes to `out`, whose errors the caller looks for. 0, or -errno and *error; -EINVAL: the
     * options are wrong. */
    int (*write)(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                 struct hp_report_outcome *outcome, struct hp_error *error);
    /* The same of the stacks of the input, which are built before. */
    int (*write_stacks)(FILE *out, const struct hp_report_input *input, struct hp_stacks *stacks,
                        const struct hp_report_options *options, struct hp_error *error);
};

/* By whichever it has. */
int hp_report_write(const struct hp_report *report, FILE *out, const struct hp_report_input *input,
                    const struct hp_report_options *options, struct hp_report_outcome *outcome, struct hp_error *error);

extern const struct hp_report hp_report_top;
extern const struct hp_report hp_report_diff;
extern const struct hp_report hp_report_stats;
extern const struct hp_report hp_report_tree;
extern const struct hp_report hp_report_peek;
extern const struct hp_report hp_report_list;
extern const struct hp_report hp_report_traces;
extern const struct hp_report hp_report_tags;
extern const struct hp_report hp_report_folded;
extern const struct hp_report hp_report_speedscope;
extern const struct hp_report hp_report_json_profile;
extern const struct hp_report hp_report_svg;
extern const struct hp_report hp_report_dot;
extern const struct hp_report hp_report_html;

#endif
