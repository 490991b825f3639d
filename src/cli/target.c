#include "cli/target.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/say.h"
#include "cli/verb.h"
#include "reader/reader.h"
#include "profile/alloc.h"

bool hp_number_is_pid(const char *argument, pid_t *pid)
{
    if (!*argument || argument[strspn(argument, "0123456789")])
        return false;
    errno = 0;
    long number = strtol(argument, NULL, 10);
    if (errno || number < 1 || number > INT_MAX)
        return false;
    *pid = (pid_t)number;
    return true;
}

int hp_byte_buffer_sink(void *state, const void *data, size_t size)
{
    struct hp_byte_buffer *buffer = state;
    buffer->data = hp_grow(buffer->data, &buffer->capacity, buffer->size + size, 1);
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return 0;
}

int hp_target_dump(pid_t pid, hp_sink_fn *sink, void *state)
{
    char error[512] = "";
    int status = hp_ledger_dump(pid, sink, state, error, sizeof error);
    if (!status)
        return HP_DONE;
    return *error ? hp_fail("%s", error) : hp_fail("process %d: %s", (int)pid, strerror(-status));
}
