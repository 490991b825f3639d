/* profile.proto, as its readers want it (docs/dump-format.md). The strings are written when they are first used,
 * between the messages: only their order among themselves counts. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "profile/alloc.h"
#include "profile/model.h"
#include "profile/proto.h"
#include "profile/restore.h"

#define FLUSH_SIZE (256U << 10)

struct proto_writer {
    const struct hp_profile *profile;
    hp_sink_fn *sink;
    void *sink_state;
    int error; /* the first one; afterwards nothing is written */
    z_stream deflater;
    unsigned char *packed; /* FLUSH_SIZE bytes */
    struct hp_buffer out, message, nested;
    struct hp_map strings;   /* by pointer: the profile's strings are interned */
    struct hp_map functions; /* by hash of all that makes one up */
    uint64_t string_count, function_count;
    uint64_t *mapping_ids; /* by module */
    uint64_t anonymous;    /* the mapping of locations without a module; 0: none is needed */
    bool *unsymbolized;    /* by module, and last the anonymous mapping */
    bool has_no_stack;     /* a sample without a location */
    bool any_symbolized;
};

static void deflate_out(struct proto_writer *writer, int flush)
{
    z_stream *deflater = &writer->deflater;
    deflater->next_in = writer->out.data;
    deflater->avail_in = (unsigned)writer->out.size;
    int status = Z_OK;
    while (!writer->error && status == Z_OK) {
        deflater->next_out = writer->packed;
        deflater->avail_out = FLUSH_SIZE;
        status = deflate(deflater, flush);
        size_t n = FLUSH_SIZE - deflater->avail_out;
        if (n)
            writer->error = writer->sink(writer->sink_state, writer->packed, n);
        if (flush == Z_NO_FLUSH && !deflater->avail_in && deflater->avail_out)
            break;
    }
    writer->out.size = 0;
}

static void flush_if_large(struct proto_writer *writer)
{
    if (writer->out.size >= FLUSH_SIZE)
        deflate_out(writer, Z_NO_FLUSH);
}

static uint64_t write_string(struct proto_writer *writer, const char *string)
{
    hp_put_bytes(&writer->out, HP_PROFILE_STRING, string, strlen(string));
    flush_if_large(writer);
    return writer->string_count++;
}

static uint64_t string_index(struct proto_writer *writer, const char *string)
{
    if (!*string)
        return 0;
    uint32_t fresh = (uint32_t)writer->string_count;
    uint32_t index = hp_map_add(&writer->strings, (uintptr_t)string, fresh);
    return index == fresh ? write_string(writer, string) : index;
}

static void end_message(struct proto_writer *writer, unsigned field)
{
    hp_put_message(&writer->out, field, &writer->message);
    writer->message.size = 0;
    flush_if_large(writer);
}

static void end_nested(struct proto_writer *writer, unsigned field)
{
    hp_put_message(&writer->message, field, &writer->nested);
    writer->nested.size = 0;
}

static void write_value_type(struct proto_writer *writer, unsigned field, const char *type, const char *unit)
{
    uint64_t type_index = string_index(writer, type), unit_index = string_index(writer, unit);
    hp_put_number(&writer->message, HP_VALUE_TYPE, type_index);
    hp_put_number(&writer->message, HP_VALUE_UNIT, unit_index);
    end_message(writer, field);
}

/* The profile's own wish, if that is one of ours. */
static const char *default_type(const struct hp_profile *profile)
{
    for (size_t i = 0; i < HP_SAMPLE_TYPES; i++)
        if (strcmp(profile->default_type, hp_sample_type_names[i]) == 0)
            return hp_sample_type_names[i];
    return hp_sample_type_names[HP_INUSE_SPACE];
}

