#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/dump_file.h"
#include "cli/load.h"
#include "cli/live/live_screen.h"
#include "cli/say.h"
#include "cli/values.h"
#include "report/core/memory.h"

#define KEY_DELAY 0x3001
#define ESCAPE 27

static volatile sig_atomic_t ended;

static void on_end(int number)
{
    ended = 1;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void note(void *state, const char *text)
{
    struct hp_live_screen *screen = state;
    if (!*screen->status)
        snprintf(screen->status, sizeof screen->status, "%s", text);
}

/* ------------------------------------------------------------------ keys */

static void ask_filter(struct hp_live_screen *screen)
{
    char pattern[sizeof screen->pattern] = "";
    timeout(-1);
    hp_live_put_line(LINES - 1, "/");
    echo();
    curs_set(1);
    mvgetnstr(LINES - 1, 1, pattern, sizeof pattern - 1);
    noecho();
    curs_set(0);
    if (screen->filtered)
        regfree(&screen->filter);
    screen->filtered = false;
    hp_live_filter_changed(screen);
    screen->first = screen->cursor = 0;
    *screen->status = '\0';
    int reason = *pattern ? regcomp(&screen->filter, pattern, REG_EXTENDED | REG_NOSUB) : 0;
    if (reason) {
        char text[128];
        regerror(reason, &screen->filter, text, sizeof text);
        snprintf(screen->status, sizeof screen->status, "'%s': %s", pattern, text);
    } else if (*pattern) {
        screen->filtered = true;
        strcpy(screen->pattern, pattern);
    }
}

/* On the terminal as it was before, where the file's name stays to be read. */
static void write_dump(struct hp_live_screen *screen)
{
    pid_t pid;
    def_prog_mode();
    endwin();
    int status = hp_number_is_pid(screen->live.target, &pid) ? hp_dump_running(pid, NULL) : HP_FAILED;
    reset_prog_mode();
    snprintf(screen->status, sizeof screen->status, "%s",
             status == HP_DONE ? "dump written to the current directory" : "no dump could be written");
}

/* The cursor moves in the list of sites, and stays in sight; stacks are read, and move as a whole. */
static void move_by(struct hp_live_screen *screen, long lines)
{
    bool sites = screen->view == HP_LIVE_SITES;
    long page = (long)hp_live_page(), last = (long)screen->line_count - (sites ? 1 : page);
    long now = (long)(sites ? screen->cursor : screen->first) + lines;
    now = now > last ? last : now;
    now = now > 0 ? now : 0;
    if (sites)
        screen->cursor = (size_t)now;
    if (!sites || now < (long)screen->first)
        screen->first = (size_t)now;
    else if (now >= (long)screen->first + page)
        screen->first = (size_t)(now - page + 1);
}

static void to_top(struct hp_live_screen *screen)
{
    screen->first = screen->cursor = 0;
}

/* Keys that only change what is shown of the list. */
static bool navigate(struct hp_live_screen *screen, int key)
{
    const long page = (long)hp_live_page();
    switch (key) {
    case KEY_DOWN:
    case KEY_UP:
        move_by(screen, key == KEY_DOWN ? 1 : -1);
        return true;
    case KEY_NPAGE:
    case KEY_PPAGE:
        move_by(screen, key == KEY_NPAGE ? page : -page);
        return true;
    case KEY_HOME:
        to_top(screen);
        return true;
    default:
        return false;
    }
}

/* From the list of sites to the stacks of the chosen one, and back to where it was. */
static void turn(struct hp_live_screen *screen, bool open)
{
    if (screen->view == HP_LIVE_SITES && open && screen->line_count) {
        screen->view = HP_LIVE_STACKS;
        screen->first = 0;
    } else if (screen->view != HP_LIVE_SITES) {
        screen->view = HP_LIVE_SITES;
        screen->first = 0;
        move_by(screen, 0);
    }
}

/* False: quit. */
static bool press(struct hp_live_screen *screen, int key)
{
    if (key != KEY_RESIZE)
        *screen->status = '\0';
    if (screen->view != HP_LIVE_HELP && navigate(screen, key))
        return true;
    switch (key) {
    case 'q':
    case 'Q':
        return false;
    case '?':
    case 'h':
        screen->view = screen->view == HP_LIVE_HELP ? HP_LIVE_SITES : HP_LIVE_HELP;
        return true;
    case '\n':
    case '\r':
    case KEY_ENTER:
        turn(screen, true);
        return true;
    case ESCAPE:
    case KEY_LEFT:
    case KEY_BACKSPACE:
        turn(screen, false);
        return true;
    case 'm':
        hp_live_mark(&screen->live);
        return true;
    case 'd':
        write_dump(screen);
        return true;
    case ' ':
        screen->paused = !screen->paused;
        return true;
    case 's':
        screen->order = (enum hp_live_order)((screen->order + 1) % HP_LIVE_ORDERS);
        break;
    case '/':
        ask_filter(screen);
        break;
    default:
        return true;
    }
    screen->view = HP_LIVE_SITES;
    to_top(screen);
    return true;
}

static void update(struct hp_live_screen *screen)
{
    struct hp_error error = {""};
    int status = hp_live_update(&screen->live, &error);
    if (status && status != -ESRCH && status != -ENOENT)
        snprintf(screen->status, sizeof screen->status, "%.500s", error.text);
    else if (status || !hp_watch_is_running(screen->live.watch))
        snprintf(screen->status, sizeof screen->status, "process %.100s has ended; this is its last profile",
                 screen->live.target);
}

static void loop(struct hp_live_screen *screen, uint64_t delay_ns)
{
    uint64_t due = now_ns() + delay_ns;
    while (!ended) {
        hp_live_draw(screen);
        uint64_t now = now_ns();
        timeout(now < due ? (int)((due - now) / 1000000 + 1) : 0);
        int key = getch();
        if (key != ERR && !press(screen, key))
            return;
        if (now_ns() >= due) {
            if (!screen->paused)
                update(screen);
            due = now_ns() + delay_ns;
        }
    }
}

/* ------------------------------------------------------------------ the verb */

struct arguments {
    const char *target;
    uint64_t delay_ns;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case KEY_DELAY:
        arguments->delay_ns = hp_duration_value("--every", value, "100ms", "1h");
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->target)
            hp_usage("live takes one PID");
        arguments->target = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int show(struct hp_live_screen *screen, uint64_t delay_ns)
{
    const struct sigaction action = {.sa_handler = on_end};
    struct hp_error error = {""};
    if (hp_live_update(&screen->live, &error))
        return hp_fail("%s", error.text);
    SCREEN *terminal = newterm(NULL, stdout, stdin);
    if (!terminal)
        return hp_fail("live: the terminal '%s' is not known", getenv("TERM") ? getenv("TERM") : "");
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    loop(screen, delay_ns);
    endwin();
    delscreen(terminal);
    return HP_DONE;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {{"every", KEY_DELAY, "DURATION", 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = options, .parser = parse_option};
    struct arguments arguments = {.delay_ns = 1000000000};
    hp_arguments_parse(&hp_verb_live, &argp, 0, argc, argv, &arguments);
    if (!arguments.target)
        hp_usage("live needs a PID");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return hp_fail("live needs a terminal; heapprof top %s prints the same once", arguments.target);
    setlocale(LC_CTYPE, "");
    const struct hp_symbol_options symbols = {NULL, 0};
    struct hp_live_screen screen = {.blocks = !strcmp(nl_langinfo(CODESET), "UTF-8"),
                                    .live = {.target = arguments.target,
                                             .symbolizer = hp_symbolizer_new(&symbols),
                                             .note = note,
                                             .note_state = &screen}};
    int status = show(&screen, arguments.delay_ns);
    hp_symbolizer_free(screen.live.symbolizer);
    hp_live_free(&screen.live);
    free(screen.chosen);
    if (screen.filtered)
        regfree(&screen.filter);
    return status;
}

const struct hp_verb hp_verb_live = {
    "live",
    "[--every=DURATION] PID",
    "A screen of what is live and what grows, refreshed each second, like top(1)",
    hp_help_live,
    run,
};
