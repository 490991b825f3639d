/* The rows that most memory is allocated in. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/core/header.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/rows.h"
#include "report/core/units.h"

static size_t shown_rows(const struct hp_rows *rows, const struct hp_report_options *options)
{
    return options->rows && options->rows < rows->count ? options->rows : rows->count;
}

static void write_json(FILE *out, const struct hp_report_input *input, const struct hp_rows *rows,
                       const struct hp_report_options *options)
{
    json_t *document = hp_json_document(input, options), *list = json_array();
    hp_json_total(document, &rows->total.growth);
    for (size_t i = 0; i < shown_rows(rows, options); i++) {
        const struct hp_estimate *flat = &rows->rows[i].flat.growth, *cum = &rows->rows[i].cum.growth;
        json_t *row = json_object();
        hp_json_place(row, rows->rows[i].place);
        hp_json_set(row, "flat", hp_json_number(flat->value));
        hp_json_set(row, "flat_error", hp_json_number(hp_estimate_error(flat)));
        hp_json_set(row, "cum", hp_json_number(cum->value));
        hp_json_set(row, "cum_error", hp_json_number(hp_estimate_error(cum)));
        hp_json_set(row, "samples", hp_json_number((double)flat->samples));
        hp_json_set(row, "cum_samples", hp_json_number((double)cum->samples));
        json_array_append_new(list, row);
    }
    hp_json_set(document, "rows", list);
    hp_json_write(out, document);
}

static void add_estimate(struct hp_table *table, const struct hp_estimate *estimate, double total, bool bytes,
                         bool exact)
{
    char figure[HP_FIGURE];
    enum hp_style style = fabs(estimate->value) >= 0.1 * fabs(total) && total != 0 ? HP_BOLD : HP_PLAIN;
    hp_table_cell(table, style, hp_figure(figure, estimate->value, bytes));
    if (!exact)
        hp_table_cell(table, HP_DIM, estimate->samples ? hp_figure(figure, hp_estimate_error(estimate), bytes) : "");
    hp_table_cell(table, style, hp_percent(figure, estimate->value, total));
}

static void write_table(FILE *out, const struct hp_rows *rows, const struct hp_report_options *options, bool exact)
{
    const struct hp_column exact_columns[] = {{"flat", 0},
                                              {"flat%", 3},
                                              {"sum%", 5},
                                              {"cum", 0},
                                              {"cum%", 2},
                                              {options->raw ? "samples" : "objects", 1},
                                              {hp_header_row(options), 0}};
    const struct hp_column columns[] = {{"flat", 0}, {"±", 0},       {"flat%", 3},
                                        {"sum%", 5}, {"cum", 0},     {"±", 4},
                                        {"cum%", 2}, {"samples", 1}, {hp_header_row(options), 0}};
    struct hp_table *table = exact ? hp_table_new(exact_columns, 7) : hp_table_new(columns, 9);
    bool bytes = hp_in_bytes(options);
    double total = rows->total.growth.value, sum = 0;
    for (size_t i = 0; i < shown_rows(rows, options); i++) {
        const struct hp_report_row *row = &rows->rows[i];
        char figure[HP_FIGURE];
        sum += row->flat.growth.value;
        add_estimate(table, &row->flat.growth, total, bytes, exact);
        hp_table_cell(table, HP_DIM, hp_percent(figure, sum, total));
        add_estimate(table, &row->cum.growth, total, bytes, exact);
        snprintf(figure, sizeof figure, "%" PRIu64, row->cum.growth.samples); /* which include those of flat */
        hp_table_cell(table, HP_PLAIN, figure);
        char *place = hp_header_place(row->place, options);
        hp_table_last(table, HP_PLAIN, row->place->label, place);
        free(place);
    }
    hp_table_write(table, out, &options->look);
    hp_table_free(table);
}

static void write_text(FILE *out, const struct hp_report_input *input, const struct hp_rows *rows,
                       const struct hp_report_options *options)
{
    hp_header_report(out, input, &rows->total.growth, options);
    size_t shown = shown_rows(rows, options);
    if (shown < rows->count)
        fprintf(out, "%zu of %zu %s shown\n", shown, rows->count, hp_granularity_names[options->view.granularity]);
    else
        fprintf(out, "%zu %s\n", shown,
                shown == 1 ? hp_header_row(options) : hp_granularity_names[options->view.granularity]);
    if (shown)
        write_table(out, rows, options, hp_header_exact(input, options));
}

static int write_top(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                     struct hp_report_outcome *outcome, struct hp_error *error)
{
    struct hp_rows_options wanted = {options->view, options->sample, options->raw, options->by_cum, false};
    struct hp_rows rows;
    int status = hp_rows_build(input->before, input->profile, &wanted, &rows, error);
    if (status)
        return status;
    if (options->json)
        write_json(out, input, &rows, options);
    else
        write_text(out, input, &rows, options);
    hp_rows_free(&rows);
    return 0;
}

const struct hp_report hp_report_top = {"top", write_top};
