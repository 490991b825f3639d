/* The member "series" of the page's document (html_data.h). */
#include <inttypes.h>
#include <stdlib.h>

#include "report/page/html_data.h"
#include "report/core/memory.h"

static void put_moment(FILE *out, const struct hp_series_moment *moment)
{
    const struct hp_figures_at *figures = &moment->figures;
    fputs("{\"name\":", out);
    hp_html_string(out, moment->name);
    fprintf(out, ",\"time\":%" PRId64 ",\"live\":%.0f,\"live_error\":%.0f,\"inuse\":%.0f,\"idle\":%.0f}",
            figures->time_ns / 1000000, figures->live, figures->live_error, figures->inuse, figures->idle);
}

/* What differs from the moment before, as differences: a moment of a quiet program takes next to
 * nothing. */
static void put_counts(FILE *out, const struct hp_series *series, size_t moment)
{
    size_t last = 0;
    bool first = true;
    for (size_t entry = 0; entry < series->moments[moment].entry_count; entry++) {
        struct hp_counts now = hp_series_counts(series, moment, entry), before = {0};
        if (moment)
            before = hp_series_counts(series, moment - 1, entry);
        const int64_t changes[] = {
            (int64_t)(now.live_objects - before.live_objects), (int64_t)(now.live_bytes - before.live_bytes),
            (int64_t)(now.alloc_objects - before.alloc_objects), (int64_t)(now.alloc_bytes - before.alloc_bytes)};
        if (!changes[0] && !changes[1] && !changes[2] && !changes[3])
            continue;
        fprintf(out, "%s%zu,%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, first ? "" : ",", entry - last, changes[0],
                changes[1], changes[2], changes[3]);
        first = false;
        last = entry;
    }
}

/* The place of each entry among the nodes in which stacks end; -1: the filters left it out. */
static void put_places(FILE *out, const struct hp_series *series, const struct hp_stacks *stacks,
                       const struct hp_trie *trie)
{
    size_t count = series->stacks->sample_count, depth = 0;
    int64_t *place_of = hp_alloc(trie->count, sizeof *place_of), *places = hp_alloc(count, sizeof *places), next = 0;
    uint32_t node = 0;
    do {
        if (trie->nodes[node].ends)
            place_of[node] = next++;
        node = hp_trie_next(trie, node, true, &depth);
    } while (node);
    for (size_t i = 0; i < count; i++)
        places[i] = -1;
    for (size_t i = 0; i < stacks->count; i++)
        places[stacks->stacks[i].pair.after - series->stacks->samples] = place_of[trie->ends[i]];
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s%" PRId64, i ? "," : "", places[i]);
    free(place_of);
    free(places);
}

void hp_html_series(FILE *out, const struct hp_report_input *input, const struct hp_stacks *stacks,
                    const struct hp_trie *trie)
{
    const struct hp_series *series = input->series;
    fprintf(out, ",\n\"series\":{\"interval\":%.17g,\"refresh\":%u,\n\"moments\":[", series->stacks->interval,
            input->refresh_ms);
    for (size_t i = 0; i < series->count; i++) {
        fputs(i ? ",\n" : "", out);
        put_moment(out, &series->moments[i]);
    }
    fputs("],\n\"places\":[", out);
    put_places(out, series, stacks, trie);
    fputs("],\n\"changes\":[", out);
    for (size_t i = 0; i < series->count; i++) {
        fputs(i ? ",\n[" : "[", out);
        put_counts(out, series, i);
        fputc(']', out);
    }
    fputs("]}", out);
}
