/* proto.h - as much of the protocol buffers' wire format as profile.proto needs.
 *
 * A message is a sequence of fields: a varint tag (number << 3 | wire type) and a value. Field
 * numbers of profile.proto (github.com/google/pprof/proto/profile.proto) are the enums below.
 */
#ifndef HP_PROFILE_PROTO_H
#define HP_PROFILE_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hp_proto_profile {
    HP_PROFILE_SAMPLE_TYPE = 1,
    HP_PROFILE_SAMPLE = 2,
    HP_PROFILE_MAPPING = 3,
    HP_PROFILE_LOCATION = 4,
    HP_PROFILE_FUNCTION = 5,
    HP_PROFILE_STRING = 6,
    HP_PROFILE_TIME_NANOS = 9,
    HP_PROFILE_DURATION_NANOS = 10,
    HP_PROFILE_PERIOD_TYPE = 11,
    HP_PROFILE_PERIOD = 12,
    HP_PROFILE_COMMENT = 13,
    HP_PROFILE_DEFAULT_TYPE = 14,
};
enum hp_proto_value_type { HP_VALUE_TYPE = 1, HP_VALUE_UNIT = 2 };
enum hp_proto_sample { HP_SAMPLE_LOCATION = 1, HP_SAMPLE_VALUE = 2, HP_SAMPLE_LABEL = 3 };
enum hp_proto_label { HP_LABEL_KEY = 1, HP_LABEL_STRING = 2, HP_LABEL_NUMBER = 3, HP_LABEL_UNIT = 4 };
enum hp_proto_mapping {
    HP_MAPPING_ID = 1,
    HP_MAPPING_START = 2,
    HP_MAPPING_LIMIT = 3,
    HP_MAPPING_OFFSET = 4,
    HP_MAPPING_FILE = 5,
    HP_MAPPING_BUILD_ID = 6,
    HP_MAPPING_HAS_FUNCTIONS = 7,
    HP_MAPPING_HAS_INLINE_FRAMES = 10,
};
enum hp_proto_location {
    HP_LOCATION_ID = 1,
    HP_LOCATION_MAPPING = 2,
    HP_LOCATION_ADDRESS = 3,
    HP_LOCATION_LINE = 4,
};
enum hp_proto_line { HP_LINE_FUNCTION = 1, HP_LINE_LINE = 2 };
enum hp_proto_function {
    HP_FUNCTION_ID = 1,
    HP_FUNCTION_NAME = 2,
    HP_FUNCTION_SYSTEM_NAME = 3,
    HP_FUNCTION_FILE = 4,
    HP_FUNCTION_START_LINE = 5,
};

/* Reading. Zero-copy: fields point into the message. */
struct hp_message {
    const unsigned char *next, *end;
};

struct hp_field {
    unsigned number;
    bool is_bytes;            /* then `bytes`, otherwise `value` */
    uint64_t value;           /* varint or fixed */
    struct hp_message bytes;  /* a string, a message, or packed numbers */
    const unsigned char *tag; /* where it begins */
};

/* The next field: 1; 0: the message is over; -1: damaged, message->next is where. */
int hp_message_next(struct hp_message *message, struct hp_field *field);
/* The next number of a repeated field, packed or not: call with the field until it returns 0; -1:
 * damaged. */
int hp_field_number(struct hp_field *field, uint64_t *number);

/* Writing. Zero-filled is empty; free `data`. */
struct hp_buffer {
    unsigned char *data;
    size_t size, capacity;
};

void hp_put_varint(struct hp_buffer *buffer, uint64_t value);
void hp_put_number(struct hp_buffer *buffer, unsigned field, uint64_t value); /* none if 0, the default */
void hp_put_bytes(struct hp_buffer *buffer, unsigned field, const void *data, size_t size);
void hp_put_message(struct hp_buffer *buffer, unsigned field, const struct hp_buffer *message);

#endif
