/* proto_reader.h - what the two halves of the reader of profile.proto share: read_proto.c the file
 * and its samples, read_code.c mappings, functions and locations.
 *
 * All functions return 0 or -EINVAL with the input's error set.
 */
#ifndef HP_PROFILE_PROTO_READER_H
#define HP_PROFILE_PROTO_READER_H

#include "profile/proto.h"
#include "profile/read.h"
#include "profile/restore.h"

struct hp_proto_function_names {
    const char *name, *linkage, *file;
    uint32_t start_line;
};

/* The location that stands for no stack (HP_NO_STACK); profiles have none of this index. */
#define HP_PROTO_NO_STACK (HP_MAP_NONE - 1)

struct hp_proto_reader {
    struct hp_input *input;
    struct hp_profile *profile;
    const unsigned char *start;
    struct hp_message file;
    const char **strings;
    size_t string_count, string_capacity;
    struct hp_proto_type {
        uint64_t name, unit; /* string indices */
    } * types;
    size_t type_count, type_capacity;
    uint64_t default_type, period;
    struct hp_proto_function_names *functions;
    size_t function_count, function_capacity;
    bool *mapped_functions; /* has_functions, by module */
    size_t mapped_capacity;
    struct hp_map function_ids, mapping_ids, location_ids; /* from the file's ids to indices, or HP_PROTO_NO_STACK */
    struct hp_line *lines;                                 /* of the location being read */
    size_t line_capacity;
    struct hp_stack_buffer stack;
    uint64_t *values;
    size_t value_count, value_capacity;
    struct hp_restorer restorer;
};

/* Where a field that is not repeated goes: one of the two. */
struct hp_proto_slot {
    unsigned field;
    uint64_t *number;
    const char **string;
};

/* An error at a byte of the file. */
int hp_proto_fail(const struct hp_proto_reader *reader, const unsigned char *where, const char *what);
int hp_proto_string(const struct hp_proto_reader *reader, const struct hp_field *field, const char **string);
/* One number of a field that is not repeated. */
int hp_proto_number(const struct hp_proto_reader *reader, const struct hp_field *field, uint64_t *value);
/* For loops over a nested message: whether there is a next field; *status when it is damaged. */
bool hp_proto_next(const struct hp_proto_reader *reader, struct hp_message *message, struct hp_field *field,
                   int *status);
/* A message of nothing but fields that are not repeated. Fields without a slot are passed over. */
int hp_proto_fields(const struct hp_proto_reader *reader, struct hp_message message, const struct hp_proto_slot *slots,
                    size_t count);

int hp_proto_read_mapping(struct hp_proto_reader *reader, const struct hp_field *parent);
int hp_proto_read_function(struct hp_proto_reader *reader, const struct hp_field *parent);
int hp_proto_read_location(struct hp_proto_reader *reader, const struct hp_field *parent);

#endif
