/* profile.proto: strings, then what refers to them, then what refers to that, in passes over the whole file; the fields
 * of a message may come in any order. What the figures mean is settled in restore.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"
#include "profile/proto.h"
#include "profile/read.h"
#include "profile/restore.h"

struct function {
    const char *name, *linkage, *file;
    uint32_t start_line;
};

struct proto_reader {
    struct hp_input *input;
    struct hp_profile *profile;
    const unsigned char *start;
    struct hp_message file;
    const char **strings;
    size_t string_count, string_capacity;
    uint64_t *types; /* names of the sample types: string indices */
    size_t type_count, type_capacity;
    uint64_t default_type, period;
    struct function *functions;
    size_t function_count, function_capacity;
    bool *mapped_functions; /* has_functions, by module */
    size_t mapped_capacity;
    struct hp_map function_ids, mapping_ids, location_ids; /* from the file's ids to indices */
    struct hp_line *lines;  /* of the location being read */
    size_t line_capacity;
    struct hp_stack stack;
    uint64_t *values;
    size_t value_count, value_capacity;
    struct hp_restorer restorer;
};

typedef int field_fn(struct proto_reader *reader, struct hp_field *field);

static int fail(const struct proto_reader *reader, const unsigned char *where, const char *what)
{
    return hp_error_set(reader->input->error, -EINVAL, "%s: byte %td of the profile.proto: %s",
                        reader->input->name, where - reader->start, what);
}

static int string_at(const struct proto_reader *reader, const struct hp_field *field,
                     const char **string)
{
    if (field->is_bytes || field->value >= reader->string_count)
        return fail(reader, field->tag, "no such string");
    *string = reader->strings[field->value];
    return 0;
}

/* One number of a field that is not repeated. */
static int number_of(const struct proto_reader *reader, const struct hp_field *field, uint64_t *value)
{
    if (field->is_bytes)
        return fail(reader, field->tag, "a number was expected");
    *value = field->value;
    return 0;
}

static int for_each_field(struct proto_reader *reader, field_fn *handle)
{
    struct hp_message file = reader->file;
    struct hp_field field;
    int status;
    while ((status = hp_message_next(&file, &field)) == 1) {
        status = handle(reader, &field);
        if (status)
            return status;
    }
    return status < 0 ? fail(reader, file.next, "damaged, or the file ends too early") : 0;
}

/* For loops over a nested message: the next field, or an error. */
static int next_field(const struct proto_reader *reader, struct hp_message *message,
                      struct hp_field *field, int *status)
{
    int more = hp_message_next(message, field);
    *status = more < 0 ? fail(reader, message->next, "a damaged field") : 0;
    return more > 0;
}

/* Where a field that is not repeated goes: one of the two. */
struct slot {
    unsigned field;
    uint64_t *number;
    const char **string;
};

/* A message of nothing but such fields. Fields without a slot are passed over. */
static int read_fields(const struct proto_reader *reader, struct hp_message message,
                       const struct slot *slots, size_t count)
{
    struct hp_field field;
    int status;
    while (next_field(reader, &message, &field, &status)) {
        for (size_t i = 0; i < count && !status; i++) {
            if (slots[i].field != field.number)
                continue;
            status = slots[i].string ? string_at(reader, &field, slots[i].string)
                                     : number_of(reader, &field, slots[i].number);
        }
        if (status)
            return status;
    }
    return status;
}

static int read_value_type(struct proto_reader *reader, const struct hp_field *parent)
{
    uint64_t type = 0;
    int status = read_fields(reader, parent->bytes, (struct slot[]){{HP_VALUE_TYPE, &type}}, 1);
    if (status)
        return status;
    reader->types = hp_grow(reader->types, &reader->type_capacity, reader->type_count + 1,
                            sizeof *reader->types);
    reader->types[reader->type_count++] = type;
    return 0;
}

static bool is_message(unsigned number)
{
    return (number >= HP_PROFILE_SAMPLE_TYPE && number <= HP_PROFILE_STRING) ||
           number == HP_PROFILE_PERIOD_TYPE;
}

