#include "cli/hints.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/say.h"
#include "report/core/header.h"
#include "report/core/memory.h"
#include "report/core/resident_parts.h"
#include "report/core/units.h"
#include "symbolize/symbolize.h"

/* Where fewer are without names, or live, nobody is misled. */
#define NAMELESS_LEAST 0.1
#define LIVE_LEAST 0.25
#define RESIDENT_LEAST (32 << 20) /* bytes that the samples don't explain */
/* With so many intervals' worth of allocations there is a sample in 95 of 100 runs: 1 - exp(-3). */
#define SURE_INTERVALS 3

static bool is_matched(const struct hp_frame *frame, const struct hp_view_options *only)
{
    if (only->focus)
        return frame->focused;
    if (only->ignore)
        return frame->ignored;
    return frame->hidden == (only->hide != NULL);
}

static bool matches_frame(const struct hp_profile *profile, const struct hp_view_options *only)
{
    struct hp_filter filter;
    struct hp_error error;
    struct hp_view view;
    struct hp_places places = {0};
    bool found = false;
    if (hp_filter_compile(&filter, only, &error))
        return true; /* which is said elsewhere */
    hp_view_init(&view, profile, HP_BY_FUNCTION, &filter, &places);
    for (size_t i = 0; i < view.frame_count && !found; i++)
        found = is_matched(&view.frames[i], only);
    hp_view_free(&view);
    hp_places_free(&places);
    hp_filter_free(&filter);
    return found;
}

static void hint_expressions(const struct hp_profile *before, const struct hp_profile *profile,
                             const struct hp_view_options *view)
{
    const struct {
        const char *name, *expression;
        struct hp_view_options only;
    } options[] = {{"focus", view->focus, {.focus = view->focus}},
                   {"ignore", view->ignore, {.ignore = view->ignore}},
                   {"hide", view->hide, {.hide = view->hide}},
                   {"show", view->show, {.show = view->show}}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].expression && !matches_frame(profile, &options[i].only) &&
            (!before || !matches_frame(before, &options[i].only)))
            hp_note("--%s: no function, file or module matches '%.200s'", options[i].name, options[i].expression);
}

static void hint_no_sample(const struct hp_profile *profile, enum hp_sample_type type)
{
    char enough[HP_FIGURE];
    if (hp_is_exact(profile) || hp_profile_total(profile, type).samples)
        return;
    if (hp_profile_total(profile, HP_ALLOC_OBJECTS).samples)
        hp_note("of what was sampled nothing is live any more: --sample=alloc_space shows what was allocated");
    else
        hp_note("no sample: less than about %d intervals (%s) were allocated; a smaller one finds more: run -i 4K, or "
                "-i 1 for all",
                SURE_INTERVALS, hp_figure(enough, SURE_INTERVALS * profile->interval, true));
}

static bool is_allocator(const struct hp_profile *profile, const struct hp_location *location)
{
    for (uint32_t i = 0; i < location->line_count; i++)
        if (!hp_is_allocator_function(location->lines[i].function))
            return false;
    return location->line_count ||
           (location->module != HP_NO_MODULE && hp_is_allocator_module(profile->modules[location->module].path));
}

/* In a file that could be read. */
static bool is_nameless(const struct hp_location *location)
{
    return location->symbolized && !location->line_count && location->module != HP_NO_MODULE;
}

/* The module whose lack of names hides who allocates: it has the site, or is the program itself; HP_NO_MODULE: none. */
static uint32_t nameless_module(const struct hp_profile *profile, const struct hp_sample *sample, const char *program)
{
    bool at_site = true;
    for (uint32_t i = 0; i < sample->depth; i++) {
        const struct hp_location *location = &profile->locations[profile->frames[sample->first + i]];
        if (at_site && is_allocator(profile, location))
            continue;
        if (is_nameless(location) && (at_site || !strcmp(profile->modules[location->module].path, program)))
            return location->module;
        at_site = false;
    }
    return HP_NO_MODULE;
}

