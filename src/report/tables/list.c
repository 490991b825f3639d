/* The source of functions, each line with what it allocates itself (flat) and with all that it
 * calls (cum). An inlined function is listed as any other; the line that calls it says so. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/header.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/source.h"
#include "report/core/stacks.h"
#include "report/core/units.h"

#define AROUND 3 /* lines shown before and behind those with figures */

struct site {
    uint32_t site;
    size_t seen; /* the last stack that counted, plus 1 */
    struct hp_estimate flat, cum;
    uint32_t callee; /* the row that most is allocated in by way of this line; UINT32_MAX: none */
    bool inlined;    /* the callee, here */
    double callee_value;
};

struct function {
    uint32_t row;
    size_t seen;
    struct hp_estimate flat, cum;
};

struct list {
    struct hp_stacks *stacks;
    char *matched;
    struct site *sites;         /* by site number, then sorted by row, file and line */
    struct function *functions; /* by row */
};

static void gather(struct list *list)
{
    const struct hp_stacks *stacks = list->stacks;
    for (size_t i = 0; i < stacks->count; i++) {
        const struct hp_frame *frames = &stacks->frames[stacks->stacks[i].first];
        const struct hp_estimate *estimate = &stacks->stacks[i].pair.growth;
        for (uint32_t j = 0; j < stacks->stacks[i].depth; j++) {
            struct site *site = &list->sites[frames[j].site];
            struct function *function = &list->functions[frames[j].row];
            if (j == 0) {
                hp_estimate_add(&site->flat, estimate);
                hp_estimate_add(&function->flat, estimate);
            } else if (site->callee == UINT32_MAX || fabs(estimate->value) > fabs(site->callee_value)) {
                site->callee = frames[j - 1].row;
                site->callee_value = estimate->value;
                site->inlined = frames[j - 1].inlined;
            }
            if (site->seen != i + 1)
                hp_estimate_add(&site->cum, estimate);
            if (function->seen != i + 1)
                hp_estimate_add(&function->cum, estimate);
            site->seen = function->seen = i + 1;
        }
    }
}

static int by_place(const void *a, const void *b, void *state)
{
    const struct hp_place *sites = state, *left = &sites[((const struct site *)a)->site],
                          *right = &sites[((const struct site *)b)->site];
    if (left->row != right->row)
        return left->row < right->row ? -1 : 1;
    int files = strcmp(left->file, right->file);
    return files ? files : (left->line > right->line) - (left->line < right->line);
}

static int by_size(const void *a, const void *b)
{
    const struct function *left = a, *right = b;
    double x = fabs(left->cum.value), y = fabs(right->cum.value);
    return x != y ? (x > y ? -1 : 1) : (left->row > right->row) - (left->row < right->row);
}

static void add_line(struct hp_table *table, const struct list *list, const struct site *site, uint32_t line,
                     const char *text, const struct hp_report_options *options, bool exact)
{
    char figure[HP_FIGURE];
    bool bytes = hp_in_bytes(options);
    const struct hp_estimate none = {0}, *flat = site ? &site->flat : &none, *cum = site ? &site->cum : &none;
    bool own = fabs(flat->value) >= 0.5;
    hp_table_cell(table, HP_BOLD, own ? hp_figure(figure, flat->value, bytes) : ".");
    hp_table_cell(table, HP_BOLD, site ? hp_figure(figure, cum->value, bytes) : ".");
    if (!exact)
        hp_table_cell(table, HP_DIM, site ? hp_figure(figure, hp_estimate_error(cum), bytes) : "");
    snprintf(figure, sizeof figure, "%" PRIu64, cum->samples);
    hp_table_cell(table, HP_DIM, site ? figure : "");
    snprintf(figure, sizeof figure, "%" PRIu32, line);
    hp_table_cell(table, HP_DIM, line ? figure : "?");
    char *tail = hp_strdup("");
    if (site && site->callee != UINT32_MAX) {
        free(tail);
        char *callee = hp_shorten_function(list->stacks->places.rows[site->callee].label, 40);
        tail = hp_print("→ %s%s", callee, site->inlined ? " (inlined)" : "");
        free(callee);
    }
    char *plain = hp_source_tabs(text);
    hp_table_source(table, site ? HP_PLAIN : HP_DIM, plain, tail);
    free(plain);
    free(tail);
}

