#include "cli/report_verb.h"

#include <errno.h>
#include <stdio.h>

#include "cli/hints.h"
#include "cli/output.h"
#include "cli/say.h"

int hp_report_run(const struct hp_report *report, const struct hp_report_input *input,
                  const struct hp_report_options *options, struct hp_report_outcome *outcome)
{
    struct hp_error error = {""};
    int status = hp_report_write(report, stdout, input, options, outcome, &error);
    if (status == -EINVAL)
        hp_usage("%s", error.text);
    if (status)
        return hp_fail("%s", error.text);
    return hp_output_flush();
}

int hp_report_verb(const struct hp_verb *verb, const struct hp_report *report, unsigned takes, int argc, char **argv)
{
    struct hp_report_arguments arguments;
    hp_report_arguments_parse(verb, takes, argc, argv, &arguments);
    char **names = arguments.inputs;
    size_t count = arguments.input_count;
    if (takes & HP_WANTS_PATTERN) {
        if (!count)
            hp_usage("%s needs a REGEX, and a FILE or a PID", verb->name);
        arguments.options.pattern = *names++;
        count--;
    }
    if (!count)
        hp_usage("%s needs a FILE or a PID", verb->name);
    struct hp_loader loader;
    struct hp_profile *profile = NULL, *base = NULL;
    hp_loader_open(&loader, &arguments.sources);
    arguments.options.source = hp_loader_source(&loader, &arguments.sources, arguments.base, names, count);
    int status = hp_load_both(&loader, arguments.base, names, count, &base, &profile);
    if (status == HP_DONE) {
        const struct hp_report_input input = {.before = base, .profile = profile};
        struct hp_report_outcome outcome;
        hp_report_arguments_default(&arguments, profile);
        if (takes & HP_TAKES_VIEW)
            hp_hint_report(base, profile, &arguments.options);
        status = hp_report_run(report, &input, &arguments.options, &outcome);
    }
    hp_loader_close(&loader);
    hp_profile_free(profile);
    hp_profile_free(base);
    hp_report_arguments_free(&arguments);
    return status;
}
