#include "report/core/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "symbolize/symbolize.h"

const char *const hp_granularity_names[HP_GRANULARITIES] = {"functions", "files", "lines", "addresses"};

static const struct hp_module *module_of(const struct hp_profile *profile, const struct hp_location *location)
{
    return location->module == HP_NO_MODULE ? NULL : &profile->modules[location->module];
}

char *hp_location_name(const struct hp_profile *profile, const struct hp_location *location)
{
    const struct hp_module *module = module_of(profile, location);
    if (!module || !*module->path)
        return hp_print("0x%" PRIx64, location->address);
    const char *slash = strrchr(module->path, '/');
    return hp_print("%s+0x%" PRIx64, slash && slash[1] ? slash + 1 : module->path, location->offset);
}

char *hp_location_identity(const struct hp_profile *profile, const struct hp_location *location)
{
    const struct hp_module *module = module_of(profile, location);
    if (!module || (!*module->path && !*module->build_id))
        return hp_print("0x%" PRIx64, location->address);
    return hp_print("%s+0x%" PRIx64, *module->build_id ? module->build_id : module->path, location->offset);
}

void hp_places_free(struct hp_places *places)
{
    hp_names_free(&places->row_names);
    hp_names_free(&places->site_names);
    hp_names_free(&places->strings);
    free(places->rows);
    free(places->sites);
    *places = (struct hp_places){0};
}

static const char *keep(struct hp_places *places, const char *string)
{
    uint32_t number = hp_names_add(&places->strings, string, NULL); /* moves names */
    return places->strings.names[number];
}

/* Of two descriptions of one row the one that knows the line wins. */
static uint32_t add_row(struct hp_places *places, const char *key, const char *label, const struct hp_place *place)
{
    bool added;
    uint32_t row = hp_names_add(&places->row_names, key, &added);
    places->rows = hp_grow(places->rows, &places->row_capacity, row + 1, sizeof *places->rows);
    if (added || (!places->rows[row].line && place->line)) {
        places->rows[row] = (struct hp_place){keep(places, label), keep(places, place->function),
                                              keep(places, place->file), place->line, row};
    }
    return row;
}

static uint32_t add_site(struct hp_places *places, const struct hp_place *place, uint32_t row)
{
    char *key = hp_print("%" PRIu32 " %" PRIu32 " %s", row, place->line, place->file);
    bool added;
    uint32_t site = hp_names_add(&places->site_names, key, &added);
    free(key);
    if (added) {
        places->sites = hp_grow(places->sites, &places->site_capacity, site + 1, sizeof *places->sites);
        places->sites[site] = (struct hp_place){places->rows[row].label, keep(places, place->function),
                                                keep(places, place->file), place->line, row};
    }
    return site;
}

static uint32_t place_row(struct hp_places *places, const struct hp_profile *profile,
                          const struct hp_location *location, const struct hp_line *line,
                          enum hp_granularity granularity, struct hp_place *place)
{
    const struct hp_module *module = module_of(profile, location);
    bool named = line && *line->function;
    char *identity = hp_location_identity(profile, location);
    char *bare = hp_location_name(profile, location);
    const char *function = named ? line->function : bare;
    *place = (struct hp_place){.function = function, .file = line ? line->file : "", .line = line ? line->line : 0};
    char *key = NULL, *label = NULL;
    /* \1 keeps the key of a bare address apart from a function of that name. */
    switch (granularity) {
    case HP_BY_FILE:
        place->function = "";
        place->line = 0;
        if (!*place->file)
            place->file = module && *module->path ? module->path : "(unknown file)";
        key = hp_strdup(place->file);
        label = hp_strdup(place->file);
        break;
    case HP_BY_LINE:
        key = named ? hp_print("%s\n%s\n%" PRIu32, function, place->file, place->line) : hp_print("\1%s", identity);
        label = hp_strdup(function);
        break;
    case HP_BY_ADDRESS:
        /* Counted from the outermost call, which also a profile without symbols has. */
        key = hp_print("%s\n%td", identity, line ? location->lines + location->line_count - line : 1);
        label = named ? hp_print("%s %s", bare, function) : hp_strdup(bare);
        break;
    case HP_BY_FUNCTION:
    default:
        key = named ? hp_strdup(function) : hp_print("\1%s", identity);
        label = hp_strdup(function);
    }
    uint32_t row = add_row(places, key, label, place);
    /* place->function may be `bare`, which dies here. */
    place->function = places->rows[row].function;
    free(key);
    free(label);
    free(identity);
    free(bare);
    return row;
}

static bool matches(const regex_t *expression, const char *const *texts)
{
    for (; *texts; texts++)
        if (**texts && !regexec(expression, *texts, 0, NULL, 0))
            return true;
    return false;
}

/* The row of samples without a stack; the same at all granularities. */
static uint32_t place_no_stack(struct hp_places *places, enum hp_granularity granularity, struct hp_place *place)
{
    const bool by_file = granularity == HP_BY_FILE;
    *place = (struct hp_place){.function = by_file ? "" : HP_NO_STACK, .file = by_file ? HP_NO_STACK : ""};
    return add_row(places, HP_NO_STACK, HP_NO_STACK, place);
}

