/* The allocator's figures, where the resident set goes, and what the profiler says of itself. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/header.h"
#include "report/core/json.h"
#include "report/core/memory.h"
#include "report/core/resident_parts.h"
#include "report/core/thread_table.h"
#include "report/core/units.h"

enum kind { BYTES, COUNT, NANOSECONDS };

struct figure {
    const char *fact, *meaning;
    enum kind kind;
};

static const struct figure figures[] = {
    {"HeapAlloc", "in use by the program, as the allocator counts", BYTES},
    {"HeapInuse", "in pages that hold something in use", BYTES},
    {"HeapIdle", "held by the allocator, nothing in it", BYTES},
    {"HeapReleased", "the part of HeapIdle that went back to the system", BYTES},
    {"HeapSys", "obtained from the system: HeapInuse + HeapIdle", BYTES},
    {"MaxRSS", "most memory ever resident", BYTES},
    {"TotalAlloc", "allocated since the start, in all", BYTES},
    {"Mallocs", "allocations since the start", COUNT},
    {"Frees", "frees since the start", COUNT},
    {"HeapObjects", "objects live: Mallocs - Frees", COUNT},
    {"heapprof.interval", "mean distance of two samples", BYTES},
    {"heapprof.samples", "allocations sampled", COUNT},
    {"heapprof.lost", "samples lost", COUNT},
    {"heapprof.truncated", "stacks cut at the depth limit", COUNT},
    {"heapprof.folded", "old stacks folded together, for want of memory", COUNT},
    {"heapprof.unnamed_frames", "frames without a name, for want of memory", COUNT},
    {"heapprof.unmatched_frees", "frees that went around the profiler", COUNT},
    {"heapprof.own_bytes", "memory of the profiler itself", BYTES},
    {"heapprof.own_most", "... at the most", BYTES},
    {"heapprof.cgroup_limit", "limit of the memory cgroup; the profiler keeps to a twentieth", BYTES},
    {"heapprof.own_ns", "time that the profiler took", NANOSECONDS},
};

#define FIGURE_COUNT (sizeof figures / sizeof *figures)

static bool number(const char *text, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    return !errno && end != text && !*end;
}

static void add_line(struct hp_table *table, const char *name, const char *value, const char *meaning)
{
    hp_table_cell(table, HP_PLAIN, name);
    hp_table_cell(table, HP_BOLD, value);
    hp_table_source(table, HP_DIM, meaning, "");
}

static void add_figure(struct hp_table *table, const struct figure *figure, double value)
{
    char text[HP_FIGURE];
    if (figure->kind == NANOSECONDS)
        snprintf(text, sizeof text, value < 1e9 ? "%.1f ms" : "%.1f s", value < 1e9 ? value / 1e6 : value / 1e9);
    else
        hp_figure(text, value, figure->kind == BYTES);
    add_line(table, figure->fact, text, figure->meaning);
}

static void write_text(FILE *out, const struct hp_profile *profile, const struct hp_report_options *options)
{
    static const struct hp_column columns[] = {{"figure", 0}, {"value", 0}, {"meaning", 0}};
    struct hp_table *table = hp_table_new(columns, 3);
    hp_header_write(out, profile, NULL);
    const char *allocator = hp_profile_fact(profile, "heapprof.allocator");
    if (allocator) {
        char *clean = hp_clean(allocator);
        fprintf(out, "allocator %s\n", clean);
        free(clean);
    }
    for (int type = 0; type < HP_SAMPLE_TYPES; type++) {
        struct hp_estimate total = hp_profile_total(profile, (enum hp_sample_type)type);
        struct hp_report_options as = *options;
        as.sample = (enum hp_sample_type)type;
        char *text = hp_header_total(&total, profile, &as);
        fprintf(out, "%-13s %s\n", hp_sample_type_names[type], text);
        free(text);
    }
    size_t known = 0;
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        const char *fact = hp_profile_fact(profile, figures[i].fact);
        double value;
        if (fact && number(fact, &value)) {
            add_figure(table, &figures[i], value);
            known++;
        }
    }
    struct hp_resident_set set;
    if (hp_resident_find(profile, &set))
        hp_resident_write(out, &set, &options->look);
    else
        fputs("the file does not tell where the resident set goes\n", out);
    fputc('\n', out);
    if (known)
        hp_table_write(table, out, &options->look);
    else
        fputs("the file holds no figures of the allocator\n", out);
    hp_table_free(table);
}

static json_t *make_resident(const struct hp_resident_set *set)
{
    json_t *resident = json_object(), *parts = json_object(), *beside = json_object();
    hp_json_set(resident, "rss", hp_json_number(set->rss));
    for (size_t i = 0; i < HP_RESIDENT_PARTS; i++)
        hp_json_set(parts, hp_resident_names[i].key, hp_json_number(set->parts[i]));
    hp_json_set(resident, "parts", parts);
    hp_json_set(resident, "live_error", hp_json_number(set->live_error));
    hp_json_set(beside, "released", hp_json_number(set->released));
    hp_json_set(beside, "untouched", hp_json_number(set->untouched));
    hp_json_set(beside, "swapped", hp_json_number(set->swapped));
    hp_json_set(resident, "not_resident", beside);
    return resident;
}

static void write_json(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options)
{
    const struct hp_profile *profile = input->profile;
    json_t *document = hp_json_document(input, options), *facts = json_object();
    for (int type = 0; type < HP_SAMPLE_TYPES; type++) {
        struct hp_estimate total = hp_profile_total(profile, (enum hp_sample_type)type);
        json_t *object = json_object();
        hp_json_set(object, "total", hp_json_number(total.value));
        hp_json_set(object, "total_error", hp_json_number(hp_estimate_error(&total)));
        hp_json_set(object, "samples", hp_json_number((double)total.samples));
        hp_json_set(document, hp_sample_type_names[type], object);
    }
    struct hp_resident_set set;
    if (hp_resident_find(profile, &set))
        hp_json_set(document, "resident", make_resident(&set));
    for (size_t i = 0; i < profile->fact_count; i++) {
        if (!strcmp(profile->facts[i].name, HP_FACT_THREAD))
            continue; /* many of one name; `tags` tells them */
        const char *text = profile->facts[i].value;
        char *name = hp_clean(profile->facts[i].name);
        double value;
        hp_json_set(facts, name, number(text, &value) ? hp_json_number(value) : hp_json_string(text));
        free(name);
    }
    hp_json_set(document, "facts", facts);
    hp_json_write(out, document);
}

static int write_stats(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                       struct hp_report_outcome *outcome, struct hp_error *error)
{
    if (options->json)
        write_json(out, input, options);
    else
        write_text(out, input->profile, options);
    return 0;
}

const struct hp_report hp_report_stats = {"stats", write_stats};
