#include "profile/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profile/alloc.h"

#define FIRST_BLOCK (1U << 14)
#define BLOCK (1U << 20)
#define PACKED_BLOCK (1U << 16)

int hp_input_error(const struct hp_input *input, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return hp_error_set(input->error, -EINVAL, "%s:%llu: %s", input->name, (unsigned long long)input->line, text);
}

/* Raw bytes of the source. Returns how many, 0 at the end, or -errno. */
static ssize_t read_source(struct hp_input *input, void *buffer, size_t size)
{
    if (input->descriptor < 0) {
        size_t n = size < input->memory_left ? size : input->memory_left;
        if (!n) /* memory may be NULL, then */
            return 0;
        memcpy(buffer, input->memory, n);
        input->memory += n;
        input->memory_left -= n;
        return (ssize_t)n;
    }
    ssize_t n;
    do {
        n = read(input->descriptor, buffer, size);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        int code = -errno;
        return hp_error_set(input->error, code, "%s: cannot read: %s", input->name, strerror(-code));
    }
    return n;
}

static int feed_inflater(struct hp_input *input)
{
    ssize_t n = read_source(input, input->packed, PACKED_BLOCK);
    if (n < 0)
        return (int)n;
    input->inflater.next_in = input->packed;
    input->inflater.avail_in = (unsigned)n;
    input->packed_total += (uint64_t)n;
    return 0;
}

static int packing_error(struct hp_input *input, const char *what)
{
    return hp_error_set(input->error, -EINVAL, "%s: byte %llu of the gzip data: %s", input->name,
                        (unsigned long long)(input->packed_total - input->inflater.avail_in), what);
}

/* Several gzip members one after the other are one file, as for gzip(1). */
static ssize_t unpack(struct hp_input *input, void *buffer, size_t size)
{
    z_stream *inflater = &input->inflater;
    inflater->next_out = buffer;
    inflater->avail_out = (unsigned)size;
    while (inflater->avail_out == size) {
        if (!inflater->avail_in) {
            int status = feed_inflater(input);
            if (status)
                return status;
        }
        if (!inflater->avail_in) {
            if (input->stream_ended)
                return 0;
            return packing_error(input, "the file ends too early; was it copied in full?");
        }
        if (input->stream_ended) {
            inflateReset(inflater);
            input->stream_ended = false;
        }
        int status = inflate(inflater, Z_NO_FLUSH);
        if (status == Z_STREAM_END)
            input->stream_ended = true;
        else if (status == Z_MEM_ERROR)
            return hp_error_set(input->error, -ENOMEM, "%s: no memory to unpack", input->name);
        else if (status != Z_OK && status != Z_BUF_ERROR)
            return packing_error(input, inflater->msg ? inflater->msg : "damaged");
    }
    size_t n = size - inflater->avail_out;
    input->unpacked_total += n;
    if (input->unpacked_total > HP_INPUT_MOST ||
        (input->unpacked_total > HP_INPUT_FREE && input->unpacked_total / HP_INPUT_RATIO > input->packed_total))
        return hp_error_set(input->error, -EFBIG,
                            "%s: unpacks to more than %llu bytes, which no profile does; if it is "
                            "one, gunzip it first",
                            input->name, (unsigned long long)input->unpacked_total);
    return (ssize_t)n;
}

/* Small profiles are many: they get by with a small buffer. */
static int fill(struct hp_input *input)
{
    size_t room = input->capacity < FIRST_BLOCK ? FIRST_BLOCK : BLOCK;
    /* One byte more than is used, for the NUL that ends the last line. */
    input->data = hp_grow(input->data, &input->capacity, input->end + room + 1, 1);
    size_t most = input->capacity - input->end - 1;
    if (most > 1U << 30)
        most = 1U << 30;
    ssize_t n = input->gzip ? unpack(input, input->data + input->end, most)
                            : read_source(input, input->data + input->end, most);
    if (n < 0)
        return (int)n;
    input->at_end = n == 0;
    input->end += (size_t)n;
    return 0;
}

int hp_input_peek(struct hp_input *input, size_t size)
{
    while (!input->at_end && input->end - input->next < size) {
        int status = fill(input);
        if (status)
            return status;
    }
    return 0;
}