static void add_gap(struct hp_table *table, bool exact)
{
    for (int i = 0; i < (exact ? 4 : 5); i++)
        hp_table_cell(table, HP_DIM, "");
    hp_table_source(table, HP_DIM, "…", "");
}

/* A remark for which the terminal is too narrow beside the name gets a line of its own. */
static void write_title(FILE *out, const char *name, const char *remark, size_t width)
{
    char *clean = hp_clean(name);
    bool fits = !width || hp_text_width(clean) + strlen(remark) <= width;
    char *shown = fits ? hp_strdup(clean) : hp_shorten(clean, width - 1);
    if (fits)
        fprintf(out, "%s%s\n", shown, remark);
    else {
        char *cut = hp_cut(remark + strspn(remark, ": "), width);
        fprintf(out, "%s%s\n%s\n", shown, *remark == ':' ? ":" : "", cut);
        free(cut);
    }
    free(shown);
    free(clean);
}

/* Sites first up to limit are of one function and one file, by line. */
static void write_file(FILE *out, const struct list *list, const struct site *sites, size_t first, size_t limit,
                       const struct hp_report_input *input, const struct hp_report_options *options)
{
    static const struct hp_column columns[] = {{"flat", 0},    {"cum", 0},  {"±", 1},
                                               {"samples", 2}, {"line", 0}, {"source", 0}};
    const struct hp_column exact_columns[] = {
        {"flat", 0}, {"cum", 0}, {options->raw ? "samples" : "objects", 2}, {"line", 0}, {"source", 0}};
    bool exact = hp_header_exact(input, options);
    struct hp_table *table = exact ? hp_table_new(exact_columns, 5) : hp_table_new(columns, 6);
    const struct hp_place *places = list->stacks->places.sites;
    const struct hp_place *place = &places[sites[first].site];
    struct hp_source source;
    bool found = hp_source_read(&source, place->file, options->source);
    /* Profiles tell whole seconds. */
    bool changed = found && input->profile->time_ns && source.time_ns - 1000000000 >= input->profile->time_ns;
    write_title(out,
                found          ? source.path
                : *place->file ? place->file
                               : "no file known",
                source.left_out ? ": not shown (--source=DIR allows what is below it)"
                : !found        ? *place->file ? ": not found (--source=DIR says where else to look)" : ""
                : changed       ? " (changed since the profile was taken)"
                                : "",
                options->look.width);
    uint32_t next = 1; /* the first line not shown yet */
    for (size_t site = first; site < limit; site++) {
        uint32_t line = places[sites[site].site].line;
        if (found && line && line <= source.line_count) {
            uint32_t before = line > AROUND && line - AROUND > next ? line - AROUND : next;
            if (site > first && before > next)
                add_gap(table, exact);
            for (next = before; next < line; next++)
                add_line(table, list, NULL, next, source.lines[next - 1], options, exact);
        }
        bool inside = found && line && line <= source.line_count;
        add_line(table, list, &sites[site], line, inside ? source.lines[line - 1] : "", options, exact);
        next = line + 1;
        uint32_t limit_line = site + 1 < limit ? places[sites[site + 1].site].line : UINT32_MAX;
        for (; inside && next <= line + AROUND && next < limit_line && next <= source.line_count; next++)
            add_line(table, list, NULL, next, source.lines[next - 1], options, exact);
    }
    hp_table_write(table, out, &options->look);
    hp_table_free(table);
    hp_source_free(&source);
}

static void write_function(FILE *out, const struct list *list, const struct function *function,
                           const struct hp_report_input *input, const struct hp_report_options *options)
{
    const struct hp_places *places = &list->stacks->places;
    char flat[HP_FIGURE], cum[HP_FIGURE], error[HP_FIGURE], percent[HP_FIGURE];
    bool bytes = hp_in_bytes(options);
    fputc('\n', out);
    hp_table_one(out, &options->look, 0, places->rows[function->row].label, "");
    fprintf(out, "flat %s, cum %s", hp_figure(flat, function->flat.value, bytes),
            hp_figure(cum, function->cum.value, bytes));
    if (!hp_header_exact(input, options))
        fprintf(out, " ± %s", hp_figure(error, hp_estimate_error(&function->cum), bytes));
    fprintf(out, " (%s of the total, %" PRIu64 " %s)\n",
            hp_percent(percent, function->cum.value, list->stacks->total.value), function->cum.samples,
            hp_header_exact(input, options) && !options->raw ? "objects" : "samples");
    size_t count = places->site_names.count;
    for (size_t first = 0, limit; first < count; first = limit) {
        const struct hp_place *place = &places->sites[list->sites[first].site];
        limit = first + 1;
        while (limit < count && places->sites[list->sites[limit].site].row == place->row &&
               !strcmp(places->sites[list->sites[limit].site].file, place->file))
            limit++;
        struct site *sites = hp_alloc(limit - first, sizeof *sites);
        size_t used = 0;
        for (size_t i = first; i < limit && place->row == function->row; i++)
            if (list->sites[i].seen)
                sites[used++] = list->sites[i];
        if (used)
            write_file(out, list, sites, 0, used, input, options);
        free(sites);
    }
}

