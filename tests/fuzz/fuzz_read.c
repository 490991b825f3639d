/* Any bytes as a profile: one clear line, or a profile that can be written, read again and reported
 * on. Built once for each reader, with what makes it be chosen in front (FUZZ_PREFIX; without it
 * that of profile.proto). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"
#include "profile/profile.h"
#include "report/core/report.h"

#ifndef FUZZ_PREFIX
/* Sample types, the strings that they need, and the period: what follows are samples, locations,
 * functions. */
#define FUZZ_PREFIX                                                                                                    \
    "\012\004\010\001\020\002\012\004\010\003\020\004\012\004\010\005\020\002\012\004\010\006\020"                     \
    "\004"                                                                                                             \
    "2\0002\015alloc_objects2\005count2\013alloc_space2\005bytes2\015inuse_objects2\013inuse_"                         \
    "space"                                                                                                            \
    "2\005spaceZ\004\010\007\020\004`\200\200 "
#endif

struct bytes {
    char *data;
    size_t size, capacity;
};

static int collect(void *state, const void *data, size_t size)
{
    struct bytes *bytes = state;
    if (!size)
        return 0;
    bytes->data = hp_grow(bytes->data, &bytes->capacity, bytes->size + size, 1);
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return 0;
}

static void must(int condition, const char *what, const struct hp_error *error)
{
    if (condition)
        return;
    fprintf(stderr, "%s: %s\n", what, error->text);
    abort();
}

/* What was written must be readable, and hold as many samples. */
static void read_again(const struct hp_profile *profile, struct bytes *bytes, const char *what)
{
    struct hp_error error = {""};
    struct hp_profile *again = NULL;
    must(!hp_profile_read_memory(what, bytes->data, bytes->size, &again, &error), what, &error);
    must(again->sample_count <= profile->sample_count, "more samples than before", &error);
    hp_profile_free(again);
    free(bytes->data);
}

static void report(const struct hp_profile *profile)
{
    static const struct hp_report *const reports[] = {
        &hp_report_top,   &hp_report_tree,       &hp_report_traces,       &hp_report_tags,
        &hp_report_stats, &hp_report_speedscope, &hp_report_json_profile, &hp_report_svg,
        &hp_report_dot,   &hp_report_html,       &hp_report_diff,
    };
    static FILE *out;
    if (!out)
        out = fopen("/dev/null", "w");
    for (size_t i = 0; out && i < sizeof reports / sizeof *reports; i++) {
        const struct hp_report_input input = {.before = reports[i] == &hp_report_diff ? profile : NULL,
                                              .profile = profile};
        const struct hp_report_options options = {.look = {80, true}};
        struct hp_report_outcome outcome;
        struct hp_error error = {""};
        must(!hp_report_write(reports[i], out, &input, &options, &outcome, &error), reports[i]->name, &error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char prefix[] = FUZZ_PREFIX;
    struct bytes input = {0};
    collect(&input, prefix, sizeof prefix - 1);
    collect(&input, data, size);
    struct hp_error error = {""};
    struct hp_profile *profile = NULL;
    int status = hp_profile_read_memory("input", input.data, input.size, &profile, &error);
    free(input.data);
    if (status) {
        must(status < 0 && !strncmp(error.text, "input", 5) && !strchr(error.text, '\n'), "no clear line", &error);
        return 0;
    }
    struct bytes text = {0}, proto = {0};
    must(!hp_profile_write_text(profile, true, collect, &text), "text", &error);
    must(!hp_profile_write_proto(profile, collect, &proto), "proto", &error);
    read_again(profile, &text, "written text");
    read_again(profile, &proto, "written profile.proto");
    report(profile);
    hp_profile_free(profile);
    return 0;
}
