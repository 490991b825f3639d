#include "cli/write_profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/report_options.h"
#include "cli/say.h"
#include "cli/verb.h"
#include "report/core/trim.h"

static int write_text(struct hp_profile *profile, hp_sink_fn *sink, void *state)
{
    return hp_profile_write_text(profile, true, sink, state);
}

static int write_pprof(struct hp_profile *profile, hp_sink_fn *sink, void *state)
{
    hp_trim_allocator(profile);
    return hp_profile_write_proto(profile, sink, state);
}

static ssize_t write_cookie(void *cookie, const char *data, size_t size)
{
    struct hp_output *output = cookie;
    int status = hp_output_sink(output, data, size);
    if (!status)
        return (ssize_t)size;
    errno = -status;
    return 0;
}

static int write_report(const struct hp_report *report, const struct hp_report_input *input,
                        const struct hp_report_options *options, struct hp_output *output, struct hp_error *error)
{
    FILE *out = fopencookie(output, "w", (cookie_io_functions_t){.write = write_cookie});
    if (!out)
        return -errno;
    struct hp_report_outcome outcome;
    int status = hp_report_write(report, out, input, options, &outcome, error);
    bool failed = ferror(out);
    int closed = fclose(out) ? -errno : 0;
    if (!status)
        status = closed ? closed : failed ? -EIO : 0;
    return status;
}

#define VIEWED (HP_TAKES_VIEW | HP_TAKES_RAW)
#define MEASURED (VIEWED | HP_TAKES_SAMPLE | HP_TAKES_BASE)

const struct hp_format hp_format_text = {"text", false, 0, write_text, NULL};
const struct hp_format hp_format_pprof = {"pprof", true, 0, write_pprof, NULL};
static const struct hp_format folded = {"folded", false, MEASURED, NULL, &hp_report_folded};
static const struct hp_format speedscope = {"speedscope", false, VIEWED | HP_TAKES_SAMPLE, NULL, &hp_report_speedscope};
static const struct hp_format whole = {"json", false, VIEWED, NULL, &hp_report_json_profile};
static const struct hp_format svg = {"svg", false, MEASURED, NULL, &hp_report_svg};
static const struct hp_format html = {"html", false, MEASURED | HP_TAKES_SERIES, NULL, &hp_report_html};
static const struct hp_format dot = {"dot", false, MEASURED | HP_TAKES_ROWS, NULL, &hp_report_dot};
const struct hp_format *const hp_formats[] = {
    &hp_format_pprof, &hp_format_text, &folded, &speedscope, &whole, &svg, &html, &dot, NULL};

const struct hp_format *hp_format_of_name(const char *path)
{
    return hp_is_proto_name(path) ? &hp_format_pprof : &hp_format_text;
}

int hp_write_profile(struct hp_profile *profile, const struct hp_profile *base, const struct hp_series *series,
                     const struct hp_format *format, const struct hp_report_options *options, const char *path,
                     mode_t mode)
{
    bool to_stdout = !path || !strcmp(path, "-");
    if (to_stdout && format->binary && isatty(STDOUT_FILENO))
        return hp_fail("%s is binary, not for a terminal: name a file with -o", format->name);
    struct hp_output output;
    bool gzip = !format->binary && !to_stdout && hp_ends_in(path, ".gz");
    if (hp_output_open(&output, path, gzip, mode) != HP_DONE)
        return HP_FAILED;
    struct hp_error error = {""};
    const struct hp_report_input input = {.before = base, .profile = profile, .series = series};
    int status = format->report ? write_report(format->report, &input, options, &output, &error)
                                : format->write(profile, hp_output_sink, &output);
    if (status) {
        hp_output_close(&output, false, false);
        if (status == -EINVAL && *error.text)
            hp_usage("%s", error.text);
        return hp_fail("%s: %s", to_stdout ? "standard output" : path, *error.text ? error.text : strerror(-status));
    }
    return hp_output_close(&output, true, false);
}
