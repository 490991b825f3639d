#include "report/tables/series_diff.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/core/header.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/tables/timeline.h"
#include "report/core/trend.h"
#include "report/core/units.h"

struct unit {
    const char *name; /* "s", "min", "h" */
    double seconds;
};

struct summary {
    size_t significant, changed, shown;
    double growth;
};

/* The longest that the series covers, so that figures are not of a future that nobody saw. */
static struct unit unit_of(double seconds)
{
    return seconds >= 3600 ? (struct unit){"h", 3600}
           : seconds >= 60 ? (struct unit){"min", 60}
                           : (struct unit){"s", 1};
}

static bool changes(const struct hp_trend *row)
{
    return row->significant || row->slope.samples;
}

static struct summary summarize(const struct hp_trends *trends, const struct hp_report_options *options)
{
    struct summary summary = {0};
    for (size_t i = 0; i < trends->count; i++) {
        const struct hp_trend *row = &trends->rows[i];
        summary.changed += changes(row);
        summary.significant += row->significant;
        if (row->significant && row->slope.value > 0)
            summary.growth += fmax(row->last - row->first, 0);
    }
    summary.shown = options->rows && options->rows < summary.changed ? options->rows : summary.changed;
    return summary;
}

static void put_slope(json_t *object, const char *name, const struct hp_estimate *slope)
{
    char *error = hp_print("%s_error", name);
    hp_json_set(object, name, json_real(slope->value));
    hp_json_set(object, error, json_real(hp_estimate_error(slope)));
    free(error);
}

static void put_trend(json_t *object, const struct hp_trend *trend)
{
    hp_json_set(object, "first", hp_json_number(trend->first));
    hp_json_set(object, "last", hp_json_number(trend->last));
    put_slope(object, "per_second", &trend->slope);
    put_slope(object, "per_second_lately", &trend->lately);
    hp_json_set(object, "samples", hp_json_number((double)trend->slope.samples));
}

static void write_json(FILE *out, const struct hp_series *series, const struct hp_trends *trends,
                       const struct summary *summary, const struct hp_report_options *options)
{
    const struct hp_report_input input = {.profile = series->stacks};
    json_t *document = hp_json_document(&input, options), *moments = json_array(), *list = json_array();
    put_trend(document, &trends->total);
    hp_json_set(document, "seconds", json_real(trends->seconds));
    hp_json_set(document, "significant_growth", hp_json_number(summary->growth));
    for (size_t i = 0; i < series->count; i++) {
        const struct hp_series_moment *moment = &series->moments[i];
        json_t *object = json_object();
        hp_json_set(object, "name", hp_json_string(moment->name));
        hp_json_set(object, "time_ns", json_integer(moment->figures.time_ns));
        hp_json_set(object, "live", hp_json_number(moment->figures.live));
        hp_json_set(object, "live_error", hp_json_number(moment->figures.live_error));
        hp_json_set(object, "HeapInuse", hp_json_number(moment->figures.inuse));
        hp_json_set(object, "HeapIdle", hp_json_number(moment->figures.idle));
        json_array_append_new(moments, object);
    }
    hp_json_set(document, "moments", moments);
    for (size_t i = 0; i < summary->shown; i++) {
        json_t *row = json_object();
        hp_json_place(row, trends->rows[i].place);
        put_trend(row, &trends->rows[i]);
        hp_json_set(row, "significant", json_boolean(trends->rows[i].significant));
        hp_json_set(row, "probability", json_real(trends->rows[i].probability));
        json_array_append_new(list, row);
    }
    hp_json_set(document, "rows", list);
    hp_json_write(out, document);
}