static void keep_frame(struct hp_view *view, const struct hp_frame *frame)
{
    view->frames = hp_grow(view->frames, &view->frame_capacity, view->frame_count + 1, sizeof *view->frames);
    view->frames[view->frame_count++] = *frame;
}

/* What the expressions say of a frame with these texts. */
static void filter_frame(struct hp_frame *frame, const struct hp_filter *filter, const char *const *texts)
{
    frame->focused = !filter->has_focus || matches(&filter->focus, texts);
    frame->ignored = filter->has_ignore && matches(&filter->ignore, texts);
    frame->hidden =
        (filter->has_hide && matches(&filter->hide, texts)) || (filter->has_show && !matches(&filter->show, texts));
}

/* The last frame of a view that has samples without a stack. */
static void add_no_stack(struct hp_view *view, enum hp_granularity granularity, const struct hp_filter *filter,
                         struct hp_places *places)
{
    const char *const texts[] = {HP_NO_STACK, NULL};
    struct hp_place place;
    struct hp_frame frame = {.row = place_no_stack(places, granularity, &place), .line = UINT32_MAX};
    frame.site = add_site(places, &place, frame.row);
    filter_frame(&frame, filter, texts);
    keep_frame(view, &frame);
}

static bool has_no_stack(const struct hp_profile *profile)
{
    for (size_t i = 0; i < profile->sample_count; i++)
        if (!profile->samples[i].depth)
            return true;
    return false;
}

static void add_frame(struct hp_view *view, uint32_t index, uint32_t line_index, enum hp_granularity granularity,
                      const struct hp_filter *filter, struct hp_places *places)
{
    const struct hp_location *location = &view->profile->locations[index];
    const struct hp_line *line = line_index == UINT32_MAX ? NULL : &location->lines[line_index];
    const struct hp_module *module = module_of(view->profile, location);
    struct hp_place place;
    struct hp_frame frame = {.location = index, .line = line_index};
    frame.row = place_row(places, view->profile, location, line, granularity, &place);
    frame.site = add_site(places, &place, frame.row);
    const char *function = line && *line->function ? line->function : place.function;
    const char *texts[] = {function, line ? line->file : place.function, module ? module->path : function, NULL};
    frame.inlined = line && line_index + 1 < location->line_count;
    frame.allocator = line && *line->function ? hp_is_allocator_function(line->function)
                                              : module && hp_is_allocator_module(module->path);
    filter_frame(&frame, filter, texts);
    keep_frame(view, &frame);
}

void hp_view_init(struct hp_view *view, const struct hp_profile *profile, enum hp_granularity granularity,
                  const struct hp_filter *filter, struct hp_places *places)
{
    *view = (struct hp_view){.profile = profile, .drop_allocator = !filter->has_show, .has_focus = filter->has_focus};
    view->first = hp_alloc(profile->location_count + 1, sizeof *view->first);
    for (size_t i = 0; i < profile->location_count; i++) {
        uint32_t count = profile->locations[i].line_count;
        view->first[i] = view->frame_count;
        for (uint32_t line = 0; line < count; line++)
            add_frame(view, (uint32_t)i, line, granularity, filter, places);
        if (!count)
            add_frame(view, (uint32_t)i, UINT32_MAX, granularity, filter, places);
    }
    view->first[profile->location_count] = view->frame_count;
    if (has_no_stack(profile))
        add_no_stack(view, granularity, filter, places);
}

void hp_view_free(struct hp_view *view)
{
    free(view->first);
    free(view->frames);
    free(view->stack);
    *view = (struct hp_view){0};
}

static size_t push_frame(struct hp_view *view, size_t depth, size_t frame)
{
    view->stack = hp_grow(view->stack, &view->stack_capacity, depth + 1, sizeof *view->stack);
    view->stack[depth] = view->frames[frame];
    return depth + 1;
}

size_t hp_view_stack(struct hp_view *view, const struct hp_sample *sample, const struct hp_frame **frames)
{
    const uint32_t *locations = sample->depth ? &view->profile->frames[sample->first] : NULL;
    size_t depth = 0;
    for (uint32_t i = 0; i < sample->depth; i++) {
        size_t first = view->first[locations[i]], limit = view->first[locations[i] + 1];
        for (size_t frame = first; frame < limit; frame++)
            depth = push_frame(view, depth, frame);
    }
    if (!sample->depth)
        depth = push_frame(view, depth, view->first[view->profile->location_count]);
    size_t start = 0;
    if (view->drop_allocator)
        while (start + 1 < depth && view->stack[start].allocator)
            start++;
    bool focused = !view->has_focus;
    size_t kept = 0;
    for (size_t i = start; i < depth; i++) {
        struct hp_frame frame = view->stack[i];
        if (frame.ignored)
            return 0;
        focused |= frame.focused;
        if (!frame.hidden)
            view->stack[kept++] = frame;
    }
    *frames = view->stack;
    return focused ? kept : 0;
}
