#include "cli/load.h"
#include "cli/output.h"
#include "cli/report_options.h"
#include "cli/say.h"
#include "cli/write_profile.h"

static int run(int argc, char **argv)
{
    struct hp_report_arguments arguments;
    hp_report_arguments_parse(&hp_verb_merge, HP_TAKES_OUTPUT, argc, argv, &arguments);
    if (!arguments.input_count)
        hp_usage("merge needs a FILE or a PID");
    struct hp_loader loader;
    struct hp_profile *profile = NULL;
    hp_loader_open(&loader, &arguments.sources);
    int status = hp_load_profile(&loader, arguments.inputs, arguments.input_count, &profile);
    if (status == HP_DONE) {
        const struct hp_format *format = arguments.output ? hp_format_of_name(arguments.output) : &hp_format_text;
        status = hp_write_profile(profile, NULL, NULL, format, &arguments.options, arguments.output, arguments.mode);
    }
    hp_loader_close(&loader);
    hp_profile_free(profile);
    hp_report_arguments_free(&arguments);
    return status;
}

const struct hp_verb hp_verb_merge = {
    "merge", "[-o OUT] FILE|PID...", "One profile with the samples of all", hp_help_merge, run,
};
