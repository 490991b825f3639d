#include "report/core/header.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "report/core/units.h"

static char *program_of(const struct hp_profile *profile)
{
    const char *program = hp_profile_program(profile), *pid = hp_profile_fact(profile, "heapprof.pid");
    if (!program)
        return hp_strdup("");
    return pid ? hp_print("%s (pid %s), ", program, pid) : hp_print("%s, ", program);
}

void hp_header_write(FILE *out, const struct hp_profile *profile, const struct hp_report_options *options)
{
    char figure[HP_FIGURE];
    char *program = program_of(profile);
    char *how = hp_is_exact(profile) ? hp_strdup("every allocation (exact)")
                                     : hp_print("1 sample per %s%s", hp_figure(figure, profile->interval, true),
                                                profile->mixed ? " (and other intervals before)" : "");
    char *line =
        hp_print("%s: %s%s%s%s%s", profile->name, program, options ? hp_sample_type_names[options->sample] : "",
                 options ? ", " : "", how, options && options->raw ? ", as sampled (not scaled)" : "");
    char *clean = hp_clean(line);
    fprintf(out, "%s\n", clean);
    const char *lost = hp_profile_fact(profile, "heapprof.lost");
    if (lost && strtoull(lost, NULL, 10))
        fprintf(out, "%" PRIu64 " samples were lost, all figures are too low (see HEAPPROF_MEMORY)\n",
                (uint64_t)strtoull(lost, NULL, 10));
    free(clean);
    free(line);
    free(how);
    free(program);
}

char *hp_header_total(const struct hp_estimate *total, const struct hp_profile *profile,
                      const struct hp_report_options *options)
{
    char value[HP_FIGURE], error[HP_FIGURE];
    bool bytes = hp_in_bytes(options);
    const char *unit = bytes ? "" : total->value == 1 ? " object" : " objects";
    hp_figure(value, total->value, bytes);
    if (options->raw)
        return hp_print("%s%s (%" PRIu64 " samples)", value, unit, total->samples);
    if (hp_is_exact(profile))
        return bytes ? hp_print("%s (exact, %" PRIu64 " objects)", value, total->samples)
                     : hp_print("%s%s (exact)", value, unit);
    return hp_print("%s ± %s%s (%" PRIu64 " %s)", value, hp_figure(error, hp_estimate_error(total), bytes), unit,
                    total->samples, total->samples == 1 ? "sample" : "samples");
}

const char *hp_header_row(const struct hp_report_options *options)
{
    static const char *const names[HP_GRANULARITIES] = {"function", "file", "line", "address"};
    return names[options->view.granularity];
}

char *hp_header_place(const struct hp_place *place, const struct hp_report_options *options)
{
    if (options->view.granularity == HP_BY_FILE || !*place->file)
        return hp_strdup("");
    const char *file = options->view.granularity == HP_BY_FUNCTION ? hp_basename(place->file) : place->file;
    return place->line ? hp_print("%s:%" PRIu32, file, place->line) : hp_strdup(file);
}

void hp_header_report(FILE *out, const struct hp_report_input *input, const struct hp_estimate *total,
                      const struct hp_report_options *options)
{
    hp_header_write(out, input->profile, options);
    if (input->before) {
        char *clean = hp_clean(input->before->name);
        fprintf(out, "less %s\n", clean);
        free(clean);
    }
    char *text = hp_header_total(total, input->profile, options);
    fprintf(out, "total %s, ", text);
    free(text);
}

bool hp_header_exact(const struct hp_report_input *input, const struct hp_report_options *options)
{
    return options->raw || (hp_is_exact(input->profile) && (!input->before || hp_is_exact(input->before)));
}
