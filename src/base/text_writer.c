#include "base/text_writer.h"

#include <string.h>

static void flush(struct hp_text *text)
{
    if (!text->error && text->used)
        text->error = text->sink(text->sink_state, text->buffer, text->used);
    text->used = 0;
}

static void put_bytes(struct hp_text *text, const char *data, size_t size)
{
    while (size) {
        if (text->used == HP_TEXT_BUFFER)
            flush(text);
        size_t n = HP_TEXT_BUFFER - text->used;
        if (n > size)
            n = size;
        memcpy(text->buffer + text->used, data, n);
        text->used += n;
        data += n;
        size -= n;
    }
}

static void put_number(struct hp_text *text, uint64_t value, unsigned base)
{
    char digits[20];
    char *p = digits + sizeof digits;
    do {
        *--p = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    put_bytes(text, p, (size_t)(digits + sizeof digits - p));
}

void hp_text_init(struct hp_text *text, hp_sink_fn *sink, void *sink_state, char *buffer)
{
    *text = (struct hp_text){.sink = sink, .sink_state = sink_state, .buffer = buffer};
}

void hp_text_put(struct hp_text *text, const char *string)
{
    put_bytes(text, string, strlen(string));
}

/* Bytes of `c` in a name. */
static size_t escaped_size(unsigned char c)
{
    return c < ' ' || c == 127 || c == '\\' ? 4 : 1;
}

void hp_text_put_name(struct hp_text *text, const char *string)
{
    static const char cut[] = "...";
    size_t left = HP_TEXT_NAME_MAX - (sizeof cut - 1);
    for (; *string; string++) {
        unsigned char c = (unsigned char)*string;
        size_t size = escaped_size(c);
        if (size > left) {
            hp_text_put(text, cut);
            return;
        }
        left -= size;
        if (size > 1) {
            char octal[4] = {'\\', (char)('0' + (c >> 6)), (char)('0' + (c >> 3 & 7)), (char)('0' + (c & 7))};
            put_bytes(text, octal, sizeof octal);
        } else {
            put_bytes(text, string, 1);
        }
    }
}

void hp_text_put_dec(struct hp_text *text, uint64_t value)
{
    put_number(text, value, 10);
}

void hp_text_put_hex(struct hp_text *text, uint64_t value)
{
    put_number(text, value, 16);
}

void hp_text_line_end(struct hp_text *text)
{
    put_bytes(text, "\n", 1);
}

void hp_text_comment(struct hp_text *text)
{
    put_bytes(text, "# ", 2);
}

static void put_counts(struct hp_text *text, const struct hp_counts *counts)
{
    hp_text_put_dec(text, counts->live_objects);
    hp_text_put(text, ": ");
    hp_text_put_dec(text, counts->live_bytes);
    hp_text_put(text, " [");
    hp_text_put_dec(text, counts->alloc_objects);
    hp_text_put(text, ": ");
    hp_text_put_dec(text, counts->alloc_bytes);
    hp_text_put(text, "] @");
}

void hp_text_header(struct hp_text *text, const struct hp_counts *total, uint64_t interval)
{
    struct hp_counts shown = *total;
    shown.alloc_bytes += total->live_objects == total->alloc_objects && total->live_bytes == total->alloc_bytes;
    hp_text_put(text, "heap profile: ");
    put_counts(text, &shown);
    if (interval == 1) {
        hp_text_put(text, " heapprofile");
    } else {
        hp_text_put(text, " heap_v2/");
        hp_text_put_dec(text, interval);
    }
    hp_text_line_end(text);
}

/* The eight hexadecimal digits of `value`, first one in the lowest byte: each digit gets a byte of its own, and those
 * above 9 the distance from '9' + 1 to 'a'. */
static uint64_t hex_digits(uint32_t value)
{
    uint64_t digits = value;
    digits = (digits << 16 | digits) & 0x0000ffff0000ffff;
    digits = (digits << 8 | digits) & 0x00ff00ff00ff00ff;
    digits = (digits << 4 | digits) & 0x0f0f0f0f0f0f0f0f;
    uint64_t letters = (digits + 0x0606060606060606) >> 4 & 0x0101010101010101;
    return __builtin_bswap64(digits + 0x3030303030303030 + letters * ('a' - '9' - 1));
}

/* All at once, not digit by digit: a profile consists of these nearly alone. */
static void put_address(struct hp_text *text, uint64_t address)
{
    const unsigned count = (unsigned)(63 - __builtin_clzll(address | 1)) / 4 + 1;
    const uint64_t shifted = address << (64 - 4 * count); /* the first digit to the front */
    const uint64_t digits[2] = {hex_digits((uint32_t)(shifted >> 32)), hex_digits((uint32_t)shifted)};
    if (HP_TEXT_BUFFER - text->used < 3 + sizeof digits)
        flush(text);
    char *p = text->buffer + text->used;
    memcpy(p, " 0x", 3);
    memcpy(p + 3, digits, sizeof digits);
    text->used += 3 + count;
}

void hp_text_entry(struct hp_text *text, const struct hp_counts *counts, const uint64_t *addresses, size_t depth)
{
    /* " 0x" and 16 digits an address; the counters take at most 4 * 20 digits and 8 more. */
    const size_t most = (HP_TEXT_LINE_MAX - 128) / 19;
    put_counts(text, counts);
    for (size_t i = 0; i < depth && i < most; i++)
        put_address(text, addresses[i]);
    hp_text_line_end(text);
}

void hp_text_drawn(struct hp_text *text, const struct hp_counts *drawn, uint64_t interval)
{
    hp_text_put(text, "# heapprof.drawn = ");
    put_counts(text, drawn);
    hp_text_put(text, " ");
    hp_text_put_dec(text, interval);
    hp_text_line_end(text);
}

void hp_text_frame(struct hp_text *text, uint64_t pc, const char *function, uint64_t offset, const char *file,
                   unsigned line)
{
    hp_text_put(text, "#\t0x");
    hp_text_put_hex(text, pc);
    hp_text_put(text, "\t");
    hp_text_put_name(text, function);
    hp_text_put(text, "+0x");
    hp_text_put_hex(text, offset);
    hp_text_put(text, "\t");
    if (file) {
        hp_text_put_name(text, file);
        hp_text_put(text, ":");
        hp_text_put_dec(text, line);
    }
    hp_text_line_end(text);
}

void hp_text_blank(struct hp_text *text)
{
    hp_text_line_end(text);
}

void hp_text_fact(struct hp_text *text, const char *name, uint64_t value)
{
    hp_text_comment(text);
    hp_text_put(text, name);
    hp_text_put(text, " = ");
    hp_text_put_dec(text, value);
    hp_text_line_end(text);
}

void hp_text_fact_string(struct hp_text *text, const char *name, const char *value)
{
    hp_text_comment(text);
    hp_text_put(text, name);
    hp_text_put(text, " = ");
    hp_text_put_name(text, value);
    hp_text_line_end(text);
}

void hp_text_module(struct hp_text *text, uint64_t start, const char *build_id)
{
    hp_text_put(text, "# heapprof.module = 0x");
    hp_text_put_hex(text, start);
    hp_text_put(text, " ");
    hp_text_put(text, build_id);
    hp_text_line_end(text);
}

void hp_text_maps_begin(struct hp_text *text)
{
    hp_text_put(text, "MAPPED_LIBRARIES:\n");
}

void hp_text_map(struct hp_text *text, uint64_t start, uint64_t limit, uint64_t offset, const char *path)
{
    hp_text_put_hex(text, start);
    hp_text_put(text, "-");
    hp_text_put_hex(text, limit);
    hp_text_put(text, " r-xp ");
    char padded[8];
    for (unsigned i = 0; i < 8; i++)
        padded[i] = "0123456789abcdef"[offset >> (28 - 4 * i) & 15];
    if (offset >> 32)
        hp_text_put_hex(text, offset >> 32);
    put_bytes(text, padded, sizeof padded);
    hp_text_put(text, " 00:00 0 ");
    hp_text_put_name(text, path);
    hp_text_line_end(text);
}

int hp_text_end(struct hp_text *text)
{
    flush(text);
    return text->error;
}
