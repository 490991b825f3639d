#include "cli/hints.h"
#include "cli/output.h"
#include "cli/report_verb.h"
#include "cli/say.h"
#include "report/tables/series_diff.h"
#include "report/core/units.h"

static int judge(const struct hp_report_arguments *arguments, const struct hp_report_outcome *outcome)
{
    double growth = outcome->significant_growth;
    double most = arguments->percent ? (double)arguments->limit / 100 * outcome->before : (double)arguments->limit;
    if (!arguments->fails || growth <= most)
        return HP_DONE;
    enum hp_sample_type type = arguments->options.sample;
    bool bytes = type == HP_INUSE_SPACE || type == HP_ALLOC_SPACE;
    char grown[HP_FIGURE], limit[HP_FIGURE];
    hp_fail("significant growth of %s is above %s", hp_figure(grown, growth, bytes), hp_figure(limit, most, bytes));
    return HP_GROWN;
}

static int diff_series(const struct hp_report_arguments *report, struct hp_loader *loader,
                       struct hp_report_outcome *outcome)
{
    struct hp_series series = {0};
    struct hp_error error = {""};
    int status = hp_load_series(loader, report->inputs, report->input_count, &series);
    if (status == HP_DONE)
        status = hp_series_diff_write(stdout, &series, &report->options, outcome, &error) ? hp_fail("%s", error.text)
                                                                                          : hp_output_flush();
    hp_series_free(&series);
    return status;
}

static int diff_two(struct hp_report_arguments *report, struct hp_loader *loader, struct hp_report_outcome *outcome)
{
    struct hp_profile *before = NULL, *after = NULL;
    int status = hp_load_both(loader, report->inputs[0], &report->inputs[1], 1, &before, &after);
    if (status == HP_DONE) {
        const struct hp_report_input input = {.before = before, .profile = after};
        hp_report_arguments_default(report, after);
        hp_hint_report(before, after, &report->options);
        status = hp_report_run(&hp_report_diff, &input, &report->options, outcome);
    }
    hp_profile_free(before);
    hp_profile_free(after);
    return status;
}

static int run(int argc, char **argv)
{
    struct hp_report_arguments arguments;
    const struct hp_report_arguments *report = &arguments;
    hp_report_arguments_parse(&hp_verb_diff,
                              (HP_TAKES_ALL & ~(unsigned)HP_TAKES_BASE) | HP_TAKES_SERIES | HP_TAKES_LIMIT, argc, argv,
                              &arguments);
    if (report->series && report->input_count < 3)
        hp_usage("diff --series needs three profiles or more, not %zu", report->input_count);
    if (!report->series && report->input_count != 2)
        hp_usage("diff needs two profiles, not %zu%s", report->input_count,
                 report->input_count > 2 ? ": more of one process are a series (--series)" : "");
    struct hp_loader loader;
    struct hp_report_outcome outcome = {0};
    hp_loader_open(&loader, &report->sources);
    int status = report->series ? diff_series(report, &loader, &outcome) : diff_two(&arguments, &loader, &outcome);
    if (status == HP_DONE)
        status = judge(&arguments, &outcome);
    hp_loader_close(&loader);
    hp_report_arguments_free(&arguments);
    return status;
}

const struct hp_verb hp_verb_diff = {
    "diff",
    "[OPTION...] [--fail-on-growth=SIZE|N%] A B | --series FILE...",
    "What grew from profile A to profile B, and whether that is more than chance",
    hp_help_diff,
    run,
};