static int read_basics(struct proto_reader *reader, struct hp_field *field)
{
    if (is_message(field->number) && !field->is_bytes)
        return fail(reader, field->tag, "a field of the wrong type; this is no profile.proto");
    switch (field->number) {
    case HP_PROFILE_STRING:
        reader->strings = hp_grow(reader->strings, &reader->string_capacity,
                                  reader->string_count + 1, sizeof *reader->strings);
        reader->strings[reader->string_count++] =
            hp_profile_intern_bytes(reader->profile, (const char *)field->bytes.next,
                                    (size_t)(field->bytes.end - field->bytes.next));
        return 0;
    case HP_PROFILE_SAMPLE_TYPE:
        return read_value_type(reader, field);
    case HP_PROFILE_TIME_NANOS:
        reader->profile->time_ns = field->is_bytes ? 0 : (int64_t)field->value;
        return 0;
    case HP_PROFILE_PERIOD:
        return number_of(reader, field, &reader->period);
    case HP_PROFILE_DEFAULT_TYPE:
        return number_of(reader, field, &reader->default_type);
    default:
        return 0;
    }
}

static int read_mapping(struct proto_reader *reader, const struct hp_field *parent)
{
    struct hp_module module = {.path = "", .build_id = ""};
    uint64_t id = 0, has_functions = 0;
    const struct slot slots[] = {
        {HP_MAPPING_ID, &id},
        {HP_MAPPING_START, &module.start},
        {HP_MAPPING_LIMIT, &module.limit},
        {HP_MAPPING_OFFSET, &module.offset},
        {HP_MAPPING_FILE, NULL, &module.path},
        {HP_MAPPING_BUILD_ID, NULL, &module.build_id},
        {HP_MAPPING_HAS_FUNCTIONS, &has_functions},
    };
    int status = read_fields(reader, parent->bytes, slots, sizeof slots / sizeof *slots);
    if (status)
        return status;
    /* A stand-in for "no module", which some readers want every location to have. */
    if (!module.limit && !*module.path && !*module.build_id)
        return 0;
    uint32_t index = hp_profile_add_module(reader->profile, &module);
    reader->mapped_functions = hp_grow(reader->mapped_functions, &reader->mapped_capacity,
                                       (size_t)index + 1, sizeof *reader->mapped_functions);
    reader->mapped_functions[index] = has_functions != 0;
    if (!id || hp_map_add(&reader->mapping_ids, id, index) != index)
        return fail(reader, parent->tag, "a mapping without an id of its own");
    return 0;
}

static int read_function(struct proto_reader *reader, const struct hp_field *parent)
{
    struct function function = {"", "", "", 0};
    uint64_t id = 0, start_line = 0;
    const struct slot slots[] = {
        {HP_FUNCTION_ID, &id},
        {HP_FUNCTION_NAME, NULL, &function.name},
        {HP_FUNCTION_SYSTEM_NAME, NULL, &function.linkage},
        {HP_FUNCTION_FILE, NULL, &function.file},
        {HP_FUNCTION_START_LINE, &start_line},
    };
    int status = read_fields(reader, parent->bytes, slots, sizeof slots / sizeof *slots);
    if (status)
        return status;
    function.start_line = start_line <= UINT32_MAX ? (uint32_t)start_line : 0;
    if (!*function.name)
        function.name = function.linkage;
    if (strcmp(function.linkage, function.name) == 0)
        function.linkage = "";
    uint32_t index = (uint32_t)reader->function_count;
    reader->functions = hp_grow(reader->functions, &reader->function_capacity,
                                reader->function_count + 1, sizeof *reader->functions);
    reader->functions[reader->function_count++] = function;
    if (!id || hp_map_add(&reader->function_ids, id, index) != index)
        return fail(reader, parent->tag, "a function without an id of its own");
    return 0;
}

static int read_names(struct proto_reader *reader, struct hp_field *field)
{
    if (field->number == HP_PROFILE_MAPPING)
        return read_mapping(reader, field);
    if (field->number == HP_PROFILE_FUNCTION)
        return read_function(reader, field);
    if (field->number != HP_PROFILE_COMMENT)
        return 0;
    uint64_t index;
    int more;
    while ((more = hp_field_number(field, &index)) == 1) {
        if (index >= reader->string_count)
            return fail(reader, field->tag, "no such string");
        hp_restorer_comment(&reader->restorer, reader->profile, reader->strings[index]);
    }
    return more < 0 ? fail(reader, field->tag, "a damaged comment") : 0;
}

