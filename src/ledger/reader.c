#include "ledger/reader.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ledger/sys.h"

struct mapping {
    void *memory;
    size_t size;
    char path[HP_PATH_MAX];
};

static int say(char *error, size_t size, int code, const char *format, ...) __attribute__((format(printf, 4, 5)));

static int say(char *error, size_t size, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, size, format, arguments);
    va_end(arguments);
    return code;
}

/* A file of the process's own user, in a folder of that user, opened without following links. */
static int open_ledger(const char *folder, unsigned uid, pid_t pid, struct mapping *mapping)
{
    struct stat status = {0};
    int length = snprintf(mapping->path, sizeof mapping->path, "%s/heapprof-%u/%d.ledger", folder, uid, (int)pid);
    if (length < 0 || (size_t)length >= sizeof mapping->path)
        return -ENAMETOOLONG;
    int fd = hp_sys_open(mapping->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    int error = hp_sys_fstat(fd, &status);
    if (error == 0 && !S_ISREG(status.st_mode))
        error = -EINVAL;
    if (error == 0 && status.st_uid != uid)
        error = -EPERM;
    mapping->size = (size_t)status.st_size;
    mapping->memory = error == 0 ? hp_sys_mmap(NULL, mapping->size, PROT_READ, MAP_SHARED, fd) : NULL;
    hp_sys_close(fd);
    if (error == 0 && !mapping->memory)
        error = -ENOMEM;
    return error;
}

static int find_ledger(pid_t pid, struct mapping *mapping, char *error, size_t error_size)
{
    char process[32];
    struct stat status = {0};
    snprintf(process, sizeof process, "/proc/%d", (int)pid);
    if (hp_sys_lstat(process, &status) < 0 && kill(pid, 0) < 0 && errno == ESRCH)
        return say(error, error_size, -ESRCH, "process %d: no such process", (int)pid);
    const char *given = getenv("HEAPPROF_LEDGER");
    const char *folders[] = {given && given[0] == '/' ? given : "/dev/shm", "/dev/shm", "/tmp"};
    const unsigned users[] = {status.st_uid, hp_sys_getuid()};
    int worst = -ENOENT;
    for (unsigned i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        for (unsigned j = 0; j < sizeof users / sizeof users[0]; j++) {
            int found = open_ledger(folders[i], users[j], pid, mapping);
            if (found == 0)
                return 0;
            if (found != -ENOENT)
                worst = found;
        }
    }
    if (worst == -ENOENT)
        return say(error, error_size, worst,
                   "process %d has no ledger: it was not started with libheapprof.so (heapprof run), or has no shared "
                   "memory to keep one",
                   (int)pid);
    return say(error, error_size, worst, "process %d: its ledger can't be read: %s", (int)pid, strerror(-worst));
}

static uint64_t max_rss(pid_t pid)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "VmHWM:", 6))
            kib = strtoull(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return kib * 1024;
}

static uint64_t resident(pid_t pid)
{
    char path[64], buffer[16384];
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    int fd = hp_sys_open(path, O_RDONLY, 0);
    if (fd < 0)
        return UINT64_MAX;
    uint64_t bytes = hp_arena_resident(fd, buffer, sizeof buffer);
    hp_sys_close(fd);
    return bytes;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int write_profile(const struct hp_view *view, pid_t pid, hp_sink_fn *sink, void *state)
{
    const struct hp_ledger *ledger = view->ledger;
    struct hp_moment moment = {.time_ns = clock_ns(CLOCK_REALTIME),
                               .clock_ns = clock_ns(CLOCK_MONOTONIC),
                               .max_rss = max_rss(pid),
                               .heap_resident = resident(pid),
                               .sequence = ledger->dump_sequence};
    moment.own_ns = hp_ticks_to_ns(ledger, ledger->audit.own_ticks, hp_ticks(), moment.clock_ns);
    struct hp_text text;
    uint64_t scratch_size = hp_view_scratch_size(view);
    char *memory = hp_sys_mmap(NULL, scratch_size + HP_TEXT_BUFFER, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (!memory)
        return -ENOMEM;
    hp_text_init(&text, sink, state, memory + scratch_size);
    int error = hp_view_write(view, &moment, &text, memory, scratch_size);
    hp_sys_munmap(memory, scratch_size + HP_TEXT_BUFFER);
    return error;
}

int hp_ledger_dump(pid_t pid, hp_sink_fn *sink, void *state, char *error, size_t error_size)
{
    struct mapping mapping = {0};
    struct hp_view view = {0};
    int result = find_ledger(pid, &mapping, error, error_size);
    if (result < 0)
        return result;
    result = hp_view_open(&view, mapping.memory, mapping.size);
    if (result == -EPROTONOSUPPORT)
        say(error, error_size, result, "%s: a ledger of another version of heapprof; use that version's command",
            mapping.path);
    else if (result < 0)
        say(error, error_size, result, "%s: not a ledger, or damaged", mapping.path);
    else if ((result = write_profile(&view, pid, sink, state)) < 0)
        say(error, error_size, result, "process %d: %s", (int)pid, strerror(-result));
    hp_sys_munmap(mapping.memory, mapping.size);
    return result;
}
