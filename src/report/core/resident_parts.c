#include "report/core/resident_parts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "report/core/memory.h"
#include "report/core/units.h"

#define BAR_WIDTH 100      /* columns, at most; what is wider is no easier to read */
#define BAR_WIDTH_ALONE 72 /* where there is no terminal */

/* Colours: those of M. Okabe and K. Ito, "Color Universal Design" (2008), some lighter. */
const struct hp_resident_name hp_resident_names[HP_RESIDENT_PARTS] = {
    {"live", "live objects", "allocated by the program and not freed", "#56b4e9", 'L', false},
    {"overhead", "allocator overhead", "rounding, headers, caches, tables, holes between live objects", "#e69f00", 'o',
     false},
    {"idle", "idle heap", "held by the allocator with nothing in it", "#f0e442", 'i', false},
    {"own", "heapprof itself", "the profiler's tables and code", "#b0b0b0", 'h', false},
    {"stacks", "stacks", "of all threads", "#009e73", 'S', false},
    {"program", "program and libraries", "code and data of what is executed", "#0072b2", 'P', true},
    {"files", "other mapped files", "data and resources", "#cc79a7", 'F', false},
    {"other_anonymous", "other anonymous memory", "mmap of the program itself, static data of libraries", "#d55e00",
     'A', true},
    {"shared", "shared memory", "System V, POSIX, memfd", "#c5e8c5", 'M', false},
    {"not_explained", "not explained", "the figures are of different moments, or the estimate is off", "#ffffff", '?',
     false},
};

static bool number(const struct hp_profile *profile, const char *name, double *value)
{
    const char *fact = hp_profile_fact(profile, name);
    char *end;
    if (!fact || *fact < '0' || *fact > '9')
        return false;
    errno = 0;
    unsigned long long parsed = strtoull(fact, &end, 10);
    *value = (double)parsed;
    return !errno && !*end && parsed < 1ull << 50; /* sums stay exact */
}

bool hp_resident_find(const struct hp_profile *profile, struct hp_resident_set *set)
{
    static const struct {
        const char *fact;
        enum hp_resident_part part;
    } direct[] = {{"heapprof.rss_anonymous", HP_RESIDENT_ANONYMOUS}, {"heapprof.rss_stacks", HP_RESIDENT_STACKS},
                  {"heapprof.rss_program", HP_RESIDENT_PROGRAM},     {"heapprof.rss_files", HP_RESIDENT_FILES},
                  {"heapprof.rss_shared", HP_RESIDENT_SHARED},       {"heapprof.rss_own", HP_RESIDENT_OWN}};
    double heap, idle, inuse = 0, metadata = 0, untouched = 0;
    *set = (struct hp_resident_set){.rss = 0};
    if (!number(profile, "heapprof.rss", &set->rss) || set->rss <= 0 || !number(profile, "heapprof.rss_heap", &heap) ||
        !number(profile, "heapprof.rss_idle", &idle) || idle > heap)
        return false;
    for (size_t i = 0; i < sizeof direct / sizeof *direct; i++)
        if (!number(profile, direct[i].fact, &set->parts[direct[i].part]))
            return false;
    number(profile, "HeapInuse", &inuse);
    number(profile, "heapprof.heap_metadata", &metadata);
    number(profile, "heapprof.heap_untouched", &untouched);
    number(profile, "HeapReleased", &set->released);
    number(profile, "heapprof.swapped", &set->swapped);
    const struct hp_estimate total = hp_profile_total(profile, HP_INUSE_SPACE);
    double estimate = round(total.value);
    double unknown = 0;
    if (number(profile, "heapprof.rss_idle_unknown", &unknown) && unknown > 0)
        inuse = estimate; /* the allocator's is of another moment: not to be subtracted from */
    set->live_error = hp_estimate_error(&total);
    double resident_inuse = heap - idle;
    double live = fmax(estimate - untouched, 0);
    double overhead = fmax(fmin(inuse + metadata, resident_inuse) - live, 0);
    set->untouched = fmax(inuse - resident_inuse, untouched);
    set->parts[HP_RESIDENT_LIVE] = live;
    set->parts[HP_RESIDENT_OVERHEAD] = overhead;
    set->parts[HP_RESIDENT_IDLE] = idle;
    double rest = set->rss;
    for (size_t i = 0; i < HP_RESIDENT_UNKNOWN; i++)
        rest -= set->parts[i];
    set->parts[HP_RESIDENT_UNKNOWN] = rest;
    return true;
}

