#include "cli/live/live_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/target.h"
#include "report/core/memory.h"
#include "report/core/symbolize_profile.h"

const char *const hp_live_order_names[HP_LIVE_ORDERS] = {"flat", "cum", "growth", "rate"};

/* ------------------------------------------------------------------ stacks, once each */

static void take_stack(struct hp_live_state *state, struct hp_view *view, const struct hp_sample *sample,
                       uint64_t number)
{
    const struct hp_frame *frames;
    size_t depth = hp_view_stack(view, sample, &frames);
    state->stacks = hp_grow(state->stacks, &state->stack_capacity, state->stack_count + 1, sizeof *state->stacks);
    state->frames = hp_grow(state->frames, &state->frame_capacity, state->frame_count + depth, sizeof *state->frames);
    hp_map_add(&state->stack_of, number, (uint32_t)state->stack_count);
    state->stacks[state->stack_count++] = (struct hp_live_stack){state->frame_count, (uint32_t)depth, 0, 0};
    for (size_t i = 0; i < depth; i++)
        state->frames[state->frame_count++] = frames[i].site;
}

/* `rows` have stacks that were never seen before. */
static int take_stacks(struct hp_live_state *state, const struct hp_entry_row *rows, size_t count,
                       struct hp_error *error)
{
    const struct hp_symbolize_watch watch = {.note = state->note, .state = state->note_state};
    struct hp_filter filter = {.has_focus = false};
    struct hp_byte_buffer text = {0};
    struct hp_profile *profile;
    struct hp_view view = {0};
    int status = hp_watch_write(state->watch, rows, count, hp_byte_buffer_sink, &text);
    if (status)
        hp_error_set(error, status, "process %s: %s", state->target, strerror(-status));
    else
        status = hp_profile_read_memory(state->target, text.data, text.size, &profile, error);
    free(text.data);
    if (status)
        return status;
    profile->live_pid = (int)strtol(state->target, NULL, 10);
    hp_symbolize_profile(profile, state->symbolizer, &watch);
    hp_view_init(&view, profile, HP_BY_FUNCTION, &filter, &state->places);
    for (size_t i = 0; i < count && i < profile->sample_count; i++)
        take_stack(state, &view, &profile->samples[i], rows[i].hash);
    hp_view_free(&view);
    hp_profile_free(profile);
    size_t sites = state->places.row_names.count;
    state->sites = hp_grow(state->sites, &state->site_capacity, sites, sizeof *state->sites);
    memset(state->sites + state->site_count, 0, (sites - state->site_count) * sizeof *state->sites);
    state->site_count = sites;
    return 0;
}

static int find_stacks(struct hp_live_state *state, const struct hp_watch_reading *reading, struct hp_error *error)
{
    struct hp_entry_row *fresh = NULL;
    struct hp_map seen = {0};
    size_t count = 0, capacity = 0;
    for (uint64_t i = 0; i < reading->count; i++) {
        uint64_t stack = reading->rows[i].hash;
        if (hp_map_get(&state->stack_of, stack) != HP_MAP_NONE || hp_map_add(&seen, stack, (uint32_t)count) != count)
            continue;
        fresh = hp_grow(fresh, &capacity, count + 1, sizeof *fresh);
        fresh[count++] = reading->rows[i];
    }
    int status = count ? take_stacks(state, fresh, count, error) : 0;
    hp_map_clear(&seen);
    free(fresh);
    return status;
}

/* ------------------------------------------------------------------ figures */

