/* report_options.h - the options of verbs that read profiles; most take most of them. */
#ifndef HP_CLI_REPORT_OPTIONS_H
#define HP_CLI_REPORT_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "cli/load.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "report/core/report.h"

enum hp_color { HP_COLOR_AUTO, HP_COLOR_ALWAYS, HP_COLOR_NEVER };

struct hp_report_arguments {
    struct hp_report_options options;
    struct hp_sources sources; /* --symbols, --source */
    const char *base;
    bool series;
    const char *output; /* -o; NULL: standard output */
    mode_t mode;        /* --mode, or HP_OUTPUT_MODE */
    const char *format; /* --to; NULL: not given */
    bool fails;         /* --fail-on-growth, at `limit` bytes or objects, or as many percent of what there was */
    uint64_t limit;
    bool percent;
    enum hp_color color;
    unsigned given; /* enum hp_report_option */
    char **inputs;  /* FILE|PID...; hp_report_arguments_free frees the list, not the names */
    size_t input_count, input_capacity;
};

/* The options as a set. --symbols, --source and --color are taken by
 * all. */
enum hp_report_option {
    HP_TAKES_SAMPLE = 1,
    HP_TAKES_ORDER = 2, /* --sort */
    HP_TAKES_VIEW = 4,  /* --granularity, --focus, --ignore, --hide, --show */
    HP_TAKES_BASE = 8,
    HP_TAKES_JSON = 16,
    HP_TAKES_RAW = 32,
    HP_TAKES_ROWS = 64, /* -n */
    HP_TAKES_SERIES = 128,
    HP_TAKES_OUTPUT = 256, /* -o, --mode */
    HP_TAKES_FORMAT = 512, /* --to */
    HP_TAKES_LIMIT = 1024, /* --fail-on-growth */
};
/* All that reports take. */
#define HP_TAKES_ALL 0x7fu

/* Parses into `arguments`, with the defaults and the look of standard output; all that is no option
 * goes to `inputs`. Usage errors end the process, an option that is not in the set `takes` too. */
void hp_report_arguments_parse(const struct hp_verb *verb, unsigned takes, int argc, char **argv,
                               struct hp_report_arguments *arguments);
/* The sample type that the profile itself asks for, unless --sample says. */
void hp_report_arguments_default(struct hp_report_arguments *arguments, const struct hp_profile *profile);
/* A usage error if any option was given that is not in the set `takes`. `what` takes them: "stats".
 */
void hp_report_arguments_only(const struct hp_report_arguments *arguments, const char *what, unsigned takes);

void hp_report_arguments_free(struct hp_report_arguments *arguments);

#endif
