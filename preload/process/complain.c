#include "process/complain.h"

#include <poll.h>
#include <string.h>

#include "base/sys.h"
#include "process/library.h"

/* A line fits into a pipe that is ready, so the write does not wait; and a pipe that nobody reads any more must not end
 * a target that itself never wrote to it. A file is always ready; with RLIMIT_NOFILE 0 ppoll would say nothing of
 * it. */
void hp_say(const char *line, size_t size)
{
    struct pollfd ready = {.fd = 2, .events = POLLOUT};
    struct timespec no_time = {0, 0};
    struct stat status = {0};
    bool is_ours = hp_sys_fstat(2, &status) == 0 && (uint64_t)status.st_dev == hp_library.stderr_file[0] &&
                   (uint64_t)status.st_ino == hp_library.stderr_file[1] && status.st_ino;
    if (!is_ours)
        return;
    if (S_ISREG(status.st_mode) ||
        (hp_syscall(SYS_ppoll, (long)&ready, 1, (long)&no_time, 0, 8, 0) == 1 && ready.revents == POLLOUT))
        hp_sys_write(2, line, size);
}

void hp_complain(const char *const *parts, unsigned count)
{
    char line[1024] = "heapprof: ";
    size_t used = strlen(line);
    for (unsigned i = 0; i < count; i++) {
        for (const char *p = parts[i]; *p && used + 2 < sizeof line; p++)
            line[used++] = *p >= ' ' ? *p : '?';
    }
    line[used++] = '\n';
    hp_say(line, used);
}

const char *hp_error_text(int error)
{
    const char *text = strerrordesc_np(error); /* async-signal-safe, unlike strerror */
    return text ? text : "unknown error";
}