static void write_types(struct proto_writer *writer)
{
    static const enum hp_sample_type order[] = {HP_ALLOC_OBJECTS, HP_ALLOC_SPACE, HP_INUSE_OBJECTS, HP_INUSE_SPACE};
    const struct hp_profile *profile = writer->profile;
    for (size_t i = 0; i < HP_SAMPLE_TYPES; i++)
        write_value_type(writer, HP_PROFILE_SAMPLE_TYPE, hp_sample_type_names[order[i]],
                         hp_sample_type_units[order[i]]);
    write_value_type(writer, HP_PROFILE_PERIOD_TYPE, "space", hp_sample_type_units[HP_INUSE_SPACE]);
    hp_put_number(&writer->out, HP_PROFILE_PERIOD, hp_round(hp_coarsest_interval(profile)));
    hp_put_number(&writer->out, HP_PROFILE_TIME_NANOS, (uint64_t)profile->time_ns);
    hp_put_number(&writer->out, HP_PROFILE_DURATION_NANOS, (uint64_t)profile->duration_ns);
    uint64_t index = string_index(writer, default_type(profile));
    hp_put_number(&writer->out, HP_PROFILE_DEFAULT_TYPE, index);
}

/* ------------------------------------------------------------------ mappings, locations, functions
 */

static bool has_no_stack(const struct hp_profile *profile)
{
    for (size_t i = 0; i < profile->sample_count; i++)
        if (!profile->samples[i].depth)
            return true;
    return false;
}

static void survey_locations(struct proto_writer *writer)
{
    const struct hp_profile *profile = writer->profile;
    writer->mapping_ids = hp_alloc(profile->module_count, sizeof *writer->mapping_ids);
    writer->unsymbolized = hp_alloc(profile->module_count + 1, sizeof *writer->unsymbolized);
    for (size_t i = 0; i < profile->location_count; i++) {
        const struct hp_location *location = &profile->locations[i];
        bool outside = location->module == HP_NO_MODULE;
        if (outside)
            writer->anonymous = profile->module_count + 1;
        if (location->symbolized)
            writer->any_symbolized = true;
        else
            writer->unsymbolized[outside ? profile->module_count : location->module] = true;
    }
    writer->has_no_stack = has_no_stack(profile);
    if (writer->has_no_stack)
        writer->anonymous = profile->module_count + 1;
}

static void write_mapping(struct proto_writer *writer, uint64_t id, const struct hp_module *module, bool symbolized)
{
    uint64_t path = string_index(writer, module->path);
    uint64_t build_id = string_index(writer, module->build_id);
    struct hp_buffer *message = &writer->message;
    hp_put_number(message, HP_MAPPING_ID, id);
    hp_put_number(message, HP_MAPPING_START, module->start);
    hp_put_number(message, HP_MAPPING_LIMIT, module->limit);
    hp_put_number(message, HP_MAPPING_OFFSET, module->offset);
    hp_put_number(message, HP_MAPPING_FILE, path);
    hp_put_number(message, HP_MAPPING_BUILD_ID, build_id);
    for (unsigned field = HP_MAPPING_HAS_FUNCTIONS; field <= HP_MAPPING_HAS_INLINE_FRAMES; field++)
        hp_put_number(message, field, symbolized);
    end_message(writer, HP_PROFILE_MAPPING);
}

/* Readers take the first mapping for the program. */
static size_t main_module(const struct hp_profile *profile)
{
    const char *exe = hp_profile_fact(profile, "heapprof.exe");
    for (size_t i = 0; exe && i < profile->module_count; i++)
        if (strcmp(profile->modules[i].path, exe) == 0)
            return i;
    return 0;
}

static void write_mappings(struct proto_writer *writer)
{
    const struct hp_profile *profile = writer->profile;
    size_t first = main_module(profile);
    for (size_t i = 0; i < profile->module_count; i++) {
        /* The main one, then the others in their order. */
        size_t module = i == 0 ? first : i - (i <= first);
        writer->mapping_ids[module] = i + 1;
        write_mapping(writer, i + 1, &profile->modules[module],
                      writer->any_symbolized && !writer->unsymbolized[module]);
    }
    static const struct hp_module nothing = {.path = "", .build_id = ""};
    if (writer->anonymous)
        write_mapping(writer, writer->anonymous, &nothing,
                      writer->any_symbolized && !writer->unsymbolized[profile->module_count]);
}

