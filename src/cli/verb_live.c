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
#include "cli/input.h"
#include "cli/live.h"
#include "cli/say.h"
#include "cli/size.h"
#include "report/memory.h"
#include "report/units.h"

#define KEY_DELAY 0x3001
#define TOP_LINES 6 /* figures, and the columns' names */
#define NUMBERS 50  /* columns that the figures of a site take */

static volatile sig_atomic_t ended;

struct screen {
    struct hp_live_state live;
    const char *target;
    char status[512]; /* the last line; "": the keys */
    char pattern[128];
    regex_t filter;
    bool filtered, blocks, paused, help;
    size_t first; /* site at the top */
    uint64_t delay_ns;
};

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
    struct screen *screen = state;
    if (!*screen->status)
        snprintf(screen->status, sizeof screen->status, "%s", text);
}

/* ------------------------------------------------------------------ drawing */

static void put_line(int line, const char *text)
{
    char *clean = hp_clean(text), *cut = hp_cut(clean, (size_t)COLS);
    mvaddstr(line, 0, cut);
    clrtoeol();
    free(cut);
    free(clean);
}

static void draw_course(const struct screen *screen, int line, const char *name, size_t which)
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
    char *course = hp_live_sparkline(values, live->moment_count, room, screen->blocks);
    char *text = hp_print("%-6s %12s  %s", name, hp_figure(figure, last, true), course);
    put_line(line, text);
    free(text);
    free(course);
}

static void draw_top(const struct screen *screen)
{
    const struct hp_live_state *live = &screen->live;
    char error[HP_FIGURE], rate[HP_FIGURE];
    const char *program = live->now ? hp_profile_program(live->now) : NULL;
    char *title = hp_print("%s (%s): live %s %s, %s/s allocated%s%s%s", program ? program : "?", screen->target,
                           screen->blocks ? "±" : "+-",
                           hp_figure(error, live->live_error, true), hp_figure(rate, live->rate, true),
                           screen->filtered ? ", only " : "", screen->filtered ? screen->pattern : "",
                           screen->paused ? ", paused" : "");
    attron(A_BOLD);
    put_line(0, title);
    attroff(A_BOLD);
    free(title);
    draw_course(screen, 1, "live", 0);
    draw_course(screen, 2, "inuse", 1);
    draw_course(screen, 3, "idle", 2);
    char *audit = hp_live_audit(live);
    put_line(4, audit);
    free(audit);
    char *names = hp_print("%12s%12s%12s%12s  function, by %s", "flat", "cum", "growth", "alloc/s",
                           hp_live_order_names[live->order]);
    attron(A_REVERSE);
    put_line(5, names);
    attroff(A_REVERSE);
    free(names);
}

static void draw_site(const struct hp_live_site *site, int line)
{
    char flat[HP_FIGURE], cum[HP_FIGURE], growth[HP_FIGURE], rate[HP_FIGURE];
    size_t room = COLS > NUMBERS ? (size_t)COLS - NUMBERS : 1;
    char *clean = hp_clean(site->name), *name = hp_shorten_function(clean, room);
    char *text = hp_print("%12s%12s%12s%12s  %s", hp_figure(flat, site->flat, true), hp_figure(cum, site->cum, true),
                          site->growth != 0 ? hp_signed_figure(growth, site->growth, true) : "",
                          site->rate > 0 ? hp_figure(rate, site->rate, true) : "", name);
    put_line(line, text);
    free(text);
    free(name);
    free(clean);
}

static void draw_sites(struct screen *screen)
{
    const struct hp_live_state *live = &screen->live;
    int line = TOP_LINES;
    size_t matching = 0;
    for (size_t i = 0; i < live->site_count && line < LINES - 1; i++) {
        if (screen->filtered && regexec(&screen->filter, live->sites[i].name, 0, NULL, 0))
            continue;
        if (matching++ >= screen->first)
            draw_site(&live->sites[i], line++);
    }
    for (; line < LINES - 1; line++)
        put_line(line, "");
}

static void draw_help(void)
{
    static const char *const lines[] = {"s            next order: flat, cum, growth, rate",
                                        "/            show only functions that match a regular expression",
                                        "m            mark: growth counts from now",
                                        "d            write a dump",
                                        "space        pause, go on",
                                        "up, down, PgUp, PgDn, Home",
                                        "q            quit",
                                        "",
                                        "flat   live bytes allocated there      cum     there and in what it calls",
                                        "growth of flat, since start or mark    alloc/s bytes allocated a second"};
    int line = TOP_LINES;
    for (size_t i = 0; i < sizeof lines / sizeof *lines && line < LINES - 1; i++)
        put_line(line++, lines[i]);
    for (; line < LINES - 1; line++)
        put_line(line, "");
}

static void draw(struct screen *screen)
{
    draw_top(screen);
    if (screen->help)
        draw_help();
    else
        draw_sites(screen);
    attron(A_BOLD);
    put_line(LINES - 1, *screen->status ? screen->status : "? help  s sort  / filter  m mark  d dump  q quit");
    attroff(A_BOLD);
    refresh();
}

/* ------------------------------------------------------------------ keys */

