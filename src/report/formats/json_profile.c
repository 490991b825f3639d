/* A whole profile as one JSON document: each sample with its stack and all four estimates. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/stacks.h"
#include "report/core/thread_table.h"

static json_t *make_frames(const struct hp_stacks *stacks)
{
    json_t *frames = json_array();
    for (size_t i = 0; i < stacks->places.site_names.count; i++) {
        json_t *frame = json_object();
        hp_json_set(frame, "label", hp_json_string(stacks->places.sites[i].label));
        hp_json_place(frame, &stacks->places.sites[i]);
        json_array_append_new(frames, frame);
    }
    return frames;
}

static json_t *make_modules(const struct hp_profile *profile)
{
    json_t *modules = json_array();
    for (size_t i = 0; i < profile->module_count; i++) {
        json_t *module = json_object();
        hp_json_set(module, "path", hp_json_string(profile->modules[i].path));
        hp_json_set(module, "build_id", hp_json_string(profile->modules[i].build_id));
        char *start = hp_print("0x%" PRIx64, profile->modules[i].start);
        char *limit = hp_print("0x%" PRIx64, profile->modules[i].limit);
        hp_json_set(module, "start", json_string(start));
        hp_json_set(module, "limit", json_string(limit));
        free(start);
        free(limit);
        json_array_append_new(modules, module);
    }
    return modules;
}

static json_t *make_facts(const struct hp_profile *profile)
{
    json_t *facts = json_object();
    for (size_t i = 0; i < profile->fact_count; i++) {
        if (!strcmp(profile->facts[i].name, HP_FACT_THREAD))
            continue; /* many of one name, which an object can't hold */
        json_t *name = hp_json_string(profile->facts[i].name);
        hp_json_set(facts, json_string_value(name), hp_json_string(profile->facts[i].value));
        json_decref(name);
    }
    return facts;
}

static json_t *make_sample(const struct hp_stacks *stacks, const struct hp_stack *stack)
{
    const struct hp_sample *sample = stack->pair.after;
    json_t *object = json_object(), *frames = json_array(), *inlined = json_array();
    for (uint32_t i = 0; i < stack->depth; i++) {
        const struct hp_frame *frame = &stacks->frames[stack->first + i];
        json_array_append_new(frames, json_integer(frame->site));
        if (frame->inlined)
            json_array_append_new(inlined, json_integer(i));
    }
    hp_json_set(object, "frames", frames);
    hp_json_set(object, "inlined", inlined);
    hp_json_set(object, "sampled_live_objects", json_integer((json_int_t)sample->counts.live_objects));
    hp_json_set(object, "sampled_live_bytes", json_integer((json_int_t)sample->counts.live_bytes));
    hp_json_set(object, "sampled_alloc_objects", json_integer((json_int_t)sample->counts.alloc_objects));
    hp_json_set(object, "sampled_alloc_bytes", json_integer((json_int_t)sample->counts.alloc_bytes));
    return object;
}

static int write_json_profile(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                              struct hp_report_outcome *outcome, struct hp_error *error)
{
    const struct hp_profile *profile = input->profile;
    struct hp_stacks stacks;
    int status = hp_stacks_build(input, options, &stacks, error);
    if (status)
        return status;
    json_t *document = json_object(), *samples = json_array();
    hp_json_set(document, "name", hp_json_string(profile->name));
    hp_json_set(document, "interval", hp_json_number(profile->interval));
    hp_json_set(document, "time_ns", json_integer(profile->time_ns));
    hp_json_set(document, "facts", make_facts(profile));
    json_t *threads = hp_threads_json(input, options);
    if (threads)
        hp_json_set(document, "threads", threads);
    hp_json_set(document, "modules", make_modules(profile));
    hp_json_set(document, "frames", make_frames(&stacks));
    for (size_t i = 0; i < stacks.count; i++) {
        json_t *sample = make_sample(&stacks, &stacks.stacks[i]);
        for (int type = 0; type < HP_SAMPLE_TYPES; type++) {
            struct hp_estimate estimate =
                hp_sample_estimate(profile, stacks.stacks[i].pair.after, (enum hp_sample_type)type, options->raw);
            char *name = hp_print("%s_error", hp_sample_type_names[type]);
            hp_json_set(sample, hp_sample_type_names[type], hp_json_number(estimate.value));
            hp_json_set(sample, name, hp_json_number(hp_estimate_error(&estimate)));
            free(name);
        }
        json_array_append_new(samples, sample);
    }
    hp_json_set(document, "samples", samples);
    hp_json_write(out, document);
    hp_stacks_free(&stacks);
    return 0;
}

const struct hp_report hp_report_json_profile = {"json", write_json_profile};