void hp_resident_cells(const struct hp_resident_set *set, size_t width, size_t cells[HP_RESIDENT_PARTS])
{
    double all = 0, sum = 0;
    size_t used = 0;
    for (size_t i = 0; i < HP_RESIDENT_PARTS; i++)
        all += fmax(set->parts[i], 0);
    for (size_t i = 0; i < HP_RESIDENT_PARTS; i++) {
        sum += fmax(set->parts[i], 0);
        size_t until = all > 0 ? (size_t)round((double)width * (sum / all)) : 0;
        cells[i] = until - used;
        used = until;
    }
}

/* Of the 256 colours of terminals: background, and text that can be read on it. */
static const unsigned char terminal_colours[HP_RESIDENT_PARTS][2] = {
    {74, 16}, {214, 16}, {227, 16}, {250, 16}, {36, 16}, {25, 231}, {175, 16}, {166, 231}, {151, 16}, {231, 16}};

static void put_cells(FILE *out, const struct hp_look *look, size_t part, size_t count)
{
    if (count && look->color)
        fprintf(out, "\033[48;5;%u;38;5;%um", terminal_colours[part][0], terminal_colours[part][1]);
    for (size_t i = 0; i < count; i++)
        fputc(hp_resident_names[part].letter, out);
    if (count && look->color)
        fputs("\033[0m", out);
}

static void put_bar(FILE *out, const struct hp_resident_set *set, const struct hp_look *look)
{
    size_t cells[HP_RESIDENT_PARTS];
    size_t width = !look->width ? BAR_WIDTH_ALONE : look->width < BAR_WIDTH ? look->width : BAR_WIDTH;
    hp_resident_cells(set, width, cells);
    for (size_t part = 0; part < HP_RESIDENT_PARTS; part++)
        put_cells(out, look, part, cells[part]);
    fputc('\n', out);
}

static void put_part(FILE *out, const struct hp_resident_set *set, size_t part, const struct hp_look *look)
{
    const struct hp_resident_name *name = &hp_resident_names[part];
    char bytes[HP_FIGURE], share[HP_FIGURE], error[HP_FIGURE];
    put_cells(out, look, part, 1);
    fputc(' ', out);
    fprintf(out, "%*s", 22 - (int)hp_text_width(name->name), "");
    fputs(name->name, out);
    fprintf(out, "  %10s  %6s  ", hp_figure(bytes, set->parts[part], true),
            hp_percent(share, set->parts[part], set->rss));
    char *text = part == HP_RESIDENT_LIVE && set->live_error >= 0.5
                     ? hp_print("± %s: %s", hp_figure(error, set->live_error, true), name->meaning)
                     : hp_strdup(name->meaning);
    char *cut = look->width > 54 ? hp_cut(text, look->width - 46) : hp_strdup(look->width ? "" : text);
    hp_put_styled(out, look, HP_DIM, cut);
    fputc('\n', out);
    free(cut);
    free(text);
}

static void put_beside(FILE *out, const char *name, double bytes)
{
    char figure[HP_FIGURE];
    if (bytes > 0)
        fprintf(out, "  %22s  %10s\n", name, hp_figure(figure, bytes, true));
}

void hp_resident_write(FILE *out, const struct hp_resident_set *set, const struct hp_look *look)
{
    char rss[HP_FIGURE];
    char *title = hp_print("resident set: %s", hp_figure(rss, set->rss, true));
    hp_put_styled(out, look, HP_BOLD, title);
    free(title);
    fputc('\n', out);
    put_bar(out, set, look);
    for (size_t part = 0; part < HP_RESIDENT_PARTS; part++)
        if (fabs(set->parts[part]) >= 1 || part == HP_RESIDENT_LIVE)
            put_part(out, set, part, look);
    if (set->released + set->untouched + set->swapped > 0)
        fputs("not resident:\n", out);
    put_beside(out, "idle and released", set->released);
    put_beside(out, "in use, never touched", set->untouched);
    put_beside(out, "swapped out", set->swapped);
}
