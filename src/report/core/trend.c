/* The slopes of rows, and their test.
 *
 * The test asks whether the wC > 0 outweigh the wC < 0 by more than a coin for each sample does
 * (significance.h): under the null hypothesis, a steady state, lives are as likely in reverse. A
 * site that grew while the program warmed up and then stopped has a slope, too; hence the same test
 * over the later half, and both must hold.
 */
#include "report/core/trend.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "report/statistics/significance.h"
#include "report/statistics/slope.h"

#define FAMILY_RISK 0.05

/* One group of samples of one entry, for a row's test. */
struct term {
    uint32_t row;
    double samples, share;
};

struct terms {
    struct term *terms;
    size_t count, capacity;
};

struct window {
    size_t first, count;
    double *weights;
    struct terms terms;
};

struct building {
    const struct hp_series *series;
    const struct hp_report_options *options;
    struct hp_trends *trends;
    struct hp_view view;
    struct window windows[2]; /* all, the later half */
    struct hp_trend *by_row;
    size_t *seen; /* by row: the last entry that counted, plus 1 */
    double *site_weight;
    double *levels, *came, *went;
    /* What add_term is to add to. */
    struct terms *terms;
    const uint32_t *rows;
    size_t row_count;
};

static bool is_live(enum hp_sample_type type)
{
    return type == HP_INUSE_SPACE || type == HP_INUSE_OBJECTS;
}

/* Fills in levels, came and went of an entry; false if it never had a sample. */
static bool follow(struct building *b, size_t entry, double *each)
{
    const struct hp_series *series = b->series;
    enum hp_sample_type type = b->options->sample;
    struct hp_sample sample = series->stacks->samples[entry];
    double value = 0, samples = 0, before_live = 0, before_alloc = 0;
    for (size_t k = 0; k < series->count; k++) {
        sample.counts = hp_series_counts(series, k, entry);
        double live = (double)(is_live(type) ? sample.counts.live_objects : sample.counts.alloc_objects);
        double alloc = (double)sample.counts.alloc_objects;
        struct hp_estimate estimate = hp_sample_estimate(series->stacks, &sample, type, false);
        b->levels[k] = b->options->raw ? hp_sample_estimate(series->stacks, &sample, type, true).value : estimate.value;
        value += b->levels[k];
        samples += live;
        b->came[k] = k ? fmax(alloc - before_alloc, 0) : live;
        b->went[k] = k ? before_live + b->came[k] - live : 0;
        if (b->went[k] < 0) { /* the counters were read while they changed */
            b->came[k] -= b->went[k];
            b->went[k] = 0;
        }
        before_live = live;
        before_alloc = alloc;
    }
    *each = samples > 0 ? value / samples : 0;
    return samples > 0;
}

static void add_term(void *state, double samples, double share)
{
    struct building *b = state;
    for (size_t i = 0; i < b->row_count; i++) {
        b->terms->terms = hp_grow(b->terms->terms, &b->terms->capacity, b->terms->count + 1, sizeof(struct term));
        b->terms->terms[b->terms->count++] = (struct term){b->rows[i], samples, share};
    }
}

static void add_to(struct hp_trend *trend, const struct building *b, const struct hp_estimate slopes[2])
{
    trend->first += b->levels[0];
    trend->last += b->levels[b->series->count - 1];
    hp_estimate_add(&trend->slope, &slopes[0]);
    hp_estimate_add(&trend->lately, &slopes[1]);
}

static void add_entry(struct building *b, size_t index, uint32_t *rows)
{
    struct hp_trend_entry entry = {b->levels, b->came, b->went, 0};
    const struct hp_frame *frames;
    if (!follow(b, index, &entry.each))
        return;
    size_t depth = hp_view_stack(&b->view, &b->series->stacks->samples[index], &frames);
    bool by_cum = b->options->by_cum;
    b->row_count = 0;
    for (size_t i = 0; i < depth && (i == 0 || by_cum); i++) {
        if (b->seen[frames[i].row] == index + 1)
            continue;
        b->seen[frames[i].row] = index + 1;
        rows[b->row_count++] = frames[i].row;
        b->site_weight[frames[i].site] += fabs(b->levels[b->series->count - 1]) + 1;
    }
    b->rows = rows;
    struct hp_estimate slopes[2];
    for (int i = 0; i < 2; i++) {
        struct window *window = &b->windows[i];
        struct hp_trend_entry part = {b->levels + window->first, b->came + window->first, b->went + window->first,
                                      entry.each};
        double came = part.came[0];
        if (window->first) { /* all that is there at the window's start has come by then */
            double there = 0;
            for (size_t k = 0; k <= window->first; k++)
                there += b->came[k] - b->went[k];
            b->came[window->first] = there;
        }
        b->terms = &window->terms;
        slopes[i] = hp_trend_slope(&part, window->weights, window->count, add_term, b);
        b->came[window->first] = came;
    }
    add_to(&b->trends->total, b, slopes);
    for (size_t i = 0; i < b->row_count; i++)
        add_to(&b->by_row[rows[i]], b, slopes);
}

