#include "cli/write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/report_options.h"
#include "cli/say.h"
#include "cli/verb.h"
#include "report/trim.h"

static int write_text(struct hp_profile *profile, const struct hp_report_options *options,
                      hp_sink_fn *sink, void *state, struct hp_error *error)
{
    return hp_profile_write_text(profile, true, sink, state);
}

static int write_pprof(struct hp_profile *profile, const struct hp_report_options *options,
                       hp_sink_fn *sink, void *state, struct hp_error *error)
{
    hp_trim_allocator(profile);
    return hp_profile_write_proto(profile, sink, state);
}

static int write_folded(struct hp_profile *profile, const struct hp_report_options *options,
                        hp_sink_fn *sink, void *state, struct hp_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory)
        return -errno;
    const struct hp_report_input input = {NULL, profile};
    struct hp_report_outcome outcome;
    int status = hp_report_folded.write(memory, &input, options, &outcome, error);
    if (fclose(memory) && !status)
        status = -ENOMEM;
    if (!status)
        status = sink(state, text, size);
    free(text);
    return status;
}

const struct hp_format hp_format_text = {"text", false, 0, write_text};
const struct hp_format hp_format_pprof = {"pprof", true, 0, write_pprof};
const struct hp_format hp_format_folded = {
    "folded", false, HP_TAKES_SAMPLE | HP_TAKES_VIEW | HP_TAKES_RAW, write_folded};
const struct hp_format *const hp_formats[] = {&hp_format_pprof, &hp_format_text, &hp_format_folded,
                                              NULL};

const struct hp_format *hp_format_of_name(const char *path)
{
    bool proto =
        hp_ends_in(path, ".pb.gz") || hp_ends_in(path, ".pb") || hp_ends_in(path, ".pprof");
    return proto ? &hp_format_pprof : &hp_format_text;
}

int hp_write_profile(struct hp_profile *profile, const struct hp_format *format,
                     const struct hp_report_options *options, const char *path)
{
    bool to_stdout = !path || !strcmp(path, "-");
    if (to_stdout && format->binary && isatty(STDOUT_FILENO))
        return hp_fail("%s is binary, not for a terminal: name a file with -o", format->name);
    struct hp_output output;
    bool gzip = !format->binary && !to_stdout && hp_ends_in(path, ".gz");
    if (hp_output_open(&output, path, gzip, 0666) != HP_DONE)
        return HP_FAILED;
    struct hp_error error = {""};
    int status = format->write(profile, options, hp_output_sink, &output, &error);
    if (status) {
        hp_output_close(&output, false, false);
        if (status == -EINVAL && *error.text)
            hp_usage("%s", error.text);
        return hp_fail("%s: %s", to_stdout ? "standard output" : path,
                       *error.text ? error.text : strerror(-status));
    }
    return hp_output_close(&output, true, false);
}
