#include "report/tables/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "report/core/units.h"

#define FIGURES 54 /* columns beside the graph */
#define GRAPH_LEAST 16
#define GRAPH_MOST 100

char *hp_sparkline(const double *values, size_t count, size_t width, bool blocks)
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

const char *hp_duration(char *buffer, double seconds)
{
    unsigned long long whole = seconds > 0 ? (unsigned long long)seconds : 0;
    if (whole < 60)
        snprintf(buffer, HP_FIGURE, "%.1fs", seconds);
    else if (whole < 3600)
        snprintf(buffer, HP_FIGURE, "%llum%02llus", whole / 60, whole % 60);
    else if (whole < 86400)
        snprintf(buffer, HP_FIGURE, "%lluh%02llum", whole / 3600, whole / 60 % 60);
    else
        snprintf(buffer, HP_FIGURE, "%llud%02lluh", whole / 86400, whole / 3600 % 24);
    return buffer;
}

static double value_of(const struct hp_figures_at *moment, int which)
{
    return which == 0 ? moment->live : which == 1 ? moment->inuse : moment->idle;
}

/* Moments are not evenly spaced: each cell stands for an equal part of the time, and shows the
 * largest value in it, or, where there is none, the last one before. */
static double *spread(const struct hp_figures_at *moments, size_t count, int which, size_t cells)
{
    double *values = hp_alloc(cells, sizeof *values);
    int64_t start = moments[0].time_ns, length = moments[count - 1].time_ns - start;
    size_t next = 0;
    for (size_t i = 0; i < cells; i++) {
        values[i] = next ? value_of(&moments[next - 1], which) : 0;
        double end = (double)length * (double)(i + 1) / (double)cells;
        bool fresh = true;
        for (; next < count && (i + 1 == cells || (double)(moments[next].time_ns - start) < end); next++) {
            double value = value_of(&moments[next], which);
            values[i] = fresh || value > values[i] ? value : values[i];
            fresh = false;
        }
    }
    return values;
}

static void write_line(FILE *out, const struct hp_figures_at *moments, size_t count, int which, size_t cells,
                       bool blocks)
{
    static const char *const names[] = {"live", "HeapInuse", "HeapIdle"};
    char first[HP_FIGURE], most[HP_FIGURE], last[HP_FIGURE];
    double highest = 0;
    for (size_t i = 0; i < count; i++)
        highest = value_of(&moments[i], which) > highest ? value_of(&moments[i], which) : highest;
    double *values = spread(moments, count, which, cells);
    char *graph = hp_sparkline(values, cells, cells, blocks);
    fprintf(out, "%-9s  %s  %11s %11s %11s\n", names[which], graph,
            hp_figure(first, value_of(&moments[0], which), true), hp_figure(most, highest, true),
            hp_figure(last, value_of(&moments[count - 1], which), true));
    free(graph);
    free(values);
}

void hp_timeline_write(FILE *out, const struct hp_figures_at *moments, size_t count, size_t columns, bool blocks)
{
    char length[HP_FIGURE];
    if (!count)
        return;
    size_t room = columns > FIGURES + GRAPH_LEAST ? columns - FIGURES : GRAPH_LEAST;
    size_t cells = count < GRAPH_LEAST ? GRAPH_LEAST : count;
    cells = cells > room ? room : cells > GRAPH_MOST ? GRAPH_MOST : cells;
    double seconds = (double)(moments[count - 1].time_ns - moments[0].time_ns) / 1e9;
    char *title = hp_print("%zu moments in %s", count, hp_duration(length, seconds));
    fprintf(out, "%-*s  %11s %11s %11s\n", (int)(11 + cells), title, "first", "most", "last");
    for (int which = 0; which < 3; which++)
        write_line(out, moments, count, which, cells, blocks);
    free(title);
}
