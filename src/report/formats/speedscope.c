/* The file format of speedscope, all sample types in one file. Its schema: file-format-schema.json
 * of the npm package speedscope. */
#include <math.h>
#include <stdlib.h>

#include "report/core/json.h"
#include "report/core/stacks.h"

/* Frames are numbered as the sites of the first type's stacks, which are those of all. */
static json_t *make_frames(const struct hp_stacks *stacks)
{
    json_t *frames = json_array();
    for (size_t i = 0; i < stacks->places.site_names.count; i++) {
        const struct hp_place *place = &stacks->places.sites[i];
        json_t *frame = json_object();
        hp_json_set(frame, "name", hp_json_string(place->label));
        if (*place->file)
            hp_json_set(frame, "file", hp_json_string(place->file));
        if (place->line)
            hp_json_set(frame, "line", hp_json_number(place->line));
        json_array_append_new(frames, frame);
    }
    return frames;
}

static json_t *make_profile(const struct hp_stacks *stacks, enum hp_sample_type type)
{
    json_t *profile = json_object(), *samples = json_array(), *weights = json_array();
    bool bytes = type == HP_INUSE_SPACE || type == HP_ALLOC_SPACE;
    double sum = 0;
    for (size_t i = 0; i < stacks->count; i++) {
        double weight = round(stacks->stacks[i].pair.growth.value);
        if (weight < 1)
            continue;
        json_t *sample = json_array();
        for (uint32_t frame = stacks->stacks[i].depth; frame-- > 0;)
            json_array_append_new(sample, json_integer(stacks->frames[stacks->stacks[i].first + frame].site));
        json_array_append_new(samples, sample);
        json_array_append_new(weights, hp_json_number(weight));
        sum += weight;
    }
    hp_json_set(profile, "type", json_string("sampled"));
    hp_json_set(profile, "name", json_string(hp_sample_type_names[type]));
    hp_json_set(profile, "unit", json_string(bytes ? "bytes" : "none"));
    hp_json_set(profile, "startValue", json_integer(0));
    hp_json_set(profile, "endValue", hp_json_number(sum));
    hp_json_set(profile, "samples", samples);
    hp_json_set(profile, "weights", weights);
    return profile;
}

static int write_speedscope(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                            struct hp_report_outcome *outcome, struct hp_error *error)
{
    json_t *document = json_object(), *shared = json_object(), *profiles = json_array();
    int status = 0;
    for (int type = 0; type < HP_SAMPLE_TYPES && !status; type++) {
        struct hp_report_options as = *options;
        as.sample = (enum hp_sample_type)type;
        struct hp_stacks stacks;
        status = hp_stacks_build(input, &as, &stacks, error);
        if (status)
            break;
        if (!type)
            hp_json_set(shared, "frames", make_frames(&stacks));
        json_array_append_new(profiles, make_profile(&stacks, as.sample));
        hp_stacks_free(&stacks);
    }
    hp_json_set(document, "$schema", json_string("https://www.speedscope.app/file-format-schema.json"));
    hp_json_set(document, "exporter", json_string("heapprof " HP_VERSION));
    hp_json_set(document, "name", hp_json_string(input->profile->name));
    hp_json_set(document, "activeProfileIndex", json_integer(options->sample));
    hp_json_set(document, "shared", shared);
    hp_json_set(document, "profiles", profiles);
    if (status)
        json_decref(document);
    else
        hp_json_write(out, document);
    return status;
}

const struct hp_report hp_report_speedscope = {"speedscope", write_speedscope};
