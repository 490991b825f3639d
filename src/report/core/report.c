#include "report/core/report.h"

#include "report/core/stacks.h"

int hp_report_write(const struct hp_report *report, FILE *out, const struct hp_report_input *input,
                    const struct hp_report_options *options, struct hp_report_outcome *outcome, struct hp_error *error)
{
    if (report->write)
        return report->write(out, input, options, outcome, error);
    struct hp_stacks stacks;
    int status = hp_stacks_build(input, options, &stacks, error);
    if (status)
        return status;
    status = report->write_stacks(out, input, &stacks, options, error);
    hp_stacks_free(&stacks);
    return status;
}
