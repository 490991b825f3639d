#include <string.h>

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

static int convert_merged(const struct hp_report_arguments *arguments,
                          const struct hp_format *format, struct hp_inputs *inputs)
{
    struct hp_profile *profile = NULL, *base = NULL;
    int status = hp_input_load_both(inputs, arguments->base, arguments->inputs,
                                    arguments->input_count, &base, &profile);
    if (status == HP_DONE)
        status =
            hp_write_profile(profile, base, NULL, format, &arguments->options, arguments->output);
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
        hp_note("the page has %zu of the %zu moments: fewer of the earlier ones", series->count,
                all);
}

static int convert_series(const struct hp_report_arguments *arguments,
                          const struct hp_format *format, struct hp_inputs *inputs)
{
    struct hp_series series = {0};
    int status = hp_input_load_series(inputs, arguments->inputs, arguments->input_count, &series);
    if (status == HP_DONE) {
        bound(&series);
        status = hp_write_profile(series.stacks, NULL, &series, format, &arguments->options,
                                  arguments->output);
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
    struct hp_inputs inputs;
    hp_inputs_open(&inputs, &arguments.sources);
    int status = arguments.series ? convert_series(&arguments, format, &inputs)
                                  : convert_merged(&arguments, format, &inputs);
    hp_inputs_close(&inputs);
    hp_report_arguments_free(&arguments);
    return status;
}

const struct hp_verb hp_verb_convert = {
    "convert",
    "--to=FORMAT [OPTION...] [-o OUT] FILE|PID...",
    "A profile in another format, with its functions, files and lines",
    "  --to=pprof             profile.proto, for go tool pprof and whatever reads it\n"
    "  --to=text              text that can be read without any tool and without the binaries\n"
    "  --to=folded            one line for each stack, for flame graphs\n"
    "  --to=speedscope        for speedscope.app, all sample types in one file\n"
    "  --to=json              the whole profile for programs: each sample, its stack, all "
    "estimates\n"
    "  --to=html              a page for a browser, in one file that needs nothing else: flame "
    "graph, table, source\n"
    "  --to=svg               a flame graph as a picture, the outermost function on top\n"
    "  --to=dot               a call graph for Graphviz; takes -n\n"
    "  -o OUT                 the file to write (-: standard output, the default); text whose name "
    "ends in .gz is\n"
    "                         compressed\n"
    "  --series               html: the files are moments of one run of one process; none are "
    "merged\n"
    "  --symbols=DIR          where else to look for binaries with debug information\n"
    "\n"
    "All but pprof and text take --granularity, --raw and the filters (--focus, --ignore, --hide, "
    "--show) of the reports;\n"
    "folded, svg, dot and html also --sample and --base, speedscope --sample for the type it opens "
    "with. "
    "Several files are\n"
    "merged first; with --series, which html takes, they are the moments of one process, as run "
    "--every keeps them: the\n"
    "page then has a time line, and compares any two of them.\n"
    "\n"
    "Example: heapprof convert --to=svg -o heap.svg 0002.heap\n"
    "Example: heapprof convert --to=html --series -o series.html heapprof.app.4711.*.heap\n",
    run,
};