static int read_line(const struct proto_reader *reader, struct hp_message message,
                     struct hp_line *line)
{
    uint64_t id = 0, number = 0;
    const struct slot slots[] = {{HP_LINE_FUNCTION, &id}, {HP_LINE_LINE, &number}};
    int status = read_fields(reader, message, slots, sizeof slots / sizeof *slots);
    if (status)
        return status;
    *line = (struct hp_line){.function = "", .linkage = "", .file = ""};
    line->line = number <= UINT32_MAX ? (uint32_t)number : 0;
    if (!id)
        return 0;
    uint32_t index = hp_map_get(&reader->function_ids, id);
    if (index == HP_MAP_NONE)
        return fail(reader, message.next, "a line of a function that is not there");
    line->function = reader->functions[index].name;
    line->linkage = reader->functions[index].linkage;
    line->file = reader->functions[index].file;
    line->start_line = reader->functions[index].start_line;
    return 0;
}

/* Fills in module, offset and whether the names were looked up. */
static void place(const struct proto_reader *reader, uint64_t mapping, struct hp_location *location)
{
    uint32_t index = hp_map_get(&reader->mapping_ids, mapping);
    location->offset = location->address;
    location->module = HP_NO_MODULE;
    location->symbolized = location->line_count > 0;
    if (index == HP_MAP_NONE)
        return;
    const struct hp_module *module = &reader->profile->modules[index];
    location->module = index;
    location->symbolized |= reader->mapped_functions[index];
    /* Outside of the range the address was made relative to the file by whoever wrote it. */
    if (location->address >= module->start && location->address < module->limit)
        location->offset = location->address - module->start + module->offset;
}

static int read_location(struct proto_reader *reader, struct hp_field *parent)
{
    if (parent->number != HP_PROFILE_LOCATION)
        return 0;
    struct hp_location location = {0};
    uint64_t id = 0, mapping = 0;
    struct hp_field field;
    int status;
    while (next_field(reader, &parent->bytes, &field, &status)) {
        switch (field.number) {
        case HP_LOCATION_ID:
            status = number_of(reader, &field, &id);
            break;
        case HP_LOCATION_MAPPING:
            status = number_of(reader, &field, &mapping);
            break;
        case HP_LOCATION_ADDRESS:
            status = number_of(reader, &field, &location.address);
            break;
        case HP_LOCATION_LINE:
            if (!field.is_bytes)
                return fail(reader, field.tag, "a line was expected");
            reader->lines = hp_grow(reader->lines, &reader->line_capacity, location.line_count + 1,
                                    sizeof *reader->lines);
            status = read_line(reader, field.bytes, &reader->lines[location.line_count++]);
            break;
        }
        if (status)
            return status;
    }
    if (status)
        return status;
    place(reader, mapping, &location);
    location.lines = reader->lines;
    uint32_t index = hp_profile_append_location(reader->profile, &location);
    if (!id || hp_map_add(&reader->location_ids, id, index) != index)
        return fail(reader, parent->tag, "a location without an id of its own");
    return 0;
}

static int read_frames(struct proto_reader *reader, struct hp_field *field)
{
    struct hp_stack *stack = &reader->stack;
    uint64_t id;
    int more;
    while ((more = hp_field_number(field, &id)) == 1) {
        uint32_t location = hp_map_get(&reader->location_ids, id);
        if (location == HP_MAP_NONE)
            return fail(reader, field->tag, "a sample of a location that is not there");
        stack->locations = hp_grow(stack->locations, &stack->capacity, stack->depth + 1,
                                   sizeof *stack->locations);
        stack->locations[stack->depth++] = location;
    }
    return more < 0 ? fail(reader, field->tag, "damaged numbers") : 0;
}

static int read_values(struct proto_reader *reader, struct hp_field *field)
{
    uint64_t value;
    int more;
    while ((more = hp_field_number(field, &value)) == 1) {
        if (value > INT64_MAX)
            return fail(reader, field->tag, "a negative value; differences are not read");
        reader->values = hp_grow(reader->values, &reader->value_capacity, reader->value_count + 1,
                                 sizeof *reader->values);
        reader->values[reader->value_count++] = value;
    }
    return more < 0 ? fail(reader, field->tag, "damaged numbers") : 0;
}

