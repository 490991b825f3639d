/* cfi_cursor.h - reading the numbers of unwind tables. Shared by the files that read .eh_frame. */
#ifndef HP_PRELOAD_CFI_CURSOR_H
#define HP_PRELOAD_CFI_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Pointer encodings (LSB 10.5.1). */
enum {
    HP_PE_ABSPTR = 0x00,
    HP_PE_ULEB128 = 0x01,
    HP_PE_UDATA2,
    HP_PE_UDATA4,
    HP_PE_UDATA8,
    HP_PE_SLEB128 = 0x09,
    HP_PE_SDATA2,
    HP_PE_SDATA4,
    HP_PE_SDATA8,
    HP_PE_PCREL = 0x10,
    HP_PE_DATAREL = 0x30,
    HP_PE_OMIT = 0xff
};

/* A place to read from; after a read beyond `end` it is at the end, and all further reads give 0. */
struct hp_cursor {
    const uint8_t *at, *end;
    bool bad;
};

static inline uint64_t hp_read_beyond(struct hp_cursor *cursor)
{
    cursor->at = cursor->end;
    cursor->bad = true;
    return 0;
}

/* Inline, so that `size` is a constant: a program's first samples spend most of their time here. */
static inline __attribute__((always_inline)) uint64_t hp_read_fixed(struct hp_cursor *cursor, unsigned size)
{
    uint64_t value = 0;
    if ((size_t)(cursor->end - cursor->at) < size)
        return hp_read_beyond(cursor);
    memcpy(&value, cursor->at, size);
    cursor->at += size;
    return value;
}

static inline uint8_t hp_read_byte(struct hp_cursor *cursor)
{
    return (uint8_t)hp_read_fixed(cursor, 1);
}

static __attribute__((noinline)) uint64_t hp_read_long_uleb(struct hp_cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = hp_read_byte(cursor);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
}

/* Nearly all are one byte long. */
static inline uint64_t hp_read_uleb(struct hp_cursor *cursor)
{
    return cursor->at < cursor->end && *cursor->at < 0x80 ? *cursor->at++ : hp_read_long_uleb(cursor);
}

static inline int64_t hp_read_sleb(struct hp_cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0;;) {
        uint8_t byte = hp_read_byte(cursor);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80)) {
            if (shift < 64 && byte & 0x40)
                value |= ~0ull << shift;
            return (int64_t)value;
        }
    }
}

static inline uintptr_t hp_read_encoded(struct hp_cursor *cursor, uint8_t encoding)
{
    uintptr_t here = (uintptr_t)cursor->at, value;
    switch (encoding & 0x0f) {
    case HP_PE_ABSPTR:
    case HP_PE_UDATA8:
    case HP_PE_SDATA8:
        value = hp_read_fixed(cursor, 8);
        break;
    case HP_PE_ULEB128:
        value = hp_read_uleb(cursor);
        break;
    case HP_PE_SLEB128:
        value = (uintptr_t)hp_read_sleb(cursor);
        break;
    case HP_PE_UDATA2:
        value = hp_read_fixed(cursor, 2);
        break;
    case HP_PE_SDATA2:
        value = (uintptr_t)(int16_t)hp_read_fixed(cursor, 2);
        break;
    case HP_PE_UDATA4:
        value = hp_read_fixed(cursor, 4);
        break;
    case HP_PE_SDATA4:
        value = (uintptr_t)(int32_t)hp_read_fixed(cursor, 4);
        break;
    default:
        cursor->bad = true;
        return 0;
    }
    return (encoding & 0x70) == HP_PE_PCREL ? value + here : value;
}

static inline void hp_skip(struct hp_cursor *cursor, uint64_t size)
{
    if (size > (uint64_t)(cursor->end - cursor->at))
        hp_read_beyond(cursor);
    else
        cursor->at += size;
}

#endif