static void ask_filter(struct screen *screen)
{
    char pattern[sizeof screen->pattern] = "";
    timeout(-1);
    put_line(LINES - 1, "/");
    echo();
    curs_set(1);
    mvgetnstr(LINES - 1, 1, pattern, sizeof pattern - 1);
    noecho();
    curs_set(0);
    if (screen->filtered)
        regfree(&screen->filter);
    screen->filtered = false;
    screen->first = 0;
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
static void write_dump(struct screen *screen)
{
    pid_t pid;
    def_prog_mode();
    endwin();
    int status = hp_number_is_pid(screen->target, &pid) ? hp_dump_running(pid, NULL) : HP_FAILED;
    reset_prog_mode();
    snprintf(screen->status, sizeof screen->status, "%s",
             status == HP_DONE ? "dump written to the current directory" : "no dump could be written");
}

static void scroll_by(struct screen *screen, long lines)
{
    long first = (long)screen->first + lines;
    long last = (long)screen->live.site_count - 1;
    first = first > last ? last : first;
    screen->first = first > 0 ? (size_t)first : 0;
}

/* False: quit. */
static bool press(struct screen *screen, int key)
{
    const long page = LINES > TOP_LINES + 2 ? LINES - TOP_LINES - 1 : 1;
    if (key != KEY_RESIZE)
        *screen->status = '\0';
    switch (key) {
    case 'q':
    case 'Q':
        return false;
    case '?':
    case 'h':
        screen->help = !screen->help;
        return true;
    case 's':
        hp_live_sort(&screen->live, (enum hp_live_order)((screen->live.order + 1) % HP_LIVE_ORDERS));
        screen->first = 0;
        break;
    case '/':
        ask_filter(screen);
        break;
    case 'm':
        hp_live_mark(&screen->live);
        break;
    case 'd':
        write_dump(screen);
        break;
    case ' ':
        screen->paused = !screen->paused;
        break;
    case KEY_DOWN:
    case KEY_UP:
        scroll_by(screen, key == KEY_DOWN ? 1 : -1);
        break;
    case KEY_NPAGE:
    case KEY_PPAGE:
        scroll_by(screen, key == KEY_NPAGE ? page : -page);
        break;
    case KEY_HOME:
        screen->first = 0;
        break;
    default:
        return true;
    }
    screen->help = false;
    return true;
}

static void update(struct screen *screen)
{
    struct hp_error error = {""};
    if (hp_live_update(&screen->live, &error))
        snprintf(screen->status, sizeof screen->status, "%.500s", error.text);
    else if (!hp_feed_running(screen->live.feed))
        snprintf(screen->status, sizeof screen->status, "process %.100s has ended; this is its last profile",
                 screen->target);
}

static void loop(struct screen *screen)
{
    uint64_t due = now_ns() + screen->delay_ns;
    while (!ended) {
        draw(screen);
        uint64_t now = now_ns();
        timeout(now < due ? (int)((due - now) / 1000000 + 1) : 0);
        int key = getch();
        if (key != ERR && !press(screen, key))
            return;
        if (now_ns() >= due) {
            if (!screen->paused)
                update(screen);
            due = now_ns() + screen->delay_ns;
        }
    }
}

/* ------------------------------------------------------------------ the verb */

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct screen *screen = state->input;
    switch (key) {
    case KEY_DELAY:
        if (hp_duration_parse(value, &screen->delay_ns) || screen->delay_ns < 100000000 ||
            screen->delay_ns > 3600000000000)
            hp_usage("--every: '%s' is no duration from 100ms to 1h", value);
        return 0;
    case ARGP_KEY_ARG:
        if (screen->target)
            hp_usage("live takes one PID");
        screen->target = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int show(struct screen *screen)
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
    curs_set(0);
    loop(screen);
    endwin();
    delscreen(terminal);
    return HP_DONE;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {{"every", KEY_DELAY, "DURATION", 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = options, .parser = parse_option};
    struct screen screen = {.delay_ns = 1000000000};
    hp_arguments_parse(&hp_verb_live, &argp, 0, argc, argv, &screen);
    if (!screen.target)
        hp_usage("live needs a PID");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return hp_fail("live needs a terminal; heapprof top %s prints the same once", screen.target);
    setlocale(LC_CTYPE, "");
    screen.blocks = !strcmp(nl_langinfo(CODESET), "UTF-8");
    char *targets[] = {(char *)screen.target};
    const struct hp_feed_options feed = {.arguments = targets, .count = 1, .note = note, .note_state = &screen};
    screen.live.feed = hp_feed_new(&feed);
    int status = show(&screen);
    hp_feed_free(screen.live.feed);
    hp_live_free(&screen.live);
    if (screen.filtered)
        regfree(&screen.filter);
    return status;
}

const struct hp_verb hp_verb_live = {
    "live",
    "[--every=DURATION] PID",
    "A screen of what is live and what grows, refreshed each second, like top(1)",
    "  --every=DURATION       how often (1s; 100ms to 1h)\n"
    "\n"
    "Keys: s next order (flat, cum, growth, rate), / filter by a regular expression, m mark (growth counts from\n"
    "there), d write a dump, space pause, ? help, q quit. The target is only read, never stopped or asked.\n"
    "\n"
    "Example: heapprof live 4711\n",
    run,
};
