/* input.h - the bytes of a profile: from a file or memory, unpacked when they are gzip, whole or
 * line by line.
 *
 * Errors: functions return -errno with *error set. Lines and bytes are counted in the unpacked
 * data, but for errors of the packing itself.
 */
#ifndef HP_PROFILE_INPUT_H
#define HP_PROFILE_INPUT_H

#include <zlib.h>

#include "profile/profile.h"

/* No more is unpacked: neither this many bytes, nor, past the first HP_INPUT_FREE, this many times
 * the packed size. */
#define HP_INPUT_MOST (8ULL << 30)
#define HP_INPUT_RATIO 1000
#define HP_INPUT_FREE (64ULL << 20)
#define HP_INPUT_LINE_MAX (1U << 20)

struct hp_input {
    const char *name;
    struct hp_error *error;
    int descriptor; /* -1: memory */
    const unsigned char *memory;
    size_t memory_left;
    bool gzip, stream_ended;
    z_stream inflater;
    unsigned char *packed; /* what inflate reads when the source is a descriptor */
    uint64_t packed_total, unpacked_total;
    char *data; /* unpacked; [next, end) are still to be read */
    size_t next, end, capacity;
    bool at_end;   /* nothing comes after data[end] */
    uint64_t line; /* of the line returned last, from 1 */
};

int hp_input_open(struct hp_input *input, const char *path, struct hp_error *error);
int hp_input_open_memory(struct hp_input *input, const char *name, const void *data, size_t size,
                         struct hp_error *error);
void hp_input_close(struct hp_input *input);

/* At least `size` bytes from `next` on, or all that there are. */
int hp_input_peek(struct hp_input *input, size_t size);
/* The next line, without its newline and with a NUL in its place; the caller may write into it
 * until the next call. Returns 1, 0 at the end, or -errno. */
int hp_input_line(struct hp_input *input, char **line, size_t *size);
/* All that is left: data[next, end). */
int hp_input_all(struct hp_input *input);

/* hp_error_set with "NAME:LINE: " in front. */
int hp_input_error(const struct hp_input *input, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
