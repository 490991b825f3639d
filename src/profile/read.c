#include "profile/read.h"

#include <errno.h>
#include <string.h>

#include "profile/scan.h"

#define HEAD_SIZE 64

typedef int reader_fn(struct hp_input *input, struct hp_profile *profile);

/* No profile.proto begins with so many bytes that could be text: the tags and sizes of its first
 * messages could not. */
static bool is_plain_text(const struct hp_input *input)
{
    for (size_t i = input->next; i < input->end && i < input->next + HEAD_SIZE; i++) {
        unsigned char c = (unsigned char)input->data[i];
        if (c >= 127 || (c < ' ' && !strchr("\t\n\r", c)))
            return false;
    }
    return true;
}

/* Text profiles tell themselves by their first words. profile.proto has no magic number, but its
 * first byte is the tag of one of its 14 fields. */
static reader_fn *recognize(const struct hp_input *input)
{
    const char *data = input->data + input->next;
    size_t size = input->end - input->next;
    const char *end = data + size;
    while (data < end && (*data == ' ' || *data == '\n' || *data == '\r'))
        data++;
    size = (size_t)(end - data);
    if (size >= 13 && memcmp(data, "heap profile:", 13) == 0)
        return hp_read_text;
    if (size >= 8 && memcmp(data, "heap_v2/", 8) == 0)
        return hp_read_jemalloc;
    unsigned char tag = (unsigned char)input->data[input->next];
    if (!is_plain_text(input) && (tag & 7) <= 2 && tag >> 3 >= 1 && tag >> 3 <= 14)
        return hp_read_proto;
    return NULL;
}

static int read_input(struct hp_input *input, struct hp_profile **profile)
{
    int status = hp_input_peek(input, HEAD_SIZE);
    if (status)
        return status;
    if (input->next == input->end)
        return hp_error_set(input->error, -EINVAL, "%s: is empty", input->name);
    reader_fn *reader = recognize(input);
    if (!reader)
        return hp_error_set(input->error, -EINVAL,
                            "%s: is no heap profile (neither heapprof's, Go's, gperftools' or "
                            "jemalloc's text nor profile.proto)",
                            input->name);
    struct hp_profile *fresh = hp_profile_new(input->name);
    status = reader(input, fresh);
    if (status) {
        hp_profile_free(fresh);
        return status;
    }
    *profile = fresh;
    return 0;
}

int hp_profile_read(const char *path, struct hp_profile **profile, struct hp_error *error)
{
    struct hp_input input;
    int status = hp_input_open(&input, path, error);
    if (status)
        return status;
    status = read_input(&input, profile);
    hp_input_close(&input);
    return status;
}

int hp_profile_read_memory(const char *name, const void *data, size_t size, struct hp_profile **profile,
                           struct hp_error *error)
{
    struct hp_input input;
    int status = hp_input_open_memory(&input, name, data, size, error);
    if (status)
        return status;
    status = read_input(&input, profile);
    hp_input_close(&input);
    return status;
}
