#include <string.h>

#include "cli/hints.h"
#include "cli/load.h"
#include "cli/report_options.h"
#include "cli/say.h"
#include "cli/write_profile.h"

#define MOMENTS_MOST 64
#define COUNTS_MOST (96u << 20) /* bytes, as hp_series_size counts */

static const struct hp_format *find_format(const char *name)
{
    char all[256] = "";
    for (const struct hp_format *const *format = hp_formats; *format; format++) {
        if (!strcmp((*format)->name, name))
            return *format;
        strcat(all, *all ? ", " : "");
        strcat(all, (*format)->name);
    }
    hp_usage("--to: '%s' is none of %s", name, all);
}

static int convert_merged(struct hp_report_arguments *arguments, const struct hp_format *format,
                          struct hp_loader *loader)
{
    struct hp_profile *profile = NULL, *base = NULL;
    int status = hp_load_both(loader, arguments->base, arguments->inputs, arguments->input_count, &base, &profile);
    if (status == HP_DONE)
        hp_report_arguments_default(arguments, profile);
    if (status == HP_DONE && format->report)
        hp_hint_report(base, profile, &arguments->options);
    if (status == HP_DONE)
        status = hp_write_profile(profile, base, NULL, format, &arguments->options, arguments->output, arguments->mode);
    hp_profile_free(profile);
    hp_profile_free(base);
    return status;
}

/* A page is to be mailed, and to be opened at once. */
static void bound(struct hp_series *series)
{
    size_t all = series->count;
    hp_series_thin(series, MOMENTS_MOST, COUNTS_MOST);
    if (series->count < all)
        hp_note("the page has %zu of the %zu moments: fewer of the earlier ones", series->count, all);
}

static int convert_series(const struct hp_report_arguments *arguments, const struct hp_format *format,
                          struct hp_loader *loader)
{
    struct hp_series series = {0};
    int status = hp_load_series(loader, arguments->inputs, arguments->input_count, &series);
    if (status == HP_DONE) {
        bound(&series);
        status = hp_write_profile(series.stacks, NULL, &series, format, &arguments->options, arguments->output,
                                  arguments->mode);
    }
    hp_series_free(&series);
    return status;
}

static int run(int argc, char **argv)
{
    const unsigned own = HP_TAKES_OUTPUT | HP_TAKES_FORMAT;
    struct hp_report_arguments arguments;
    hp_report_arguments_parse(&hp_verb_convert, ~0u, argc, argv, &arguments);
    if (!arguments.format)
        hp_usage("convert needs --to=FORMAT");
    const struct hp_format *format = find_format(arguments.format);
    hp_report_arguments_only(&arguments, format->name, format->takes | own);
    if (!arguments.input_count)
        hp_usage("convert needs a FILE or a PID");
    if (arguments.series && arguments.base)
        hp_usage("--series and --base exclude each other: the page of a series compares any two "
                 "moments");
    struct hp_loader loader;
    hp_loader_open(&loader, &arguments.sources);
    arguments.options.source =
        hp_loader_source(&loader, &arguments.sources, arguments.base, arguments.inputs, arguments.input_count);
    int status =
        arguments.series ? convert_series(&arguments, format, &loader) : convert_merged(&arguments, format, &loader);
    hp_loader_close(&loader);
    hp_report_arguments_free(&arguments);
    return status;
}

const struct hp_verb hp_verb_convert = {
    "convert",
    "--to=FORMAT [OPTION...] [-o OUT] FILE|PID...",
    "A profile in another format, with its functions, files and lines",
    hp_help_convert,
    run,
};