static json_t *json_function(const struct list *list, const struct function *function)
{
    const struct hp_places *places = &list->stacks->places;
    json_t *object = json_object(), *lines = json_array();
    hp_json_place(object, &places->rows[function->row]);
    hp_json_set(object, "flat", hp_json_number(function->flat.value));
    hp_json_set(object, "cum", hp_json_number(function->cum.value));
    hp_json_set(object, "cum_error", hp_json_number(hp_estimate_error(&function->cum)));
    hp_json_set(object, "samples", hp_json_number((double)function->cum.samples));
    for (size_t i = 0; i < places->site_names.count; i++) {
        const struct site *site = &list->sites[i];
        const struct hp_place *place = &places->sites[site->site];
        if (place->row != function->row || !site->seen)
            continue;
        json_t *line = json_object();
        hp_json_set(line, "file", hp_json_string(place->file));
        hp_json_set(line, "line", hp_json_number(place->line));
        hp_json_set(line, "flat", hp_json_number(site->flat.value));
        hp_json_set(line, "flat_error", hp_json_number(hp_estimate_error(&site->flat)));
        hp_json_set(line, "cum", hp_json_number(site->cum.value));
        hp_json_set(line, "cum_error", hp_json_number(hp_estimate_error(&site->cum)));
        hp_json_set(line, "samples", hp_json_number((double)site->cum.samples));
        json_array_append_new(lines, line);
    }
    hp_json_set(object, "lines", lines);
    return object;
}

static void write_report(FILE *out, const struct hp_report_input *input, struct list *list,
                         const struct hp_report_options *options)
{
    const struct hp_places *places = &list->stacks->places;
    size_t site_count = places->site_names.count, row_count = places->row_names.count, count = 0;
    list->sites = hp_alloc(site_count, sizeof *list->sites);
    for (size_t i = 0; i < site_count; i++)
        list->sites[i] = (struct site){.site = (uint32_t)i, .callee = UINT32_MAX};
    list->functions = hp_alloc(row_count, sizeof *list->functions);
    gather(list);
    qsort_r(list->sites, site_count, sizeof *list->sites, by_place, places->sites);
    for (size_t row = 0; row < row_count; row++) {
        list->functions[count] = list->functions[row];
        list->functions[count].row = (uint32_t)row;
        count += list->matched[row] && list->functions[row].seen;
    }
    qsort(list->functions, count, sizeof *list->functions, by_size);
    size_t shown = options->rows && options->rows < count ? options->rows : count;
    if (options->json) {
        json_t *document = hp_json_document(input, options), *rows = json_array();
        hp_json_total(document, &list->stacks->total);
        for (size_t i = 0; i < shown; i++)
            json_array_append_new(rows, json_function(list, &list->functions[i]));
        hp_json_set(document, "rows", rows);
        hp_json_write(out, document);
    } else {
        hp_header_report(out, input, &list->stacks->total, options);
        fprintf(out, "%zu of %zu matching functions shown\n", shown, count);
        for (size_t i = 0; i < shown; i++)
            write_function(out, list, &list->functions[i], input, options);
    }
    free(list->sites);
    free(list->functions);
}

static int write_list(FILE *out, const struct hp_report_input *input, struct hp_stacks *stacks,
                      const struct hp_report_options *options, struct hp_error *error)
{
    if (options->view.granularity != HP_BY_FUNCTION)
        return hp_error_set(error, -EINVAL, "list shows functions: it takes no --granularity");
    struct list list = {.stacks = stacks};
    int status = hp_stacks_match(stacks, options->pattern, &list.matched, error);
    if (!status)
        write_report(out, input, &list, options);
    free(list.matched);
    return status;
}

const struct hp_report hp_report_list = {.name = "list", .write_stacks = write_list};
