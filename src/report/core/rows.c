#include "report/core/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "report/statistics/significance.h"

/* The risk that a diff of a steady target marks any row at all. */
#define FAMILY_RISK 0.05

/* That `pair` counts for `row`: the terms of the row's test. */
struct link {
    uint32_t row;
    size_t pair;
};

struct gathering {
    const struct hp_rows_options *options;
    struct hp_rows *rows;
    struct hp_view before, after;
    struct hp_sample_pair *pairs;
    size_t pair_count;
    struct hp_measure *flat, *cum; /* by row number */
    double *site_flat, *site_cum;  /* by site number */
    size_t *seen;                  /* by row number: the last pair that counted, plus 1 */
    struct link *links;
    size_t link_count, link_capacity;
};

static void add_pair(struct hp_measure *sum, const struct hp_sample_pair *pair)
{
    hp_estimate_add(&sum->before, &pair->was);
    hp_estimate_add(&sum->after, &pair->is);
    hp_estimate_add(&sum->growth, &pair->growth);
}

static void add_link(struct gathering *g, uint32_t row, size_t pair)
{
    if (!g->options->test || g->pairs[pair].growth.samples == 0)
        return;
    g->links = hp_grow(g->links, &g->link_capacity, g->link_count + 1, sizeof *g->links);
    g->links[g->link_count++] = (struct link){row, pair};
}

static void gather_pair(struct gathering *g, size_t index)
{
    const struct hp_sample_pair *pair = &g->pairs[index];
    const struct hp_frame *frames;
    size_t depth =
        pair->after ? hp_view_stack(&g->after, pair->after, &frames) : hp_view_stack(&g->before, pair->before, &frames);
    if (!depth)
        return;
    double weight = fabs(pair->is.value) + fabs(pair->was.value);
    add_pair(&g->flat[frames[0].row], pair);
    g->site_flat[frames[0].site] += weight;
    if (!g->options->by_cum)
        add_link(g, frames[0].row, index);
    for (size_t i = 0; i < depth; i++) {
        uint32_t row = frames[i].row;
        if (g->seen[row] == index + 1)
            continue;
        g->seen[row] = index + 1;
        add_pair(&g->cum[row], pair);
        g->site_cum[frames[i].site] += weight;
        if (g->options->by_cum)
            add_link(g, row, index);
    }
}

/* Rows that no sample of the report touches are left out. */
static void make_rows(struct gathering *g)
{
    struct hp_rows *rows = g->rows;
    const struct hp_places *places = &rows->places;
    size_t place_count = places->row_names.count, site_count = places->site_names.count;
    uint32_t *best = hp_alloc(place_count, sizeof *best); /* site + 1 */
    for (uint32_t site = 0; site < site_count; site++) {
        uint32_t *winner = &best[places->sites[site].row];
        uint32_t rival = *winner ? *winner - 1 : site;
        if (!*winner || g->site_flat[site] > g->site_flat[rival] ||
            (g->site_flat[site] == g->site_flat[rival] && g->site_cum[site] > g->site_cum[rival]))
            *winner = site + 1;
    }
    rows->rows = hp_alloc(place_count, sizeof *rows->rows);
    rows->own_places = hp_alloc(place_count, sizeof *rows->own_places);
    for (uint32_t i = 0; i < place_count; i++) {
        if (!g->seen[i])
            continue;
        struct hp_place *place = &rows->own_places[rows->count];
        *place = places->rows[i];
        place->row = i;
        if (best[i] && g->options->view.granularity == HP_BY_FUNCTION) {
            place->file = places->sites[best[i] - 1].file;
            place->line = places->sites[best[i] - 1].line;
        }
        rows->rows[rows->count++] = (struct hp_report_row){place, g->flat[i], g->cum[i], 1, false};
    }
    free(best);
}

static int by_row(const void *a, const void *b)
{
    const struct link *left = a, *right = b;
    if (left->row != right->row)
        return left->row < right->row ? -1 : 1;
    return (left->pair > right->pair) - (left->pair < right->pair);
}

/* A site where objects only ever came, and more of them than the noise of the whole diff, has grown
 * by whatever came that sampling can't explain: one large buffer is enough. Everywhere else a
 * change also has to be more than coming and going explains, or the few large objects of any live
 * program would be marked in each diff. Exact profiles have no noise to hide behind: there every
 * change counts. */
static double row_probability(const struct gathering *g, const struct hp_report_row *row, const struct hp_noise *terms,
                              size_t count)
{
    bool exact = hp_profile_exact(g->after.profile) && (!g->before.profile || hp_profile_exact(g->before.profile));
    double material = hp_estimate_error(&g->rows->total.growth);
    bool one_way =
        hp_noise_one_way(terms, count) && fabs(hp_row_measure(row, g->options->by_cum)->growth.value) > material;
    return hp_noise_probability(terms, count, !exact && !one_way);
}