static uint64_t function_id(struct proto_writer *writer, const struct hp_line *line)
{
    const uint64_t key[] = {(uintptr_t)line->function, (uintptr_t)line->linkage, (uintptr_t)line->file,
                            line->start_line};
    uint32_t fresh = (uint32_t)writer->function_count;
    uint32_t index = hp_map_add(&writer->functions, hp_hash_bytes(key, sizeof key), fresh);
    if (index != fresh)
        return (uint64_t)index + 1;
    uint64_t name = string_index(writer, line->function);
    /* Where it is the name itself, go tool pprof would take it for a mangled one and cut the parameters off. */
    uint64_t linkage = string_index(writer, line->linkage);
    uint64_t file = string_index(writer, line->file);
    struct hp_buffer function = {0};
    hp_put_number(&function, HP_FUNCTION_ID, ++writer->function_count);
    hp_put_number(&function, HP_FUNCTION_NAME, name);
    hp_put_number(&function, HP_FUNCTION_SYSTEM_NAME, linkage);
    hp_put_number(&function, HP_FUNCTION_FILE, file);
    hp_put_number(&function, HP_FUNCTION_START_LINE, line->start_line);
    hp_put_message(&writer->out, HP_PROFILE_FUNCTION, &function);
    free(function.data);
    return writer->function_count;
}

/* After all others, in the mapping of what lies in no module, at no address. */
static void write_no_stack(struct proto_writer *writer)
{
    static const struct hp_line line = {.function = HP_NO_STACK, .linkage = "", .file = ""};
    hp_put_number(&writer->message, HP_LOCATION_ID, writer->profile->location_count + 1);
    hp_put_number(&writer->message, HP_LOCATION_MAPPING, writer->anonymous);
    hp_put_number(&writer->nested, HP_LINE_FUNCTION, function_id(writer, &line));
    end_nested(writer, HP_LOCATION_LINE);
    end_message(writer, HP_PROFILE_LOCATION);
}

static void write_locations(struct proto_writer *writer)
{
    const struct hp_profile *profile = writer->profile;
    for (size_t i = 0; i < profile->location_count; i++) {
        const struct hp_location *location = &profile->locations[i];
        bool outside = location->module == HP_NO_MODULE;
        hp_put_number(&writer->message, HP_LOCATION_ID, i + 1);
        hp_put_number(&writer->message, HP_LOCATION_MAPPING,
                      outside ? writer->anonymous : writer->mapping_ids[location->module]);
        hp_put_number(&writer->message, HP_LOCATION_ADDRESS, location->address);
        for (uint32_t k = 0; k < location->line_count; k++) {
            hp_put_number(&writer->nested, HP_LINE_FUNCTION, function_id(writer, &location->lines[k]));
            hp_put_number(&writer->nested, HP_LINE_LINE, location->lines[k].line);
            end_nested(writer, HP_LOCATION_LINE);
        }
        end_message(writer, HP_PROFILE_LOCATION);
    }
}

/* ------------------------------------------------------------------ samples and comments */

static void write_raw_comment(struct proto_writer *writer, size_t index, const struct hp_counts *counts)
{
    char line[160];
    snprintf(line, sizeof line, HP_COMMENT_RAW "%zu %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, index,
             counts->live_objects, counts->live_bytes, counts->alloc_objects, counts->alloc_bytes);
    hp_put_number(&writer->out, HP_PROFILE_COMMENT, write_string(writer, line));
}

