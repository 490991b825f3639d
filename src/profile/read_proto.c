/* profile.proto: strings, then what refers to them, then what refers to that, in passes over the
 * whole file; the fields of a message may come in any order. What the figures mean is settled in
 * restore.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"
#include "profile/proto_reader.h"

typedef int field_fn(struct hp_proto_reader *reader, struct hp_field *field);

static int for_each_field(struct hp_proto_reader *reader, field_fn *handle)
{
    struct hp_message file = reader->file;
    struct hp_field field;
    int status;
    while ((status = hp_message_next(&file, &field)) == 1) {
        status = handle(reader, &field);
        if (status)
            return status;
    }
    return status < 0 ? hp_proto_fail(reader, file.next, "damaged, or the file ends too early") : 0;
}

static int read_value_type(struct hp_proto_reader *reader, const struct hp_field *parent)
{
    struct hp_proto_type type = {0};
    const struct hp_proto_slot slots[] = {{HP_VALUE_TYPE, &type.name}, {HP_VALUE_UNIT, &type.unit}};
    int status = hp_proto_fields(reader, parent->bytes, slots, sizeof slots / sizeof *slots);
    if (status)
        return status;
    reader->types = hp_grow(reader->types, &reader->type_capacity, reader->type_count + 1, sizeof *reader->types);
    reader->types[reader->type_count++] = type;
    return 0;
}

static bool is_message(unsigned number)
{
    return (number >= HP_PROFILE_SAMPLE_TYPE && number <= HP_PROFILE_STRING) || number == HP_PROFILE_PERIOD_TYPE;
}

static int read_basics(struct hp_proto_reader *reader, struct hp_field *field)
{
    if (is_message(field->number) && !field->is_bytes)
        return hp_proto_fail(reader, field->tag, "a field of the wrong type; this is no profile.proto");
    switch (field->number) {
    case HP_PROFILE_STRING:
        reader->strings =
            hp_grow(reader->strings, &reader->string_capacity, reader->string_count + 1, sizeof *reader->strings);
        reader->strings[reader->string_count++] = hp_profile_intern_bytes(
            reader->profile, (const char *)field->bytes.next, (size_t)(field->bytes.end - field->bytes.next));
        return 0;
    case HP_PROFILE_SAMPLE_TYPE:
        return read_value_type(reader, field);
    case HP_PROFILE_TIME_NANOS:
        reader->profile->time_ns = field->is_bytes ? 0 : (int64_t)field->value;
        return 0;
    case HP_PROFILE_PERIOD:
        return hp_proto_number(reader, field, &reader->period);
    case HP_PROFILE_DEFAULT_TYPE:
        return hp_proto_number(reader, field, &reader->default_type);
    default:
        return 0;
    }
}

static int read_names(struct hp_proto_reader *reader, struct hp_field *field)
{
    if (field->number == HP_PROFILE_MAPPING)
        return hp_proto_read_mapping(reader, field);
    if (field->number == HP_PROFILE_FUNCTION)
        return hp_proto_read_function(reader, field);
    if (field->number != HP_PROFILE_COMMENT)
        return 0;
    uint64_t index;
    int more;
    while ((more = hp_field_number(field, &index)) == 1) {
        if (index >= reader->string_count)
            return hp_proto_fail(reader, field->tag, "no such string");
        hp_restorer_comment(&reader->restorer, reader->profile, reader->strings[index]);
    }
    return more < 0 ? hp_proto_fail(reader, field->tag, "a damaged comment") : 0;
}

static int read_locations(struct hp_proto_reader *reader, struct hp_field *field)
{
    return field->number == HP_PROFILE_LOCATION ? hp_proto_read_location(reader, field) : 0;
}

static int read_frames(struct hp_proto_reader *reader, struct hp_field *field)
{
    struct hp_stack_buffer *stack = &reader->stack;
    uint64_t id;
    int more;
    while ((more = hp_field_number(field, &id)) == 1) {
        uint32_t location = hp_map_get(&reader->location_ids, id);
        if (location == HP_MAP_NONE)
            return hp_proto_fail(reader, field->tag, "a sample of a location that is not there");
        if (location == HP_PROTO_NO_STACK)
            continue;
        stack->locations = hp_grow(stack->locations, &stack->capacity, stack->depth + 1, sizeof *stack->locations);
        stack->locations[stack->depth++] = location;
    }
    return more < 0 ? hp_proto_fail(reader, field->tag, "damaged numbers") : 0;
}

static int read_values(struct hp_proto_reader *reader, struct hp_field *field)
{
    uint64_t value;
    int more;
    while ((more = hp_field_number(field, &value)) == 1) {
        if (value > INT64_MAX)
            return hp_proto_fail(reader, field->tag, "a negative value; differences are not read");
        reader->values =
            hp_grow(reader->values, &reader->value_capacity, reader->value_count + 1, sizeof *reader->values);
        reader->values[reader->value_count++] = value;
    }
    return more < 0 ? hp_proto_fail(reader, field->tag, "damaged numbers") : 0;
}

/* The number of the label "bytes", if it is that one. */
static int read_label(const struct hp_proto_reader *reader, struct hp_message message, uint64_t *size)
{
    const char *key = "";
    uint64_t number = 0;
    const struct hp_proto_slot slots[] = {{HP_LABEL_KEY, NULL, &key}, {HP_LABEL_NUMBER, &number}};
    int status = hp_proto_fields(reader, message, slots, sizeof slots / sizeof *slots);
    if (!status && strcmp(key, "bytes") == 0 && number <= INT64_MAX)
        *size = number;
    return status;
}