static void add_row(struct hp_live_state *state, const struct hp_entry_row *row, uint32_t number,
                    const struct hp_profile *scale, struct hp_estimate *total)
{
    uint32_t at = hp_map_get(&state->stack_of, row->hash);
    const struct hp_sample sample = {.counts = row->drawn, .interval = (double)row->interval};
    struct hp_estimate live = hp_sample_estimate(scale, &sample, HP_INUSE_SPACE, false);
    struct hp_estimate alloc = hp_sample_estimate(scale, &sample, HP_ALLOC_SPACE, false);
    hp_estimate_add(total, &live);
    if (at == HP_MAP_NONE)
        return;
    struct hp_live_stack *stack = &state->stacks[at];
    stack->live += live.value;
    stack->samples += live.samples;
    for (uint32_t i = 0; i < stack->depth; i++) {
        struct hp_live_site *site = &state->sites[state->places.sites[state->frames[stack->first + i]].row];
        if (i == 0) {
            site->flat += live.value;
            site->alloc += alloc.value;
        }
        if (site->seen != number)
            site->cum += live.value;
        site->seen = number;
    }
}

static void add_up(struct hp_live_state *state, const struct hp_watch_reading *reading)
{
    const struct hp_profile scale = {.interval = (double)reading->interval};
    bool first = !state->clock_ns;
    double seconds = first ? 0 : (double)(reading->clock_ns - state->clock_ns) / 1e9;
    struct hp_estimate total = {0};
    for (size_t i = 0; i < state->site_count; i++) {
        struct hp_live_site *site = &state->sites[i];
        site->before = site->alloc;
        site->flat = site->cum = site->alloc = 0;
        site->seen = 0;
    }
    for (size_t i = 0; i < state->stack_count; i++)
        state->stacks[i].live = (double)(state->stacks[i].samples = 0);
    for (uint64_t i = 0; i < reading->count; i++)
        add_row(state, &reading->rows[i], (uint32_t)i + 1, &scale, &total);
    state->rate = 0;
    for (size_t i = 0; i < state->site_count; i++) {
        struct hp_live_site *site = &state->sites[i];
        site->rate = seconds > 0 && site->alloc > site->before ? (site->alloc - site->before) / seconds : 0;
        state->rate += site->rate;
        site->growth = site->flat - site->marked;
    }
    state->live_error = hp_estimate_error(&total);
    state->clock_ns = reading->clock_ns;
    state->audit = reading->audit;
    state->own_bytes = reading->own_bytes;
    state->own_ns = reading->own_ns;
    if (state->moment_count == HP_LIVE_MOMENTS)
        memmove(state->moments, state->moments + 1, --state->moment_count * sizeof *state->moments);
    state->moments[state->moment_count++] =
        (struct hp_live_moment){total.value, (double)reading->inuse, (double)reading->idle};
    if (first)
        hp_live_mark(state);
}

static void forget(struct hp_live_state *state)
{
    hp_places_free(&state->places);
    hp_map_clear(&state->stack_of);
    free(state->stacks);
    free(state->frames);
    free(state->sites);
    state->places = (struct hp_places){0};
    state->stacks = NULL;
    state->frames = NULL;
    state->sites = NULL;
    state->stack_count = state->stack_capacity = state->frame_count = state->frame_capacity = 0;
    state->site_count = state->site_capacity = 0;
    state->clock_ns = 0;
}

/* A target that was killed is the same, and leaves its ledger; one that executes another program is not. */
static int reopen(struct hp_live_state *state, struct hp_error *error)
{
    char reason[HP_PATH_MAX + 256] = "";
    struct hp_watch *watch;
    int status = hp_watch_open(state->target, &watch, reason, sizeof reason);
    if (status)
        return hp_error_set(error, status, "%.900s", reason);
    bool same = state->watch && !hp_watch_is_running(watch);
    hp_watch_close(state->watch);
    state->watch = watch;
    if (!same)
        forget(state);
    return 0;
}

int hp_live_update(struct hp_live_state *state, struct hp_error *error)
{
    struct hp_watch_reading reading;
    if (!state->watch || hp_watch_is_over(state->watch)) {
        int status = reopen(state, error);
        if (status)
            return status;
    }
    int status = hp_watch_read(state->watch, &reading);
    if (status)
        return hp_error_set(error, status, "process %s: its ledger can't be read: %s", state->target,
                            strerror(-status));
    status = find_stacks(state, &reading, error);
    if (!status)
        add_up(state, &reading);
    return status;
}