/* The packings that are not read, by what their files begin with. */
static int refuse_packing(const struct hp_input *input)
{
    static const struct {
        const char *start, *name, *unpack;
    } packings[] = {{"\x28\xb5\x2f\xfd", "zstd", "zstd"},
                    {"\xfd"
                     "7zXZ",
                     "xz", "xz"},
                    {"BZh", "bzip2", "bzip2"}};
    for (size_t i = 0; i < sizeof packings / sizeof *packings; i++) {
        size_t size = strlen(packings[i].start);
        if (input->end >= size && !memcmp(input->data, packings[i].start, size))
            return hp_error_set(
                input->error, -EINVAL,
                "%s: is compressed by %s; only gzip is read here: '%s -dc FILE | heapprof top -' shows it", input->name,
                packings[i].name, packings[i].unpack);
    }
    return 0;
}

static int start(struct hp_input *input)
{
    int status = hp_input_peek(input, 6);
    if (!status)
        status = refuse_packing(input);
    if (status || input->end < 2 || memcmp(input->data, "\x1f\x8b", 2) != 0)
        return status;
    /* The bytes that were read to find this out are the first packed ones. */
    input->packed = hp_alloc(1, input->end > PACKED_BLOCK ? input->end : PACKED_BLOCK);
    memcpy(input->packed, input->data, input->end);
    input->inflater.next_in = input->packed;
    input->inflater.avail_in = (unsigned)input->end;
    input->packed_total = input->end;
    input->end = 0;
    input->at_end = false;
    if (inflateInit2(&input->inflater, 15 + 16) != Z_OK)
        return hp_error_set(input->error, -ENOMEM, "%s: no memory to unpack", input->name);
    input->gzip = true;
    return 0;
}

int hp_input_open(struct hp_input *input, const char *path, struct hp_error *error)
{
    *input = (struct hp_input){.name = path, .error = error};
    input->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (input->descriptor < 0) {
        int code = -errno;
        return hp_error_set(error, code, "%s: cannot open: %s", path, strerror(-code));
    }
    struct stat status;
    int code = 0;
    if (fstat(input->descriptor, &status) == 0 && S_ISDIR(status.st_mode))
        code = hp_error_set(error, -EISDIR, "%s: is a folder, not a profile", path);
    if (!code)
        code = start(input);
    if (code)
        hp_input_close(input);
    return code;
}

int hp_input_open_memory(struct hp_input *input, const char *name, const void *data, size_t size,
                         struct hp_error *error)
{
    *input = (struct hp_input){.name = name, .error = error, .descriptor = -1, .memory = data, .memory_left = size};
    int code = start(input);
    if (code)
        hp_input_close(input);
    return code;
}

void hp_input_close(struct hp_input *input)
{
    if (input->descriptor >= 0)
        close(input->descriptor);
    if (input->gzip)
        inflateEnd(&input->inflater);
    free(input->packed);
    free(input->data);
    *input = (struct hp_input){.descriptor = -1};
}

int hp_input_line(struct hp_input *input, char **line, size_t *size)
{
    size_t searched = 0;
    char *newline;
    input->line++;
    while (!(newline = input->end > input->next + searched
                           ? memchr(input->data + input->next + searched, '\n', input->end - input->next - searched)
                           : NULL) &&
           !input->at_end) {
        searched = input->end - input->next;
        if (searched > HP_INPUT_LINE_MAX)
            return hp_input_error(input, "a line of more than %u bytes", HP_INPUT_LINE_MAX);
        if (input->next) {
            memmove(input->data, input->data + input->next, searched);
            input->next = 0;
            input->end = searched;
        }
        int status = fill(input);
        if (status)
            return status;
    }
    if (input->next == input->end)
        return 0;
    *line = input->data + input->next;
    char *stop = newline ? newline : input->data + input->end;
    input->next = (size_t)(stop - input->data) + (newline != NULL);
    if (stop > *line && stop[-1] == '\r')
        stop--;
    *stop = '\0';
    *size = (size_t)(stop - *line);
    if (memchr(*line, '\0', *size))
        return hp_input_error(input, "a NUL byte; this is no text");
    return 1;
}

int hp_input_all(struct hp_input *input)
{
    while (!input->at_end) {
        size_t size = input->end - input->next;
        if (size > HP_INPUT_MOST)
            return hp_error_set(input->error, -EFBIG, "%s: more than 8 GiB", input->name);
        int status = fill(input);
        if (status)
            return status;
    }
    return 0;
}