/* The later half of the time; at least three moments, and the one at which it begins. */
static void set_windows(struct building *b)
{
    const struct hp_series *series = b->series;
    size_t count = series->count, first = count - 1;
    double *seconds = hp_alloc(count, sizeof *seconds);
    for (size_t i = 0; i < count; i++)
        seconds[i] = (double)(series->moments[i].figures.time_ns - series->moments[0].figures.time_ns) / 1e9;
    while (first > 0 && (seconds[first] > seconds[count - 1] / 2 || count - first < 3))
        first--;
    for (int i = 0; i < 2; i++) {
        struct window *window = &b->windows[i];
        window->first = i ? first : 0;
        window->count = count - window->first;
        window->weights = hp_alloc(window->count, sizeof *window->weights);
        hp_trend_weights(seconds + window->first, window->count, window->weights);
    }
    b->trends->seconds = seconds[count - 1];
    free(seconds);
}

static int by_row_and_share(const void *a, const void *b)
{
    const struct term *left = a, *right = b;
    if (left->row != right->row)
        return left->row < right->row ? -1 : 1;
    double x = fabs(left->share), y = fabs(right->share);
    return (x > y) - (x < y);
}

/* The probability by row; 1 for those without terms. */
static double *probabilities_of(struct window *window, size_t row_count)
{
    struct terms *terms = &window->terms;
    double *probabilities = hp_alloc(row_count, sizeof *probabilities);
    struct hp_noise *noise = hp_alloc(terms->count, sizeof *noise);
    for (size_t i = 0; i < row_count; i++)
        probabilities[i] = 1;
    if (terms->count)
        qsort(terms->terms, terms->count, sizeof *terms->terms, by_row_and_share);
    for (size_t first = 0, limit; first < terms->count; first = limit) {
        size_t count = 0;
        for (limit = first; limit < terms->count && terms->terms[limit].row == terms->terms[first].row; limit++) {
            const struct term *term = &terms->terms[limit];
            double share = fabs(term->share);
            if (!count || noise[count - 1].weight < share * (1 - 1e-9))
                noise[count++] = (struct hp_noise){.weight = share, .keep = 1, .churns = true};
            *(term->share > 0 ? &noise[count - 1].after : &noise[count - 1].before) += term->samples;
        }
        probabilities[terms->terms[first].row] = hp_noise_probability(noise, count, true);
    }
    free(noise);
    return probabilities;
}

static void make_rows(struct building *b)
{
    struct hp_trends *trends = b->trends;
    const struct hp_places *places = &trends->places;
    size_t row_count = places->row_names.count;
    uint32_t *best = hp_alloc(row_count, sizeof *best); /* site + 1 */
    for (uint32_t site = 0; site < places->site_names.count; site++) {
        uint32_t *winner = &best[places->sites[site].row];
        if (!*winner || b->site_weight[site] > b->site_weight[*winner - 1])
            *winner = site + 1;
    }
    double *all = probabilities_of(&b->windows[0], row_count), *late = probabilities_of(&b->windows[1], row_count);
    trends->rows = hp_alloc(row_count, sizeof *trends->rows);
    trends->own_places = hp_alloc(row_count, sizeof *trends->own_places);
    for (uint32_t i = 0; i < row_count; i++) {
        if (!b->seen[i])
            continue;
        struct hp_place *place = &trends->own_places[trends->count];
        *place = places->rows[i];
        if (best[i] && b->options->view.granularity == HP_BY_FUNCTION) {
            place->file = places->sites[best[i] - 1].file;
            place->line = places->sites[best[i] - 1].line;
        }
        struct hp_trend *row = &trends->rows[trends->count++];
        *row = b->by_row[i];
        row->place = place;
        row->probability = row->slope.value * row->lately.value > 0 ? fmax(all[i], late[i]) : 1;
    }
    free(best);
    free(all);
    free(late);
}

