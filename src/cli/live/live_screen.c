#include "cli/live/live_screen.h"

#include <inttypes.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "report/tables/timeline.h"
#include "report/core/units.h"

#define NUMBERS 50 /* columns that the figures of a site take */
#define STACKS_MOST 100

void hp_live_put_line(int line, const char *text)
{
    char *clean = hp_clean(text), *cut = hp_cut(clean, (size_t)COLS);
    mvaddstr(line, 0, cut);
    clrtoeol();
    free(cut);
    free(clean);
}

size_t hp_live_page(void)
{
    return LINES > HP_LIVE_TOP_LINES + 2 ? (size_t)LINES - HP_LIVE_TOP_LINES - 1 : 1;
}

static void draw_course(const struct hp_live_screen *screen, int line, const char *name, size_t which)
{
    const struct hp_live_state *live = &screen->live;
    double values[HP_LIVE_MOMENTS];
    char figure[HP_FIGURE];
    for (size_t i = 0; i < live->moment_count; i++) {
        const struct hp_live_moment *moment = &live->moments[i];
        const double all[] = {moment->live, moment->inuse, moment->idle};
        values[i] = all[which];
    }
    double last = live->moment_count ? values[live->moment_count - 1] : 0;
    size_t room = COLS > 22 ? (size_t)COLS - 22 : 0;
    char *course = hp_sparkline(values, live->moment_count, room, screen->blocks);
    char *text = hp_print("%-6s %12s  %s", name, hp_figure(figure, last, true), course);
    hp_live_put_line(line, text);
    free(text);
    free(course);
}

static void draw_title(const struct hp_live_screen *screen)
{
    const struct hp_live_state *live = &screen->live;
    char error[HP_FIGURE], rate[HP_FIGURE], since[HP_FIGURE];
    char *title = hp_print(
        "%s (%s): live %s %s, %s/s allocated, growth within %s%s%s%s", hp_watch_program(live->watch), live->target,
        screen->blocks ? "±" : "+-", hp_figure(error, live->live_error, true), hp_figure(rate, live->rate, true),
        hp_duration(since, (double)(live->clock_ns - live->mark_ns) / 1e9), screen->filtered ? ", only " : "",
        screen->filtered ? screen->pattern : "", screen->paused ? ", paused" : "");
    attron(A_BOLD);
    hp_live_put_line(0, title);
    attroff(A_BOLD);
    free(title);
}

static void draw_audit(const struct hp_live_state *live, int line)
{
    const struct hp_audit *audit = &live->audit;
    char own[HP_FIGURE];
    char *text = hp_print("%" PRIu64 " samples, %" PRIu64 " lost, %" PRIu64 " truncated, %" PRIu64
                          " unmatched frees; heapprof itself: %s, %.1f ms",
                          audit->samples, audit->lost, audit->truncated, audit->unmatched_frees,
                          hp_figure(own, (double)live->own_bytes, true), (double)live->own_ns / 1e6);
    hp_live_put_line(line, text);
    free(text);
}

static void draw_top(const struct hp_live_screen *screen)
{
    const struct hp_live_state *live = &screen->live;
    draw_title(screen);
    draw_course(screen, 1, "live", 0);
    draw_course(screen, 2, "inuse", 1);
    draw_course(screen, 3, "idle", 2);
    draw_audit(live, 4);
    char *names = screen->view == HP_LIVE_STACKS
                      ? hp_print("%12s%12s  stacks of %s", "live", "samples", hp_live_name(&screen->live, screen->site))
                      : hp_print("%12s%12s%12s%12s  function, by %s", "flat", "cum", "growth", "alloc/s",
                                 hp_live_order_names[screen->order]);
    attron(A_REVERSE);
    hp_live_put_line(5, names);
    attroff(A_REVERSE);
    free(names);
}

/* ------------------------------------------------------------------ sites */

void hp_live_filter_changed(struct hp_live_screen *screen)
{
    screen->chosen_count = 0;
}

/* Each site is matched once. */
static void match_sites(struct hp_live_screen *screen)
{
    size_t count = screen->live.site_count;
    if (screen->chosen_count > count) /* the target executed another program */
        screen->chosen_count = 0;
    if (!screen->filtered || screen->chosen_count == count)
        return;
    screen->chosen = hp_realloc(screen->chosen, count, 1);
    for (size_t i = screen->chosen_count; i < count; i++)
        screen->chosen[i] = !regexec(&screen->filter, hp_live_name(&screen->live, (uint32_t)i), 0, NULL, 0);
    screen->chosen_count = count;
}

static void draw_site(const struct hp_live_screen *screen, uint32_t number, int line)
{
    const struct hp_live_site *site = &screen->live.sites[number];
    char flat[HP_FIGURE], cum[HP_FIGURE], growth[HP_FIGURE], rate[HP_FIGURE];
    size_t room = COLS > NUMBERS ? (size_t)COLS - NUMBERS : 1;
    char *clean = hp_clean(hp_live_name(&screen->live, number)), *name = hp_shorten_function(clean, room);
    bool grew = site->growth >= 0.5 || site->growth <= -0.5;
    char *text = hp_print("%12s%12s%12s%12s  %s", hp_figure(flat, site->flat, true), hp_figure(cum, site->cum, true),
                          grew ? hp_signed_figure(growth, site->growth, true) : "",
                          site->rate > 0 ? hp_figure(rate, site->rate, true) : "", name);
    hp_live_put_line(line, text);
    free(text);
    free(name);
    free(clean);
}

