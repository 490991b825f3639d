/* What grew from one profile to the next, and whether that is more than the noise of sampling. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/core/header.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/rows.h"
#include "report/core/units.h"

struct summary {
    size_t significant, changed, shown;
    double growth; /* of the significant rows that grew, flat */
};

/* Rows in which nothing differs are no part of a diff; they sort last. */
static bool differs(const struct hp_report_row *row, bool by_cum)
{
    const struct hp_measure *measure = hp_row_measure(row, by_cum);
    return row->significant || fabs(measure->growth.value) >= 0.5;
}

static double significant_growth(const struct hp_rows *rows)
{
    double growth = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i].significant && rows->rows[i].flat.growth.value > 0)
            growth += rows->rows[i].flat.growth.value;
    return growth;
}

static struct summary summarize(const struct hp_rows *rows, const struct hp_report_options *options)
{
    struct summary summary = {0};
    for (size_t i = 0; i < rows->count; i++) {
        summary.changed += differs(&rows->rows[i], options->by_cum);
        summary.significant += rows->rows[i].significant;
    }
    summary.shown = options->rows && options->rows < summary.changed ? options->rows : summary.changed;
    return summary;
}

static void write_json(FILE *out, const struct hp_report_input *input, const struct hp_rows *rows,
                       const struct summary *summary, const struct hp_report_options *options)
{
    const struct hp_measure *total = &rows->total;
    json_t *document = hp_json_document(input, options), *list = json_array();
    hp_json_set(document, "total", hp_json_number(total->growth.value));
    hp_json_set(document, "total_error", hp_json_number(hp_estimate_error(&total->growth)));
    hp_json_set(document, "samples", hp_json_number((double)total->growth.samples));
    hp_json_set(document, "total_before", hp_json_number(total->before.value));
    hp_json_set(document, "total_after", hp_json_number(total->after.value));
    hp_json_set(document, "significant_growth", hp_json_number(summary->growth));
    hp_json_set(document, "same_process", json_boolean(hp_same_process(input->before, input->profile)));
    for (size_t i = 0; i < summary->shown; i++) {
        const struct hp_measure *measure = hp_row_measure(&rows->rows[i], options->by_cum);
        json_t *row = json_object();
        hp_json_place(row, rows->rows[i].place);
        hp_json_set(row, "before", hp_json_number(measure->before.value));
        hp_json_set(row, "after", hp_json_number(measure->after.value));
        hp_json_set(row, "growth", hp_json_number(measure->growth.value));
        hp_json_set(row, "growth_error", hp_json_number(hp_estimate_error(&measure->growth)));
        hp_json_set(row, "significant", json_boolean(rows->rows[i].significant));
        hp_json_set(row, "samples", hp_json_number((double)measure->growth.samples));
        hp_json_set(row, "probability", json_real(rows->rows[i].probability));
        hp_json_set(row, "before_samples", hp_json_number((double)measure->before.samples));
        hp_json_set(row, "after_samples", hp_json_number((double)measure->after.samples));
        json_array_append_new(list, row);
    }
    hp_json_set(document, "rows", list);
    hp_json_write(out, document);
}

static void write_table(FILE *out, const struct hp_rows *rows, size_t shown, const struct hp_report_options *options,
                        bool exact)
{
    const struct hp_column columns[] = {
        {"before", 2}, {"after", 0}, {"growth", 0}, {"±", 0}, {"samples", 1}, {" ", 0}, {hp_header_row(options), 0}};
    const struct hp_column exact_columns[] = {{"before", 2},  {"after", 0}, {"growth", 0},
                                              {"objects", 1}, {" ", 0},     {hp_header_row(options), 0}};
    struct hp_table *table = exact ? hp_table_new(exact_columns, 6) : hp_table_new(columns, 7);
    bool bytes = hp_in_bytes(options);
    for (size_t i = 0; i < shown; i++) {
        const struct hp_report_row *row = &rows->rows[i];
        const struct hp_measure *measure = hp_row_measure(row, options->by_cum);
        enum hp_style style = !row->significant ? HP_PLAIN : measure->growth.value > 0 ? HP_RED : HP_GREEN;
        char figure[HP_FIGURE];
        hp_table_cell(table, HP_PLAIN, hp_figure(figure, measure->before.value, bytes));
        hp_table_cell(table, HP_PLAIN, hp_figure(figure, measure->after.value, bytes));
        hp_table_cell(table, style, hp_signed_figure(figure, measure->growth.value, bytes));
        if (!exact)
            hp_table_cell(table, HP_DIM, hp_figure(figure, hp_estimate_error(&measure->growth), bytes));
        snprintf(figure, sizeof figure, "%" PRIu64, measure->growth.samples);
        hp_table_cell(table, HP_PLAIN, figure);
        hp_table_cell(table, style, row->significant ? "*" : " ");
        char *place = hp_header_place(row->place, options);
        hp_table_last(table, style, row->place->label, place);
        free(place);
    }
    hp_table_write(table, out, &options->look);
    hp_table_free(table);
}

static void write_summary(FILE *out, const struct hp_report_input *input, const struct hp_rows *rows,
                          const struct summary *summary, const struct hp_report_options *options)
{
    const struct hp_measure *total = &rows->total;
    char *before = hp_header_total(&total->before, input->before, options);
    char *after = hp_header_total(&total->after, input->profile, options);
    char growth[HP_FIGURE], error[HP_FIGURE];
    bool bytes = hp_in_bytes(options);
    fprintf(out, "before %s\nafter  %s\n", before, after);
    fprintf(out, "growth %s", hp_signed_figure(growth, total->growth.value, bytes));
    double half = hp_estimate_error(&total->growth);
    if (half > 0)
        fprintf(out, " ± %s", hp_figure(error, half, bytes));
    const char *what = hp_granularity_names[options->view.granularity];
    fprintf(out, ", %zu of %zu changed %s shown\n", summary->shown, summary->changed, what);
    if (summary->significant)
        fprintf(out, "%zu marked *: more than the noise of sampling; significant growth: %s\n", summary->significant,
                hp_figure(growth, summary->growth, bytes));
    else
        fprintf(out, "no %s changed by more than the noise of sampling\n", hp_header_row(options));
    free(before);
    free(after);
}

static int write_diff(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                      struct hp_report_outcome *outcome, struct hp_error *error)
{
    struct hp_rows_options wanted = {options->view, options->sample, options->raw, options->by_cum, true};
    struct hp_rows rows;
    int status = hp_rows_build(input->before, input->profile, &wanted, &rows, error);
    if (status)
        return status;
    struct summary summary = summarize(&rows, options);
    if (options->by_cum) { /* every caller would count the same growth again */
        struct hp_rows flat;
        wanted.by_cum = false;
        status = hp_rows_build(input->before, input->profile, &wanted, &flat, error);
        summary.growth = status ? 0 : significant_growth(&flat);
        hp_rows_free(&flat);
    } else {
        summary.growth = significant_growth(&rows);
    }
    outcome->significant_growth = summary.growth;
    outcome->before = rows.total.before.value;
    if (options->json) {
        write_json(out, input, &rows, &summary, options);
    } else {
        hp_header_write(out, input->before, options);
        hp_header_write(out, input->profile, options);
        write_summary(out, input, &rows, &summary, options);
        bool exact = options->raw || (hp_is_exact(input->profile) && hp_is_exact(input->before));
        if (summary.shown)
            write_table(out, &rows, summary.shown, options, exact);
    }
    hp_rows_free(&rows);
    return status;
}

const struct hp_report hp_report_diff = {"diff", write_diff};