static int read_sample(struct hp_proto_reader *reader, struct hp_field *parent)
{
    if (parent->number != HP_PROFILE_SAMPLE)
        return 0;
    reader->stack.depth = reader->value_count = 0;
    uint64_t size = 0;
    struct hp_field field;
    int status;
    while (hp_proto_next(reader, &parent->bytes, &field, &status)) {
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
        return hp_proto_fail(reader, parent->tag, "a sample with more or fewer values than there are types");
    hp_restorer_sample(&reader->restorer, reader->profile, &reader->stack, reader->values, size);
    return 0;
}

/* Which value is which. A profile of anything but memory has none of the types. */
static int read_types(struct hp_proto_reader *reader)
{
    char found[256] = "";
    for (size_t i = 0; i < reader->type_count; i++) {
        const struct hp_proto_type *type = &reader->types[i];
        if (type->name >= reader->string_count || type->unit >= reader->string_count)
            return hp_proto_fail(reader, reader->start, "a sample type without a name");
        const char *name = reader->strings[type->name];
        hp_restorer_type(&reader->restorer, name, reader->strings[type->unit], i);
        size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, "%s%s", i ? ", " : "", name);
    }
    hp_restorer_types_end(&reader->restorer);
    if (!hp_restorer_has_types(&reader->restorer))
        return hp_error_set(reader->input->error, -EINVAL,
                            "%s: is no heap profile: its types are %s, none of them in bytes", reader->input->name,
                            *found ? found : "none");
    if (reader->default_type >= reader->string_count)
        return hp_proto_fail(reader, reader->start, "a default sample type that is no string");
    reader->profile->default_type = reader->strings[reader->default_type];
    if (reader->period > INT64_MAX)
        return hp_proto_fail(reader, reader->start, "a negative period");
    reader->restorer.interval = (double)reader->period;
    return 0;
}

static int read_all(struct hp_proto_reader *reader)
{
    int status = for_each_field(reader, read_basics);
    if (!status && (!reader->string_count || *reader->strings[0]))
        status = hp_proto_fail(reader, reader->start, "no strings; this is no profile.proto");
    if (!status)
        status = read_types(reader);
    if (!status)
        status = for_each_field(reader, read_names);
    if (!status)
        status = for_each_field(reader, read_locations);
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
    struct hp_proto_reader reader = {
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