static void hint_symbols(const struct hp_profile *profile, const struct hp_report_options *options)
{
    const char *program = hp_profile_fact(profile, "heapprof.exe");
    double *by_module = hp_alloc(profile->module_count, sizeof *by_module), nameless = 0, total = 0;
    for (size_t i = 0; i < profile->sample_count; i++) {
        const struct hp_sample *sample = &profile->samples[i];
        double value = fabs(hp_sample_estimate(profile, sample, options->sample, options->raw).value);
        uint32_t module = nameless_module(profile, sample, program ? program : "");
        total += value;
        if (module == HP_NO_MODULE)
            continue;
        nameless += value;
        by_module[module] += value;
    }
    size_t most = 0;
    for (size_t i = 1; i < profile->module_count; i++)
        if (by_module[i] > by_module[most])
            most = i;
    if (total > 0 && nameless >= NAMELESS_LEAST * total)
        hp_note("%.0f%% were allocated through functions without names, most of it in %s: install its debug symbols "
                "(Debian: "
                "a -dbgsym package), set DEBUGINFOD_URLS, or name their folder with --symbols=DIR",
                100 * nameless / total, profile->modules[most].path);
    free(by_module);
}

static bool is_python(const struct hp_profile *profile)
{
    const char *program = hp_profile_program(profile);
    bool found = program && !strncmp(hp_basename(program), "python", 6);
    for (size_t i = 0; i < profile->module_count && !found; i++)
        found = !strncmp(hp_basename(profile->modules[i].path), "libpython", 9);
    return found;
}

static void hint_resident(const struct hp_profile *profile)
{
    struct hp_resident_set set;
    char live[HP_FIGURE], rss[HP_FIGURE], part[HP_FIGURE];
    if (!hp_resident_find(profile, &set))
        return;
    double found = set.parts[HP_RESIDENT_LIVE];
    if (found >= LIVE_LEAST * set.rss || set.rss - found < RESIDENT_LEAST)
        return;
    size_t most = HP_RESIDENT_OVERHEAD;
    for (size_t i = most + 1; i < HP_RESIDENT_PARTS; i++)
        if (set.parts[i] > set.parts[most])
            most = i;
    hp_note("live objects are %s of the %s that are resident; the most of the rest, %s, is %s: %s (heapprof stats has "
            "all)%s",
            hp_figure(live, found, true), hp_figure(rss, set.rss, true), hp_figure(part, set.parts[most], true),
            hp_resident_names[most].name, hp_resident_names[most].meaning,
            is_python(profile)              ? "; with PYTHONMALLOC=malloc Python's objects are seen one by one"
            : most == HP_RESIDENT_ANONYMOUS ? "; an allocator of the program's own, under other names, is not seen"
                                            : "");
}

void hp_hint_report(const struct hp_profile *before, const struct hp_profile *profile,
                    const struct hp_report_options *options)
{
    hint_expressions(before, profile, &options->view);
    if (before)
        return;
    hint_no_sample(profile, options->sample);
    hint_symbols(profile, options);
    if (options->sample == HP_INUSE_SPACE)
        hint_resident(profile);
}

/* As it was started, or the first file that is mapped. NULL if unknown. */
static const char *program_of(const struct hp_profile *profile)
{
    const char *program = hp_profile_program(profile);
    if (!program && profile->module_count && *profile->modules[0].path)
        program = profile->modules[0].path;
    return program ? hp_basename(program) : NULL;
}

/* Neither started by the same name nor from files of the same name. */
static bool are_unrelated(const struct hp_profile *a, const struct hp_profile *b)
{
    const char *left = program_of(a), *right = program_of(b);
    if (!left || !right || !strcmp(left, right))
        return false;
    left = hp_profile_fact(a, "heapprof.exe");
    right = hp_profile_fact(b, "heapprof.exe");
    return !left || !right || strcmp(hp_basename(left), hp_basename(right)) != 0;
}

void hp_hint_compared(const struct hp_profile *before, const struct hp_profile *after)
{
    if (are_unrelated(before, after))
        hp_note("%s is of %s, %s of %s: what differs between two programs is no growth", before->name,
                program_of(before), after->name, program_of(after));
    else if (hp_profile_same_process(before, after) && after->time_ns && before->time_ns > after->time_ns)
        hp_note("%s was taken after %s: the other way round it would be growth", before->name, after->name);
}

void hp_hint_merged(struct hp_profile *const *profiles, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (are_unrelated(profiles[0], profiles[i])) {
            hp_note("%s is of %s, %s of %s: the sum is of different programs", profiles[0]->name,
                    program_of(profiles[0]), profiles[i]->name, program_of(profiles[i]));
            return;
        }
}