/* The number of the label "bytes", if it is that one. */
static int read_label(const struct proto_reader *reader, struct hp_message message, uint64_t *size)
{
    const char *key = "";
    uint64_t number = 0;
    const struct slot slots[] = {{HP_LABEL_KEY, NULL, &key}, {HP_LABEL_NUMBER, &number}};
    int status = read_fields(reader, message, slots, sizeof slots / sizeof *slots);
    if (!status && strcmp(key, "bytes") == 0 && number <= INT64_MAX)
        *size = number;
    return status;
}

static int read_sample(struct proto_reader *reader, struct hp_field *parent)
{
    if (parent->number != HP_PROFILE_SAMPLE)
        return 0;
    reader->stack.depth = reader->value_count = 0;
    uint64_t size = 0;
    struct hp_field field;
    int status;
    while (next_field(reader, &parent->bytes, &field, &status)) {
        if (field.number == HP_SAMPLE_LOCATION)
            status = read_frames(reader, &field);
        else if (field.number == HP_SAMPLE_VALUE)
            status = read_values(reader, &field);
        else if (field.number == HP_SAMPLE_LABEL && field.is_bytes)
            status = read_label(reader, field.bytes, &size);
        if (status)
            return status;
    }
    if (status)
        return status;
    if (reader->value_count != reader->type_count)
        return fail(reader, parent->tag, "a sample with more or fewer values than there are types");
    hp_restorer_sample(&reader->restorer, reader->profile, &reader->stack, reader->values, size);
    return 0;
}

/* Which value is which. A profile of anything but memory has none of the types. */
static int read_types(struct proto_reader *reader)
{
    char found[256] = "";
    for (size_t i = 0; i < reader->type_count; i++) {
        if (reader->types[i] >= reader->string_count)
            return fail(reader, reader->start, "a sample type without a name");
        const char *name = reader->strings[reader->types[i]];
        hp_restorer_type(&reader->restorer, name, i);
        size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, "%s%s", i ? ", " : "", name);
    }
    if (!hp_restorer_has_types(&reader->restorer))
        return hp_error_set(reader->input->error, -EINVAL,
                            "%s: is no heap profile: its types are %s, not inuse_space or the like",
                            reader->input->name, *found ? found : "none");
    if (reader->default_type >= reader->string_count)
        return fail(reader, reader->start, "a default sample type that is no string");
    reader->profile->default_type = reader->strings[reader->default_type];
    if (reader->period > INT64_MAX)
        return fail(reader, reader->start, "a negative period");
    reader->restorer.interval = (double)reader->period;
    return 0;
}

static int read_all(struct proto_reader *reader)
{
    int status = for_each_field(reader, read_basics);
    if (!status && (!reader->string_count || *reader->strings[0]))
        status = fail(reader, reader->start, "no strings; this is no profile.proto");
    if (!status)
        status = read_types(reader);
    if (!status)
        status = for_each_field(reader, read_names);
    if (!status)
        status = for_each_field(reader, read_location);
    if (!status)
        status = for_each_field(reader, read_sample);
    if (!status)
        hp_restorer_finish(&reader->restorer, reader->profile);
    return status;
}

int hp_read_proto(struct hp_input *input, struct hp_profile *profile)
{
    int status = hp_input_all(input);
    if (status)
        return status;
    const unsigned char *start = (const unsigned char *)input->data + input->next;
    struct proto_reader reader = {
        .input = input,
        .profile = profile,
        .start = start,
        .file = {start, (const unsigned char *)input->data + input->end},
    };
    hp_restorer_init(&reader.restorer);
    status = read_all(&reader);
    free(reader.strings);
    free(reader.types);
    free(reader.functions);
    free(reader.mapped_functions);
    free(reader.lines);
    free(reader.stack.locations);
    free(reader.values);
    hp_map_clear(&reader.function_ids);
    hp_map_clear(&reader.mapping_ids);
    hp_map_clear(&reader.location_ids);
    hp_restorer_free(&reader.restorer);
    return status;
}
