/* The half of profile.proto that says what code there is, and the fields of messages. */
#include "profile/proto_reader.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "profile/alloc.h"

#define LINES_MAX 4096 /* inlined calls at one address */

int hp_proto_fail(const struct hp_proto_reader *reader, const unsigned char *where, const char *what)
{
    return hp_error_set(reader->input->error, -EINVAL, "%s: byte %td of the profile.proto: %s", reader->input->name,
                        where - reader->start, what);
}

int hp_proto_string(const struct hp_proto_reader *reader, const struct hp_field *field, const char **string)
{
    if (field->is_bytes || field->value >= reader->string_count)
        return hp_proto_fail(reader, field->tag, "no such string");
    *string = reader->strings[field->value];
    return 0;
}

int hp_proto_number(const struct hp_proto_reader *reader, const struct hp_field *field, uint64_t *value)
{
    if (field->is_bytes)
        return hp_proto_fail(reader, field->tag, "a number was expected");
    *value = field->value;
    return 0;
}

bool hp_proto_next(const struct hp_proto_reader *reader, struct hp_message *message, struct hp_field *field,
                   int *status)
{
    int more = hp_message_next(message, field);
    *status = more < 0 ? hp_proto_fail(reader, message->next, "a damaged field") : 0;
    return more > 0;
}

int hp_proto_fields(const struct hp_proto_reader *reader, struct hp_message message, const struct hp_proto_slot *slots,
                    size_t count)
{
    struct hp_field field;
    int status;
    while (hp_proto_next(reader, &message, &field, &status)) {
        for (size_t i = 0; i < count && !status; i++) {
            if (slots[i].field != field.number)
                continue;
            status = slots[i].string ? hp_proto_string(reader, &field, slots[i].string)
                                     : hp_proto_number(reader, &field, slots[i].number);
        }
        if (status)
            return status;
    }
    return status;
}

int hp_proto_read_mapping(struct hp_proto_reader *reader, const struct hp_field *parent)
{
    struct hp_module module = {.path = "", .build_id = ""};
    uint64_t id = 0, has_functions = 0;
    const struct hp_proto_slot slots[] = {
        {HP_MAPPING_ID, &id},
        {HP_MAPPING_START, &module.start},
        {HP_MAPPING_LIMIT, &module.limit},
        {HP_MAPPING_OFFSET, &module.offset},
        {HP_MAPPING_FILE, NULL, &module.path},
        {HP_MAPPING_BUILD_ID, NULL, &module.build_id},
        {HP_MAPPING_HAS_FUNCTIONS, &has_functions},
    };
    int status = hp_proto_fields(reader, parent->bytes, slots, sizeof slots / sizeof *slots);
    if (status)
        return status;
    /* A stand-in for "no module", which some readers want every location to have. */
    if (!module.limit && !*module.path && !*module.build_id)
        return 0;
    uint32_t index = hp_profile_add_module(reader->profile, &module);
    reader->mapped_functions = hp_grow(reader->mapped_functions, &reader->mapped_capacity, (size_t)index + 1,
                                       sizeof *reader->mapped_functions);
    reader->mapped_functions[index] = has_functions != 0;
    if (!id || hp_map_add(&reader->mapping_ids, id, index) != index)
        return hp_proto_fail(reader, parent->tag, "a mapping without an id of its own");
    return 0;
}

int hp_proto_read_function(struct hp_proto_reader *reader, const struct hp_field *parent)
{
    struct hp_proto_function_names function = {"", "", "", 0};
    uint64_t id = 0, start_line = 0;
    const struct hp_proto_slot slots[] = {
        {HP_FUNCTION_ID, &id},
        {HP_FUNCTION_NAME, NULL, &function.name},
        {HP_FUNCTION_SYSTEM_NAME, NULL, &function.linkage},
        {HP_FUNCTION_FILE, NULL, &function.file},
        {HP_FUNCTION_START_LINE, &start_line},
    };
    int status = hp_proto_fields(reader, parent->bytes, slots, sizeof slots / sizeof *slots);
    if (status)
        return status;
    function.start_line = start_line <= UINT32_MAX ? (uint32_t)start_line : 0;
    if (!*function.name)
        function.name = function.linkage;
    if (strcmp(function.linkage, function.name) == 0)
        function.linkage = "";
    uint32_t index = (uint32_t)reader->function_count;
    reader->functions =
        hp_grow(reader->functions, &reader->function_capacity, reader->function_count + 1, sizeof *reader->functions);
    reader->functions[reader->function_count++] = function;
    if (!id || hp_map_add(&reader->function_ids, id, index) != index)
        return hp_proto_fail(reader, parent->tag, "a function without an id of its own");
    return 0;
}

static int read_line(const struct hp_proto_reader *reader, struct hp_message message, struct hp_line *line)
{
    uint64_t id = 0, number = 0;
    const struct hp_proto_slot slots[] = {{HP_LINE_FUNCTION, &id}, {HP_LINE_LINE, &number}};
    int status = hp_proto_fields(reader, message, slots, sizeof slots / sizeof *slots);
    if (status)
        return status;
    *line = (struct hp_line){.function = "", .linkage = "", .file = ""};
    line->line = number <= UINT32_MAX ? (uint32_t)number : 0;
    if (!id)
        return 0;
    uint32_t index = hp_map_get(&reader->function_ids, id);
    if (index == HP_MAP_NONE)
        return hp_proto_fail(reader, message.next, "a line of a function that is not there");
    line->function = reader->functions[index].name;
    line->linkage = reader->functions[index].linkage;
    line->file = reader->functions[index].file;
    line->start_line = reader->functions[index].start_line;
    return 0;
}

/* Fills in module, offset and whether the names were looked up. */
static void place(const struct hp_proto_reader *reader, uint64_t mapping, struct hp_location *location)
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

int hp_proto_read_location(struct hp_proto_reader *reader, const struct hp_field *parent)
{
    struct hp_location location = {0};
    uint64_t id = 0, mapping = 0;
    struct hp_field field;
    int status;
    struct hp_message message = parent->bytes;
    while (hp_proto_next(reader, &message, &field, &status)) {
        switch (field.number) {
        case HP_LOCATION_ID:
            status = hp_proto_number(reader, &field, &id);
            break;
        case HP_LOCATION_MAPPING:
            status = hp_proto_number(reader, &field, &mapping);
            break;
        case HP_LOCATION_ADDRESS:
            status = hp_proto_number(reader, &field, &location.address);
            break;
        case HP_LOCATION_LINE:
            if (!field.is_bytes)
                return hp_proto_fail(reader, field.tag, "a line was expected");
            if (location.line_count == LINES_MAX)
                return hp_proto_fail(reader, field.tag, "too many lines for one location");
            reader->lines =
                hp_grow(reader->lines, &reader->line_capacity, location.line_count + 1, sizeof *reader->lines);
            status = read_line(reader, field.bytes, &reader->lines[location.line_count++]);
            break;
        }
        if (status)
            return status;
    }
    if (status)
        return status;
    uint32_t index = HP_PROTO_NO_STACK;
    if (location.address || location.line_count != 1 || strcmp(reader->lines[0].function, HP_NO_STACK) != 0) {
        place(reader, mapping, &location);
        location.lines = reader->lines;
        index = hp_profile_append_location(reader->profile, &location);
    }
    if (!id || hp_map_add(&reader->location_ids, id, index) != index)
        return hp_proto_fail(reader, parent->tag, "a location without an id of its own");
    return 0;
}
