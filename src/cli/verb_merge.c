#include "cli/arguments.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/report_options.h"
#include "cli/say.h"
#include "cli/write.h"

struct arguments {
    struct hp_report_arguments report;
    const char *output;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->report;
        return 0;
    case 'o':
        arguments->output = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {{"output", 'o', "OUT", 0, NULL, 0}, {0}};
    static const struct argp_child children[] = {{&hp_report_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options, .parser = parse_option, .children = children};
    struct arguments arguments = {0};
    hp_arguments_parse(&hp_verb_merge, &argp, 0, argc, argv, &arguments);
    hp_report_arguments_only(&arguments.report, "merge", 0);
    if (!arguments.report.input_count)
        hp_usage("merge needs a FILE or a PID");
    struct hp_inputs inputs;
    struct hp_profile *profile = NULL;
    hp_inputs_open(&inputs, &arguments.report.sources);
    int status =
        hp_input_load(&inputs, arguments.report.inputs, arguments.report.input_count, &profile);
    if (status == HP_DONE) {
        const struct hp_format *format =
            arguments.output ? hp_format_of_name(arguments.output) : &hp_format_text;
        status = hp_write_profile(profile, NULL, NULL, format, &arguments.report.options,
                                  arguments.output);
    }
    hp_inputs_close(&inputs);
    hp_profile_free(profile);
    hp_report_arguments_free(&arguments.report);
    return status;
}

const struct hp_verb hp_verb_merge = {
    "merge",
    "[-o OUT] FILE|PID...",
    "One profile with the samples of all",
    "  -o OUT                 the file to write (-: standard output, the default); a name that "
    "ends in .pb.gz, .pb or\n"
    "                         .pprof makes a profile.proto, one that ends in .gz a compressed "
    "text\n"
    "  --symbols=DIR          where else to look for binaries with debug information\n"
    "\n"
    "Code is joined by build id and offset, so that the files may come from different runs.\n"
    "\n"
    "Example: heapprof merge -o all.heap 0001.heap 0002.heap\n",
    run,
};
