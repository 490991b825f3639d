/* timeline.h - the figures of a process over time, as lines of text. */
#ifndef HP_REPORT_TABLES_TIMELINE_H
#define HP_REPORT_TABLES_TIMELINE_H

#include <stdio.h>

#include "report/core/series.h"

/* `count` values as one row of eight heights, the smallest at the bottom, the last ones if there
 * are more than `width`: block elements, or without `blocks` ASCII. The caller frees it. */
char *hp_sparkline(const double *values, size_t count, size_t width, bool blocks);

/* A line each for live, HeapInuse and HeapIdle, with the first, largest and last value, and one for
 * the time. `blocks` as above; `columns` of the terminal. */
void hp_timeline_write(FILE *out, const struct hp_figures_at *moments, size_t count, size_t columns, bool blocks);

/* "3.2s", "12m05s", "4h10m", "6d03h". Returns `buffer`, of HP_FIGURE bytes. */
const char *hp_duration(char *buffer, double seconds);

#endif