/* Rows in which nothing came or went are not among the hypotheses. */
static void mark(struct hp_trends *trends)
{
    double *probabilities = hp_alloc(trends->count, sizeof *probabilities);
    bool *significant = hp_alloc(trends->count, sizeof *significant);
    size_t *tested = hp_alloc(trends->count, sizeof *tested), tests = 0;
    for (size_t i = 0; i < trends->count; i++) {
        if (!trends->rows[i].slope.samples)
            continue;
        tested[tests] = i;
        probabilities[tests++] = trends->rows[i].probability;
    }
    hp_holm(probabilities, tests, FAMILY_RISK, significant);
    for (size_t i = 0; i < tests; i++)
        trends->rows[tested[i]].significant = significant[i];
    free(probabilities);
    free(significant);
    free(tested);
}

static int compare_trends(const void *a, const void *b)
{
    const struct hp_trend *left = a, *right = b;
    if (left->significant != right->significant)
        return left->significant ? -1 : 1;
    if (!left->slope.samples != !right->slope.samples) /* nothing came or went */
        return left->slope.samples ? -1 : 1;
    if (left->slope.value != right->slope.value)
        return left->slope.value > right->slope.value ? -1 : 1;
    return strcmp(left->place->label, right->place->label);
}

/* The dump that a program makes at its end comes after its destructors: what leaked all the time may be gone. So it may be
 * one moment earlier, where the program was read while they ran. How many moments are left out. */
static size_t moments_of_end(const struct hp_series *series)
{
    for (size_t n = 2; n; n--)
        if (series->count > n + 2) {
            const struct hp_series_moment *before = &series->moments[series->count - n - 1];
            if (before[n].figures.live < before->figures.live / 2 && before[1].figures.live < before->figures.live / 2)
                return n;
        }
    return 0;
}

int hp_trends_build(const struct hp_series *all, const struct hp_report_options *options, struct hp_trends *trends,
                    struct hp_error *error)
{
    struct hp_series shown = *all, *series = &shown;
    struct building b = {.series = series, .options = options, .trends = trends};
    struct hp_filter filter;
    *trends = (struct hp_trends){.ended = moments_of_end(all)};
    series->count -= trends->ended;
    if (series->count < 3)
        return hp_error_set(error, -EINVAL, "a series needs three profiles or more");
    int status = hp_filter_compile(&filter, &options->view, error);
    if (status)
        return status;
    hp_view_init(&b.view, series->stacks, options->view.granularity, &filter, &trends->places);
    hp_filter_free(&filter);
    set_windows(&b);
    size_t row_count = trends->places.row_names.count;
    b.by_row = hp_alloc(row_count, sizeof *b.by_row);
    b.seen = hp_alloc(row_count, sizeof *b.seen);
    b.site_weight = hp_alloc(trends->places.site_names.count, sizeof *b.site_weight);
    b.levels = hp_alloc(series->count, sizeof *b.levels);
    b.came = hp_alloc(series->count, sizeof *b.came);
    b.went = hp_alloc(series->count, sizeof *b.went);
    uint32_t *rows = hp_alloc(row_count, sizeof *rows);
    for (size_t i = 0; i < series->stacks->sample_count; i++)
        add_entry(&b, i, rows);
    make_rows(&b);
    mark(trends);
    if (trends->count)
        qsort(trends->rows, trends->count, sizeof *trends->rows, compare_trends);
    for (int i = 0; i < 2; i++) {
        free(b.windows[i].weights);
        free(b.windows[i].terms.terms);
    }
    hp_view_free(&b.view);
    free(rows);
    free(b.by_row);
    free(b.seen);
    free(b.site_weight);
    free(b.levels);
    free(b.came);
    free(b.went);
    return 0;
}

void hp_trends_free(struct hp_trends *trends)
{
    hp_places_free(&trends->places);
    free(trends->rows);
    free(trends->own_places);
    *trends = (struct hp_trends){0};
}
