#include "cli/report_options.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/arguments.h"
#include "cli/say.h"
#include "cli/values.h"
#include "profile/alloc.h"

enum key {
    KEY_SAMPLE = 0x2001,
    KEY_SORT,
    KEY_GRANULARITY,
    KEY_FOCUS,
    KEY_IGNORE,
    KEY_HIDE,
    KEY_SHOW,
    KEY_BASE,
    KEY_JSON,
    KEY_RAW,
    KEY_SYMBOLS,
    KEY_SOURCE,
    KEY_COLOR,
    KEY_SERIES,
    KEY_TO,
    KEY_FAIL,
    KEY_MODE,
};

static const struct argp_option options[] = {
    {"sample", KEY_SAMPLE, "TYPE", 0, NULL, 0},
    {"sort", KEY_SORT, "flat|cum", 0, NULL, 0},
    {NULL, 'n', "ROWS", 0, NULL, 0},
    {"granularity", KEY_GRANULARITY, "WHAT", 0, NULL, 0},
    {"focus", KEY_FOCUS, "RE", 0, NULL, 0},
    {"ignore", KEY_IGNORE, "RE", 0, NULL, 0},
    {"hide", KEY_HIDE, "RE", 0, NULL, 0},
    {"show", KEY_SHOW, "RE", 0, NULL, 0},
    {"base", KEY_BASE, "FILE", 0, NULL, 0},
    {"json", KEY_JSON, NULL, 0, NULL, 0},
    {"raw", KEY_RAW, NULL, 0, NULL, 0},
    {"symbols", KEY_SYMBOLS, "DIR", 0, NULL, 0},
    {"source", KEY_SOURCE, "DIR", 0, NULL, 0},
    {"color", KEY_COLOR, "WHEN", 0, NULL, 0},
    {"series", KEY_SERIES, NULL, 0, NULL, 0},
    {"output", 'o', "OUT", 0, NULL, 0},
    {"mode", KEY_MODE, "MODE", 0, NULL, 0},
    {"to", KEY_TO, "FORMAT", 0, NULL, 0},
    {"fail-on-growth", KEY_FAIL, "SIZE", 0, NULL, 0},
    {0},
};

static const char *const sort_names[] = {"flat", "cum"};
static const char *const color_names[] = {"auto", "always", "never"};

/* Which of `count` names `value` is; a usage error if it is none. */
static int choose(const char *option, const char *value, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(value, names[i]))
            return i;
    char all[256] = "";
    for (int i = 0; i < count; i++) {
        strcat(all, i ? i + 1 < count ? ", " : " or " : "");
        strcat(all, names[i]);
    }
    hp_usage("--%s: '%s' is none of %s", option, value, all);
}

