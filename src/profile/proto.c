#include "profile/proto.h"

#include <string.h>

#include "profile/alloc.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static bool take_varint(struct hp_message *message, uint64_t *value)
{
    uint64_t sum = 0;
    const unsigned char *p = message->next;
    for (unsigned shift = 0; shift < 64 && p < message->end; shift += 7) {
        unsigned char byte = *p++;
        sum |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) {
            *value = sum;
            message->next = p;
            return true;
        }
    }
    return false;
}

static bool take_fixed(struct hp_message *message, size_t size, uint64_t *value)
{
    if ((size_t)(message->end - message->next) < size)
        return false;
    *value = 0;
    for (size_t i = 0; i < size; i++)
        *value |= (uint64_t)message->next[i] << (8 * i);
    message->next += size;
    return true;
}

int hp_message_next(struct hp_message *message, struct hp_field *field)
{
    if (message->next == message->end)
        return 0;
    *field = (struct hp_field){.tag = message->next};
    uint64_t tag;
    if (!take_varint(message, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return -1;
    field->number = (unsigned)(tag >> 3);
    switch (tag & 7) {
    case WIRE_VARINT:
        return take_varint(message, &field->value) ? 1 : -1;
    case WIRE_64:
        return take_fixed(message, 8, &field->value) ? 1 : -1;
    case WIRE_32:
        return take_fixed(message, 4, &field->value) ? 1 : -1;
    case WIRE_BYTES: {
        uint64_t size;
        if (!take_varint(message, &size) || size > (uint64_t)(message->end - message->next))
            return -1;
        field->is_bytes = true;
        field->bytes = (struct hp_message){message->next, message->next + size};
        message->next += size;
        return 1;
    }
    default: /* groups, long out of use */
        return -1;
    }
}

int hp_field_number(struct hp_field *field, uint64_t *number)
{
    if (!field->is_bytes) {
        *number = field->value;
        field->is_bytes = true; /* the one number is taken: what is left is an empty packed field */
        field->bytes = (struct hp_message){NULL, NULL};
        return 1;
    }
    if (field->bytes.next == field->bytes.end)
        return 0;
    return take_varint(&field->bytes, number) ? 1 : -1;
}

static unsigned char *extend(struct hp_buffer *buffer, size_t size)
{
    buffer->data = hp_grow(buffer->data, &buffer->capacity, buffer->size + size, 1);
    return buffer->data + buffer->size;
}

void hp_put_varint(struct hp_buffer *buffer, uint64_t value)
{
    unsigned char *start = extend(buffer, 10), *p = start;
    for (; value > 127; value >>= 7)
        *p++ = (unsigned char)(value | 128);
    *p++ = (unsigned char)value;
    buffer->size += (size_t)(p - start);
}

void hp_put_number(struct hp_buffer *buffer, unsigned field, uint64_t value)
{
    if (!value)
        return;
    hp_put_varint(buffer, field << 3 | WIRE_VARINT);
    hp_put_varint(buffer, value);
}

void hp_put_bytes(struct hp_buffer *buffer, unsigned field, const void *data, size_t size)
{
    hp_put_varint(buffer, field << 3 | WIRE_BYTES);
    hp_put_varint(buffer, size);
    unsigned char *to = extend(buffer, size);
    if (size)
        memcpy(to, data, size);
    buffer->size += size;
}

void hp_put_message(struct hp_buffer *buffer, unsigned field, const struct hp_buffer *message)
{
    hp_put_bytes(buffer, field, message->data, message->size);
}