void hp_live_mark(struct hp_live_state *state)
{
    for (size_t i = 0; i < state->site_count; i++) {
        state->sites[i].marked = state->sites[i].flat;
        state->sites[i].growth = 0;
    }
    state->mark_ns = state->clock_ns;
}

void hp_live_free(struct hp_live_state *state)
{
    forget(state);
    hp_watch_close(state->watch);
    *state = (struct hp_live_state){0};
}

/* ------------------------------------------------------------------ the largest */

/* The best of what is offered, as a heap with the worst of them on top: only what is shown is sorted. */
struct best {
    struct ranked {
        double value;
        const char *name; /* decides between equal values */
        uint32_t number;
    } * heap;
    size_t count, most;
};

static bool is_worse(const struct ranked *a, const struct ranked *b)
{
    return a->value != b->value ? a->value < b->value : strcmp(a->name, b->name) > 0;
}

static void sift_down(struct best *best, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < best->count; at = child) {
        if (child + 1 < best->count && is_worse(&best->heap[child + 1], &best->heap[child]))
            child++;
        if (!is_worse(&best->heap[child], &best->heap[at]))
            return;
        struct ranked swap = best->heap[at];
        best->heap[at] = best->heap[child];
        best->heap[child] = swap;
    }
}

static void offer(struct best *best, double value, const char *name, uint32_t number)
{
    const struct ranked ranked = {value, name, number};
    if (best->count < best->most) {
        size_t at = best->count++;
        for (; at && is_worse(&ranked, &best->heap[(at - 1) / 2]); at = (at - 1) / 2)
            best->heap[at] = best->heap[(at - 1) / 2];
        best->heap[at] = ranked;
    } else if (best->most && is_worse(&best->heap[0], &ranked)) {
        best->heap[0] = ranked;
        sift_down(best, 0);
    }
}

/* Empties it, best first. */
static size_t take(struct best *best, uint32_t *numbers)
{
    size_t count = best->count;
    while (best->count) {
        numbers[best->count - 1] = best->heap[0].number;
        best->heap[0] = best->heap[--best->count];
        sift_down(best, 0);
    }
    free(best->heap);
    return count;
}

size_t hp_live_first(const struct hp_live_state *state, enum hp_live_order order, const char *chosen, uint32_t *sites,
                     size_t most)
{
    struct best best = {.heap = hp_alloc(most, sizeof(struct ranked)), .most = most};
    for (uint32_t i = 0; i < state->site_count; i++) {
        const struct hp_live_site *site = &state->sites[i];
        const double values[HP_LIVE_ORDERS] = {site->flat, site->cum, site->growth, site->rate};
        if ((!chosen || chosen[i]) && (site->cum > 0 || site->alloc > 0 || site->growth < 0))
            offer(&best, values[order], hp_live_name(state, i), i);
    }
    return take(&best, sites);
}

static bool has(const struct hp_live_state *state, const struct hp_live_stack *stack, uint32_t site, bool ends_there)
{
    for (uint32_t i = 0; i < stack->depth && (i == 0 || !ends_there); i++)
        if (state->places.sites[state->frames[stack->first + i]].row == site)
            return true;
    return false;
}

size_t hp_live_stacks(const struct hp_live_state *state, uint32_t site, uint32_t *stacks, size_t most, size_t *all)
{
    struct best best = {.heap = hp_alloc(most, sizeof(struct ranked)), .most = most};
    bool ends_there = state->sites[site].flat > 0;
    *all = 0;
    for (uint32_t i = 0; i < state->stack_count; i++) {
        const struct hp_live_stack *stack = &state->stacks[i];
        if (!(stack->live > 0) || !has(state, stack, site, ends_there))
            continue;
        offer(&best, stack->live, "", i);
        ++*all;
    }
    return take(&best, stacks);
}