static void look_around(struct hp_look *look, enum hp_color color)
{
    bool terminal = isatty(STDOUT_FILENO);
    struct winsize size;
    const char *columns = getenv("COLUMNS"), *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    look->width = 0;
    long wanted = columns ? strtol(columns, NULL, 10) : 0;
    if (wanted > 0)
        look->width = (size_t)wanted;
    else if (terminal && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
        look->width = size.ws_col;
    bool plain = (no_color && *no_color) || !term || !strcmp(term, "dumb");
    look->color = color == HP_COLOR_ALWAYS || (color == HP_COLOR_AUTO && terminal && !plain);
}

static unsigned option_set(int key)
{
    switch (key) {
    case KEY_SAMPLE:
        return HP_TAKES_SAMPLE;
    case KEY_SORT:
        return HP_TAKES_ORDER;
    case 'n':
        return HP_TAKES_ROWS;
    case KEY_GRANULARITY:
    case KEY_FOCUS:
    case KEY_IGNORE:
    case KEY_HIDE:
    case KEY_SHOW:
        return HP_TAKES_VIEW;
    case KEY_BASE:
        return HP_TAKES_BASE;
    case KEY_JSON:
        return HP_TAKES_JSON;
    case KEY_RAW:
        return HP_TAKES_RAW;
    case KEY_SERIES:
        return HP_TAKES_SERIES;
    case 'o':
    case KEY_MODE:
        return HP_TAKES_OUTPUT;
    case KEY_TO:
        return HP_TAKES_FORMAT;
    case KEY_FAIL:
        return HP_TAKES_LIMIT;
    default:
        return 0;
    }
}

void hp_report_arguments_only(const struct hp_report_arguments *arguments, const char *what, unsigned takes)
{
    static const struct {
        unsigned option;
        const char *names;
    } options_of[] = {
        {HP_TAKES_SAMPLE, "--sample"},
        {HP_TAKES_ORDER, "--sort"},
        {HP_TAKES_ROWS, "-n"},
        {HP_TAKES_VIEW, "--granularity, --focus, --ignore, --hide or --show"},
        {HP_TAKES_BASE, "--base"},
        {HP_TAKES_JSON, "--json"},
        {HP_TAKES_RAW, "--raw"},
        {HP_TAKES_SERIES, "--series"},
        {HP_TAKES_OUTPUT, "-o or --mode"},
        {HP_TAKES_FORMAT, "--to"},
        {HP_TAKES_LIMIT, "--fail-on-growth"},
    };
    for (size_t i = 0; i < sizeof options_of / sizeof *options_of; i++)
        if (arguments->given & options_of[i].option & ~takes)
            hp_usage("%s takes no %s", what, options_of[i].names);
}

/* Tried before any file is read. */
static void check_expressions(const struct hp_view_options *view)
{
    struct hp_filter filter;
    struct hp_error error = {""};
    if (hp_filter_compile(&filter, view, &error))
        hp_usage("%s", error.text);
    hp_filter_free(&filter);
}

static mode_t mode_value(const char *value)
{
    if (strlen(value) > 4 || !*value || value[strspn(value, "01234567")] || strtoul(value, NULL, 8) > 0777)
        hp_usage("--mode: '%s' is no mode such as 640", value);
    return (mode_t)strtoul(value, NULL, 8);
}

static void set_limit(struct hp_report_arguments *arguments, const char *value)
{
    const char *rest = value;
    arguments->percent = hp_parse_number(&rest, 1000000, &arguments->limit) && !strcmp(rest, "%");
    if (!arguments->percent)
        arguments->limit = hp_size_value("--fail-on-growth", value);
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct hp_report_arguments *arguments = state->input;
    struct hp_report_options *report = &arguments->options;
    arguments->given |= option_set(key);
    switch (key) {
    case ARGP_KEY_INIT:
        report->rows = 10;
        arguments->mode = HP_OUTPUT_MODE;
        return 0;
    case KEY_SAMPLE:
        report->sample = hp_sample_type_named(value);
        if (report->sample == HP_SAMPLE_TYPES)
            choose("sample", value, hp_sample_type_names, HP_SAMPLE_TYPES);
        return 0;
    case KEY_SORT:
        report->by_cum = choose("sort", value, sort_names, 2);
        return 0;
    case 'n':
        report->rows = hp_count_value("-n", value, "rows");
        report->rows_given = true;
        return 0;
    case KEY_GRANULARITY:
        report->view.granularity =
            (enum hp_granularity)choose("granularity", value, hp_granularity_names, HP_GRANULARITIES);
        return 0;
    case KEY_FOCUS:
        report->view.focus = value;
        return 0;
    case KEY_IGNORE:
        report->view.ignore = value;
        return 0;
    case KEY_HIDE:
        report->view.hide = value;
        return 0;
    case KEY_SHOW:
        report->view.show = value;
        return 0;
    case KEY_BASE:
        arguments->base = value;
        return 0;
    case KEY_JSON:
        report->json = true;
        return 0;
    case KEY_RAW:
        report->raw = true;
        return 0;
    case KEY_SERIES:
        arguments->series = true;
        return 0;
    case 'o':
        arguments->output = value;
        return 0;
    case KEY_MODE:
        arguments->mode = mode_value(value);
        return 0;
    case KEY_TO:
        arguments->format = value;
        return 0;
    case KEY_FAIL:
        set_limit(arguments, value);
        arguments->fails = true;
        return 0;
    case KEY_SYMBOLS:
        hp_sources_add(&arguments->sources.symbols, value);
        return 0;
    case KEY_SOURCE:
        hp_sources_add(&arguments->sources.source, value);
        return 0;
    case KEY_COLOR:
        arguments->color = (enum hp_color)choose("color", value, color_names, 3);
        return 0;
    case ARGP_KEY_ARG:
        arguments->inputs = hp_grow(arguments->inputs, &arguments->input_capacity, arguments->input_count + 1,
                                    sizeof *arguments->inputs);
        arguments->inputs[arguments->input_count++] = value;
        return 0;
    case ARGP_KEY_END:
        check_expressions(&report->view);
        look_around(&report->look, arguments->color);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What go tool pprof's users type. */
static char *translate(char *word)
{
    static const struct {
        const char *word, *option;
    } habits[] = {{"cum", "--sort=cum"},
                  {"flat", "--sort=flat"},
                  {"inuse_space", "--sample=inuse_space"},
                  {"inuse_objects", "--sample=inuse_objects"},
                  {"alloc_space", "--sample=alloc_space"},
                  {"alloc_objects", "--sample=alloc_objects"}};
    size_t dashes = strspn(word, "-");
    for (size_t i = 0; (dashes == 1 || dashes == 2) && i < sizeof habits / sizeof *habits; i++)
        if (!strcmp(word + dashes, habits[i].word))
            return (char *)habits[i].option;
    return word;
}

void hp_report_arguments_parse(const struct hp_verb *verb, unsigned takes, int argc, char **argv,
                               struct hp_report_arguments *arguments)
{
    static const struct argp argp = {.options = options, .parser = parse_option};
    *arguments = (struct hp_report_arguments){0};
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        argv[i] = translate(argv[i]);
    hp_arguments_parse(verb, &argp, 0, argc, argv, arguments);
    hp_report_arguments_only(arguments, verb->name, takes);
}

void hp_report_arguments_default(struct hp_report_arguments *arguments, const struct hp_profile *profile)
{
    if (!(arguments->given & HP_TAKES_SAMPLE))
        arguments->options.sample = hp_profile_default_type(profile);
}

void hp_report_arguments_free(struct hp_report_arguments *arguments)
{
    free(arguments->inputs);
    hp_sources_free(&arguments->sources);
}
