#include "cli/live.h"

#include <stdlib.h>
#include <string.h>

#include "profile/map.h"
#include "report/memory.h"
#include "report/rows.h"
#include "report/units.h"

const char *const hp_live_order_names[HP_LIVE_ORDERS] = {"flat", "cum", "growth", "rate"};

static double fact(const struct hp_profile *profile, const char *name)
{
    const char *value = hp_profile_fact(profile, name);
    return value ? strtod(value, NULL) : 0;
}

static int build(const struct hp_profile *before, const struct hp_profile *now, enum hp_sample_type type,
                 struct hp_rows *rows, struct hp_error *error)
{
    const struct hp_rows_options options = {.type = type};
    return hp_rows_build(before, now, &options, rows, error);
}

static void free_sites(struct hp_live_state *state)
{
    for (size_t i = 0; i < state->site_count; i++)
        free(state->sites[i].name);
    free(state->sites);
    state->sites = NULL;
    state->site_count = 0;
}

/* By name, since the rows of two reports have nothing else in common. */
static void add_rates(struct hp_live_state *state, const struct hp_rows *allocated, double seconds)
{
    struct hp_map by_name = {0};
    for (size_t i = 0; i < allocated->count; i++) {
        const char *label = allocated->rows[i].place->label;
        hp_map_add(&by_name, hp_hash_bytes(label, strlen(label)), (uint32_t)i);
    }
    for (size_t i = 0; i < state->site_count; i++) {
        const char *name = state->sites[i].name;
        uint32_t row = hp_map_get(&by_name, hp_hash_bytes(name, strlen(name)));
        if (row != HP_MAP_NONE && !strcmp(allocated->rows[row].place->label, name))
            state->sites[i].rate = allocated->rows[row].flat.growth.value / seconds;
    }
    hp_map_clear(&by_name);
}

static void take_sites(struct hp_live_state *state, const struct hp_rows *rows)
{
    free_sites(state);
    state->sites = hp_alloc(rows->count, sizeof *state->sites);
    for (size_t i = 0; i < rows->count; i++) {
        const struct hp_row *row = &rows->rows[i];
        state->sites[state->site_count++] = (struct hp_live_site){.name = hp_strdup(row->place->label),
                                                                  .flat = row->flat.after.value,
                                                                  .flat_error = hp_estimate_error(&row->flat.after),
                                                                  .cum = row->cum.after.value,
                                                                  .growth = row->flat.growth.value};
    }
}

static void take_moment(struct hp_live_state *state, double live)
{
    if (state->moment_count == HP_LIVE_MOMENTS)
        memmove(state->moments, state->moments + 1, --state->moment_count * sizeof *state->moments);
    state->moments[state->moment_count++] =
        (struct hp_live_moment){live, fact(state->now, "HeapInuse"), fact(state->now, "HeapIdle")};
}

static int compute(struct hp_live_state *state, struct hp_error *error)
{
    struct hp_rows live, allocated;
    double seconds = (double)(state->now->time_ns - state->before->time_ns) / 1e9;
    int status = build(state->mark, state->now, HP_INUSE_SPACE, &live, error);
    if (status)
        return status;
    take_sites(state, &live);
    take_moment(state, live.total.after.value);
    state->live_error = hp_estimate_error(&live.total.after);
    hp_rows_free(&live);
    if (!(seconds > 0))
        return 0;
    status = build(state->before, state->now, HP_ALLOC_SPACE, &allocated, error);
    if (status)
        return status;
    add_rates(state, &allocated, seconds);
    state->rate = allocated.total.growth.value / seconds;
    hp_rows_free(&allocated);
    return 0;
}

/* The profiles that are kept may be one and the same. */
static void drop(const struct hp_live_state *state, struct hp_profile *profile)
{
    if (profile != state->now && profile != state->before && profile != state->mark)
        hp_profile_free(profile);
}

int hp_live_update(struct hp_live_state *state, struct hp_error *error)
{
    struct hp_profile *profile, *old = state->before;
    int status = hp_feed_load(state->feed, HP_FEED_SYMBOLS, &profile, error);
    if (status)
        return status;
    state->before = state->now ? state->now : profile;
    state->now = profile;
    if (!state->mark)
        state->mark = profile;
    if (old)
        drop(state, old);
    status = compute(state, error);
    hp_live_sort(state, state->order);
    return status;
}

void hp_live_mark(struct hp_live_state *state)
{
    struct hp_profile *old = state->mark;
    state->mark = state->now;
    if (old)
        drop(state, old);
    for (size_t i = 0; i < state->site_count; i++)
        state->sites[i].growth = 0;
}

static int by_value(const void *a, const void *b)
{
    const struct hp_live_site *left = a, *right = b;
    if (left->shown_by != right->shown_by)
        return left->shown_by < right->shown_by ? 1 : -1;
    return strcmp(left->name, right->name);
}

void hp_live_sort(struct hp_live_state *state, enum hp_live_order order)
{
    state->order = order;
    for (size_t i = 0; i < state->site_count; i++) {
        struct hp_live_site *site = &state->sites[i];
        const double values[HP_LIVE_ORDERS] = {site->flat, site->cum, site->growth, site->rate};
        site->shown_by = values[order];
    }
    if (state->site_count)
        qsort(state->sites, state->site_count, sizeof *state->sites, by_value);
}

void hp_live_free(struct hp_live_state *state)
{
    struct hp_profile *now = state->now, *before = state->before, *mark = state->mark;
    free_sites(state);
    hp_profile_free(now);
    if (before != now)
        hp_profile_free(before);
    if (mark != now && mark != before)
        hp_profile_free(mark);
    *state = (struct hp_live_state){0};
}

char *hp_live_audit(const struct hp_live_state *state)
{
    char own[HP_FIGURE];
    if (!state->now)
        return hp_strdup("");
    hp_figure(own, fact(state->now, "heapprof.own_bytes"), true);
    return hp_print("%.0f samples, %.0f lost, %.0f truncated, %.0f unmatched frees; heapprof itself: %s, %.1f ms",
                    fact(state->now, "heapprof.samples"), fact(state->now, "heapprof.lost"),
                    fact(state->now, "heapprof.truncated"), fact(state->now, "heapprof.unmatched_frees"), own,
                    fact(state->now, "heapprof.own_ns") / 1e6);
}

char *hp_live_sparkline(const double *values, size_t count, size_t width, bool blocks)
{
    static const char *const heights[2][8] = {{"_", ".", ":", "-", "=", "+", "*", "#"},
                                              {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}};
    if (count > width) {
        values += count - width;
        count = width;
    }
    double low = 0, high = 0;
    for (size_t i = 0; i < count; i++) {
        low = !i || values[i] < low ? values[i] : low;
        high = !i || values[i] > high ? values[i] : high;
    }
    char *line = hp_alloc(count * 3 + 1, 1), *out = line;
    for (size_t i = 0; i < count; i++) {
        unsigned height = high > low ? (unsigned)((values[i] - low) / (high - low) * 7.999) : 0;
        out = stpcpy(out, heights[blocks][height]);
    }
    *out = '\0';
    return line;
}