static void write_table(FILE *out, const struct hp_trends *trends, size_t shown, const struct unit *unit,
                        const struct hp_report_options *options)
{
    char per[HP_FIGURE];
    snprintf(per, sizeof per, "per %s", unit->name);
    const struct hp_column columns[] = {{"first", 3},   {"last", 0},   {per, 0},
                                        {"±", 0},       {"lately", 1}, {"±", 2},
                                        {"samples", 3}, {" ", 0},      {hp_header_row(options), 0}};
    struct hp_table *table = hp_table_new(columns, 9);
    bool bytes = hp_in_bytes(options);
    for (size_t i = 0; i < shown; i++) {
        const struct hp_trend *row = &trends->rows[i];
        enum hp_style style = !row->significant ? HP_PLAIN : row->slope.value > 0 ? HP_RED : HP_GREEN;
        char figure[HP_FIGURE];
        hp_table_cell(table, HP_PLAIN, hp_figure(figure, row->first, bytes));
        hp_table_cell(table, HP_PLAIN, hp_figure(figure, row->last, bytes));
        hp_table_cell(table, style, hp_signed_figure(figure, row->slope.value * unit->seconds, bytes));
        hp_table_cell(table, HP_DIM, hp_figure(figure, hp_estimate_error(&row->slope) * unit->seconds, bytes));
        hp_table_cell(table, HP_PLAIN, hp_signed_figure(figure, row->lately.value * unit->seconds, bytes));
        hp_table_cell(table, HP_DIM, hp_figure(figure, hp_estimate_error(&row->lately) * unit->seconds, bytes));
        snprintf(figure, sizeof figure, "%" PRIu64, row->slope.samples);
        hp_table_cell(table, HP_PLAIN, figure);
        hp_table_cell(table, style, row->significant ? "*" : " ");
        char *place = hp_header_place(row->place, options);
        hp_table_last(table, style, row->place->label, place);
        free(place);
    }
    hp_table_write(table, out, &options->look);
    hp_table_free(table);
}

static void write_summary(FILE *out, const struct hp_series *series, const struct hp_trends *trends,
                          const struct summary *summary, const struct unit *unit,
                          const struct hp_report_options *options)
{
    char length[HP_FIGURE], first[HP_FIGURE], last[HP_FIGURE], slope[HP_FIGURE], error[HP_FIGURE];
    const struct hp_trend *total = &trends->total;
    bool bytes = hp_in_bytes(options);
    hp_header_write(out, series->stacks, options);
    fprintf(out, "%zu moments in %s, from %s to %s, %s per %s ± %s\n", series->count,
            hp_duration(length, trends->seconds), hp_figure(first, total->first, bytes),
            hp_figure(last, total->last, bytes), hp_signed_figure(slope, total->slope.value * unit->seconds, bytes),
            unit->name, hp_figure(error, hp_estimate_error(&total->slope) * unit->seconds, bytes));
    if (trends->ended)
        fputs("the end, at which most is gone, is left out, as that of a program after its destructors\n", out);
    if (summary->significant)
        fprintf(out,
                "%zu marked *: grew or shrank all the time, and lately, by more than chance; %zu "
                "of %zu changed %s shown\n",
                summary->significant, summary->shown, summary->changed,
                hp_granularity_names[options->view.granularity]);
    else
        fprintf(out, "no %s grew or shrank all the time by more than chance; %zu of %zu changed %s shown\n",
                hp_header_row(options), summary->shown, summary->changed,
                hp_granularity_names[options->view.granularity]);
}

int hp_series_diff_write(FILE *out, const struct hp_series *series, const struct hp_report_options *options,
                         struct hp_report_outcome *outcome, struct hp_error *error)
{
    struct hp_trends trends;
    int status = hp_trends_build(series, options, &trends, error);
    if (status)
        return status;
    struct summary summary = summarize(&trends, options);
    struct unit unit = unit_of(trends.seconds);
    outcome->significant_growth = summary.growth;
    outcome->before = trends.total.first;
    if (options->json) {
        write_json(out, series, &trends, &summary, options);
    } else {
        write_summary(out, series, &trends, &summary, &unit, options);
        if (summary.shown)
            write_table(out, &trends, summary.shown, &unit, options);
    }
    hp_trends_free(&trends);
    return 0;
}