static void draw_sites(struct hp_live_screen *screen)
{
    size_t page = hp_live_page(), most = screen->first + page;
    uint32_t *sites = hp_alloc(most, sizeof *sites);
    int line = HP_LIVE_TOP_LINES;
    match_sites(screen);
    size_t count = hp_live_first(&screen->live, screen->order, screen->filtered ? screen->chosen : NULL, sites, most);
    screen->line_count = count < most ? count : screen->live.site_count;
    if (screen->cursor >= screen->line_count)
        screen->cursor = screen->line_count ? screen->line_count - 1 : 0;
    for (size_t i = screen->first; i < count && line < LINES - 1; i++) {
        if (i == screen->cursor) {
            attron(A_STANDOUT);
            screen->site = sites[i];
        }
        draw_site(screen, sites[i], line++);
        attroff(A_STANDOUT);
    }
    for (; line < LINES - 1; line++)
        hp_live_put_line(line, "");
    free(sites);
}

/* ------------------------------------------------------------------ stacks of a site */

static char *place_of(const struct hp_place *site)
{
    if (!*site->file)
        return hp_strdup("");
    return site->line ? hp_print("  %s:%" PRIu32, hp_basename(site->file), site->line)
                      : hp_print("  %s", hp_basename(site->file));
}

/* The figures stand before the innermost function, the callers below it. */
static void draw_stack(struct hp_live_screen *screen, const struct hp_live_stack *stack, size_t *index, int *line)
{
    const struct hp_live_state *live = &screen->live;
    char figure[HP_FIGURE];
    char *numbers = hp_print("%12s%12" PRIu64 "  ", hp_figure(figure, stack->live, true), stack->samples);
    for (uint32_t i = 0; i <= stack->depth; i++, ++*index) {
        if (*index < screen->first || *line >= LINES - 1)
            continue;
        if (i == stack->depth) {
            hp_live_put_line((*line)++, "");
            continue;
        }
        const struct hp_place *site = &live->places.sites[live->frames[stack->first + i]];
        char *place = place_of(site), *clean = hp_clean(hp_live_name(live, site->row));
        size_t width = hp_text_width(place), room = COLS > 46 + (int)width ? (size_t)COLS - 26 - width : 20;
        char *name = hp_shorten_function(clean, room);
        char *text = hp_print("%*s%s%s", i ? 26 : 0, i ? "" : numbers, name, place);
        hp_live_put_line((*line)++, text);
        free(text);
        free(name);
        free(clean);
        free(place);
    }
    free(numbers);
}

static void draw_stacks(struct hp_live_screen *screen)
{
    uint32_t stacks[STACKS_MOST];
    size_t all, index = 0, count = hp_live_stacks(&screen->live, screen->site, stacks, STACKS_MOST, &all);
    int line = HP_LIVE_TOP_LINES;
    for (size_t i = 0; i < count; i++)
        draw_stack(screen, &screen->live.stacks[stacks[i]], &index, &line);
    screen->line_count = index;
    if (!count && line < LINES - 1)
        hp_live_put_line(line++, "nothing is live here");
    if (all > count && line < LINES - 1) {
        char *more = hp_print("%26sand %zu smaller stacks", "", all - count);
        hp_live_put_line(line++, more);
        free(more);
    }
    for (; line < LINES - 1; line++)
        hp_live_put_line(line, "");
}

/* ------------------------------------------------------------------ help */

static void draw_help(void)
{
    static const char *const lines[] = {"up, down, PgUp, PgDn, Home  choose a function",
                                        "Enter        its stacks; again, or Escape: back",
                                        "s            next order: flat, cum, growth, rate",
                                        "/            show only functions that match a regular expression",
                                        "m            mark: growth counts from now",
                                        "d            write a dump",
                                        "space        pause, go on",
                                        "q            quit",
                                        "",
                                        "flat   live bytes allocated there      cum     there and in what it calls",
                                        "growth of flat, since start or mark    alloc/s bytes allocated a second"};
    int line = HP_LIVE_TOP_LINES;
    for (size_t i = 0; i < sizeof lines / sizeof *lines && line < LINES - 1; i++)
        hp_live_put_line(line++, lines[i]);
    for (; line < LINES - 1; line++)
        hp_live_put_line(line, "");
}

void hp_live_draw(struct hp_live_screen *screen)
{
    draw_top(screen);
    switch (screen->view) {
    case HP_LIVE_HELP:
        draw_help();
        break;
    case HP_LIVE_STACKS:
        draw_stacks(screen);
        break;
    case HP_LIVE_SITES:
    default:
        draw_sites(screen);
    }
    attron(A_BOLD);
    hp_live_put_line(LINES - 1, *screen->status ? screen->status
                                                : "? help  Enter stacks  s sort  / filter  m mark  d dump  q quit");
    attroff(A_BOLD);
    refresh();
}
