/* live_screen.h - the screen of `heapprof live`, drawn with ncurses. */
#ifndef HP_CLI_LIVE_LIVE_SCREEN_H
#define HP_CLI_LIVE_LIVE_SCREEN_H

#include <regex.h>
#include <stdbool.h>

#include "cli/live/live_state.h"

#define HP_LIVE_TOP_LINES 6 /* figures, and the columns' names */

enum hp_live_view { HP_LIVE_SITES, HP_LIVE_STACKS, HP_LIVE_HELP };

struct hp_live_screen {
    struct hp_live_state live;
    enum hp_live_view view;
    enum hp_live_order order;
    char status[512]; /* the last line; "": the keys */
    char pattern[128];
    regex_t filter;
    bool filtered, blocks, paused;
    char *chosen; /* by site: it matches the filter */
    size_t chosen_count;
    size_t first, cursor; /* lines of the list: at the top of the screen, and chosen; cursor >= first */
    size_t line_count;    /* of the list, as last drawn */
    uint32_t site;        /* HP_LIVE_STACKS: of these; else the one at the cursor, as last drawn */
};

void hp_live_draw(struct hp_live_screen *screen);
/* Lines of the list that fit. */
size_t hp_live_page(void);
/* Puts text on a line, cut to the terminal. */
void hp_live_put_line(int line, const char *text);
/* The filter is another one: sites are to be matched anew. */
void hp_live_filter_changed(struct hp_live_screen *screen);

#endif