static void write_sample(struct proto_writer *writer, size_t index)
{
    const struct hp_profile *profile = writer->profile;
    const struct hp_sample *sample = &profile->samples[index];
    struct hp_counts scaled = hp_scaled_counts(profile, sample);
    uint64_t size = hp_size_label(&sample->counts);
    struct hp_buffer *nested = &writer->nested;
    uint64_t key = string_index(writer, "bytes");
    for (uint32_t i = 0; i < sample->depth; i++)
        hp_put_varint(nested, (uint64_t)profile->frames[sample->first + i] + 1);
    if (!sample->depth)
        hp_put_varint(nested, profile->location_count + 1);
    end_nested(writer, HP_SAMPLE_LOCATION);
    hp_put_varint(nested, scaled.alloc_objects);
    hp_put_varint(nested, scaled.alloc_bytes);
    hp_put_varint(nested, scaled.live_objects);
    hp_put_varint(nested, scaled.live_bytes);
    end_nested(writer, HP_SAMPLE_VALUE);
    hp_put_number(nested, HP_LABEL_KEY, key);
    hp_put_number(nested, HP_LABEL_NUMBER, size);
    hp_put_number(nested, HP_LABEL_UNIT, key); /* the unit's name is "bytes" too */
    end_nested(writer, HP_SAMPLE_LABEL);
    end_message(writer, HP_PROFILE_SAMPLE);
    if (profile->delta) /* no raw counts explain it */
        return;

    struct hp_counts guess = hp_guess_counts(&scaled, size, profile->interval);
    if (memcmp(&guess, &sample->counts, sizeof guess) != 0)
        write_raw_comment(writer, index, &sample->counts);
}

static void write_comment(void *state, const char *line)
{
    struct proto_writer *writer = state;
    hp_put_number(&writer->out, HP_PROFILE_COMMENT, write_string(writer, line));
}

/* The format has no place for how far into its function a location is. */
static void write_entries(struct proto_writer *writer)
{
    const struct hp_profile *profile = writer->profile;
    char line[4096] = HP_COMMENT_ENTRIES;
    const size_t start = strlen(line);
    size_t used = start;
    for (size_t i = 0; i < profile->location_count; i++) {
        const struct hp_location *location = &profile->locations[i];
        if (!location->line_count || !location->lines[0].entry_offset)
            continue;
        used += (size_t)snprintf(line + used, sizeof line - used, "%" PRIx64 "+%" PRIx64 " ", location->address,
                                 location->lines[0].entry_offset);
        if (used < sizeof line - 48)
            continue;
        write_comment(writer, line);
        used = start;
        line[used] = 0;
    }
    if (used > start)
        write_comment(writer, line);
}

static void write_comments(struct proto_writer *writer)
{
    const struct hp_profile *profile = writer->profile;
    char type[64] = HP_COMMENT_TYPE "heapprofile";
    if (profile->interval != 1)
        snprintf(type, sizeof type, HP_COMMENT_TYPE "heap_v2/%" PRIu64, (uint64_t)profile->interval);
    if (!profile->prescaled && !profile->mixed)
        write_comment(writer, type);
    hp_profile_each_comment(profile, write_comment, writer);
    write_entries(writer);
}

static void write_all(struct proto_writer *writer)
{
    write_string(writer, ""); /* index 0 must be empty */
    write_types(writer);
    survey_locations(writer);
    write_mappings(writer);
    write_locations(writer);
    if (writer->has_no_stack)
        write_no_stack(writer);
    for (size_t i = 0; i < writer->profile->sample_count; i++)
        write_sample(writer, i);
    write_comments(writer);
}

int hp_profile_write_proto(const struct hp_profile *profile, hp_sink_fn *sink, void *sink_state)
{
    struct proto_writer writer = {.profile = profile, .sink = sink, .sink_state = sink_state};
    /* 15 + 16: a gzip header, without name and time, so that equal profiles make equal files. */
    if (deflateInit2(&writer.deflater, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    writer.packed = hp_alloc(1, FLUSH_SIZE);
    write_all(&writer);
    deflate_out(&writer, Z_FINISH);
    deflateEnd(&writer.deflater);
    free(writer.packed);
    free(writer.out.data);
    free(writer.message.data);
    free(writer.nested.data);
    free(writer.mapping_ids);
    free(writer.unsymbolized);
    hp_map_clear(&writer.strings);
    hp_map_clear(&writer.functions);
    return writer.error;
}