/* Rows in which nothing came or went can't be significant, whatever the figures say, and are not
 * among the hypotheses tested (Tarone, Biometrics 46, 1990). */
static void test_rows(struct gathering *g)
{
    struct hp_rows *rows = g->rows;
    if (g->link_count)
        qsort(g->links, g->link_count, sizeof *g->links, by_row);
    struct hp_noise *terms = hp_alloc(g->link_count, sizeof *terms);
    double *probabilities = hp_alloc(rows->count, sizeof *probabilities);
    bool *significant = hp_alloc(rows->count, sizeof *significant);
    size_t *tested = hp_alloc(rows->count, sizeof *tested);
    size_t link = 0, tests = 0;
    for (size_t i = 0; i < rows->count; i++) { /* rows are still in the order of their numbers, as are the links */
        size_t count = 0;
        for (; link < g->link_count && g->links[link].row == rows->rows[i].place->row; link++)
            terms[count++] = g->pairs[g->links[link].pair].noise;
        if (!count)
            continue;
        rows->rows[i].probability = probabilities[tests] = row_probability(g, &rows->rows[i], terms, count);
        tested[tests++] = i;
    }
    hp_holm(probabilities, tests, FAMILY_RISK, significant);
    for (size_t i = 0; i < tests; i++)
        rows->rows[tested[i]].significant = significant[i];
    free(terms);
    free(probabilities);
    free(significant);
    free(tested);
}

static int by_size(const struct hp_estimate *a, const struct hp_estimate *b)
{
    double left = fabs(a->value), right = fabs(b->value);
    return (left < right) - (left > right);
}

static int compare_rows(const void *a, const void *b, void *state)
{
    const struct hp_report_row *left = a, *right = b;
    bool by_cum = *(const bool *)state;
    if (left->significant != right->significant)
        return left->significant ? -1 : 1;
    int order = by_size(&hp_row_measure(left, by_cum)->growth, &hp_row_measure(right, by_cum)->growth);
    if (!order)
        order = by_size(&hp_row_measure(left, !by_cum)->growth, &hp_row_measure(right, !by_cum)->growth);
    if (!order)
        order = strcmp(left->place->label, right->place->label);
    return order ? order : (left->place->row > right->place->row) - (left->place->row < right->place->row);
}

int hp_rows_build(const struct hp_profile *before, const struct hp_profile *after,
                  const struct hp_rows_options *options, struct hp_rows *rows, struct hp_error *error)
{
    *rows = (struct hp_rows){0};
    struct hp_filter filter;
    int status = hp_filter_compile(&filter, &options->view, error);
    if (status)
        return status;
    struct gathering g = {.options = options, .rows = rows};
    struct hp_places *places = &rows->places;
    hp_view_init(&g.after, after, options->view.granularity, &filter, places);
    if (before)
        hp_view_init(&g.before, before, options->view.granularity, &filter, places);
    hp_filter_free(&filter);
    g.pair_count = hp_sample_pairs_make(before, after, options->type, options->raw, &g.pairs);
    g.flat = hp_alloc(places->row_names.count, sizeof *g.flat);
    g.cum = hp_alloc(places->row_names.count, sizeof *g.cum);
    g.seen = hp_alloc(places->row_names.count, sizeof *g.seen);
    g.site_flat = hp_alloc(places->site_names.count, sizeof *g.site_flat);
    g.site_cum = hp_alloc(places->site_names.count, sizeof *g.site_cum);
    for (size_t i = 0; i < g.pair_count; i++) {
        add_pair(&rows->total, &g.pairs[i]);
        gather_pair(&g, i);
    }
    make_rows(&g);
    if (options->test)
        test_rows(&g);
    bool by_cum = options->by_cum;
    qsort_r(rows->rows, rows->count, sizeof *rows->rows, compare_rows, &by_cum);
    hp_view_free(&g.before);
    hp_view_free(&g.after);
    free(g.pairs);
    free(g.flat);
    free(g.cum);
    free(g.seen);
    free(g.site_flat);
    free(g.site_cum);
    free(g.links);
    return 0;
}

int hp_rows_significant(const struct hp_report_input *input, const struct hp_report_options *options,
                        char **significant, size_t *count, struct hp_error *error)
{
    const struct hp_rows_options wanted = {options->view, options->sample, options->raw, options->by_cum, true};
    struct hp_rows rows;
    *significant = NULL;
    int status = hp_rows_build(input->before, input->profile, &wanted, &rows, error);
    if (status)
        return status;
    *count = rows.places.row_names.count;
    *significant = hp_alloc(*count, 1);
    for (size_t i = 0; i < rows.count; i++)
        (*significant)[rows.rows[i].place->row] = rows.rows[i].significant;
    hp_rows_free(&rows);
    return 0;
}

void hp_rows_free(struct hp_rows *rows)
{
    hp_places_free(&rows->places);
    free(rows->rows);
    free(rows->own_places);
    *rows = (struct hp_rows){0};
}
