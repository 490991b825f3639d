#include "cli/arguments.h"
#include "cli/report_verb.h"
#include "cli/say.h"
#include "cli/size.h"
#include "report/units.h"

#define KEY_FAIL 0x3001

struct arguments {
    struct hp_report_arguments report;
    bool fail;
    uint64_t limit;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->report;
        return 0;
    case KEY_FAIL:
        if (hp_size_parse(value, &arguments->limit))
            hp_usage("--fail-on-growth: '%s' is no size", value);
        arguments->fail = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int judge(const struct arguments *arguments, double growth)
{
    if (!arguments->fail || growth <= (double)arguments->limit)
        return HP_DONE;
    enum hp_sample_type type = arguments->report.options.sample;
    bool bytes = type == HP_INUSE_SPACE || type == HP_ALLOC_SPACE;
    char grown[HP_FIGURE], limit[HP_FIGURE];
    hp_fail("significant growth of %s is above %s", hp_figure(grown, growth, bytes),
            hp_figure(limit, (double)arguments->limit, bytes));
    return HP_GROWN;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {{"fail-on-growth", KEY_FAIL, "SIZE", 0, NULL, 0},
                                                 {0}};
    static const struct argp_child children[] = {{&hp_report_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options, .parser = parse_option, .children = children};
    struct arguments arguments = {0};
    hp_arguments_parse(&hp_verb_diff, &argp, 0, argc, argv, &arguments);
    hp_report_arguments_only(&arguments.report, "diff", ~(unsigned)HP_TAKES_BASE);
    if (arguments.report.input_count != 2)
        hp_usage("diff needs two profiles, not %zu", arguments.report.input_count);
    struct hp_inputs inputs;
    struct hp_profile *before = NULL, *after = NULL;
    hp_inputs_open(&inputs, &arguments.report.sources);
    int status = hp_input_load_both(&inputs, arguments.report.inputs[0],
                                    &arguments.report.inputs[1], 1, &before, &after);
    if (status == HP_DONE) {
        const struct hp_report_input input = {before, after};
        struct hp_report_outcome outcome = {0};
        status = hp_report_run(&hp_report_diff, &input, &arguments.report.options, &outcome);
        if (status == HP_DONE)
            status = judge(&arguments, outcome.significant_growth);
    }
    hp_inputs_close(&inputs);
    hp_profile_free(before);
    hp_profile_free(after);
    hp_report_arguments_free(&arguments.report);
    return status;
}

const struct hp_verb hp_verb_diff = {
    "diff",
    "[OPTION...] [--fail-on-growth=SIZE] A B",
    "What grew from profile A to profile B, and whether that is more than chance",
    HP_REPORT_OPTIONS_HELP
    "  --fail-on-growth=SIZE  exit status 3 when the significant growth is above SIZE\n"
    "\n"
    "Rows marked * changed by more than the noise of sampling explains, with all rows taken "
    "together: in 95% of the\n"
    "diffs of a target that does not change no row at all is marked. Code is compared by build id "
    "and offset, so A and B\n"
    "may come from different runs.\n"
    "\n"
    "Example: heapprof diff --fail-on-growth=1M 0001.heap 0002.heap\n",
    run,
};
