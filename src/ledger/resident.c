#include <stdbool.h>
#include <string.h>

#include "ledger/snapshot.h"
#include "ledger/sys.h"

/* glibc's HEAP_MAX_SIZE on 64-bit machines (malloc/arena.c): an arena other than the main one starts at a multiple. */
#define ARENA_ALIGNMENT (64ull << 20)

struct scan {
    bool in_arena;
    uint64_t resident; /* bytes */
};

static bool hex_digit(char c, uint64_t *value)
{
    unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
    if (digit < 16)
        *value = *value << 4 | digit;
    return digit < 16;
}

/* "START-LIMIT rw-p OFFSET MAJOR:MINOR INODE   NAME" */
static bool is_arena(const char *line)
{
    uint64_t start = 0, offset = 0;
    const char *p = line;
    while (hex_digit(*p, &start))
        p++;
    if (strstr(p, "[heap]"))
        return true;
    const char *mode = strchr(p, ' ');
    if (!mode || strncmp(mode, " rw-p ", 6))
        return false;
    p = mode + 6;
    while (hex_digit(*p, &offset))
        p++;
    return start % ARENA_ALIGNMENT == 0 && !strncmp(p, " 00:00 0", 8) && !strpbrk(p, "/[");
}

static void scan_line(struct scan *scan, const char *line)
{
    if (!strncmp(line, "Rss:", 4)) {
        uint64_t kib = 0;
        for (const char *p = line + 4; *p; p++)
            if (*p >= '0' && *p <= '9')
                kib = kib * 10 + (uint64_t)(*p - '0');
        if (scan->in_arena)
            scan->resident += kib * 1024;
    } else if ((line[0] >= '0' && line[0] <= '9') || (line[0] >= 'a' && line[0] <= 'f')) {
        scan->in_arena = is_arena(line);
    }
}

uint64_t hp_arena_resident(int fd, char *buffer, size_t size)
{
    struct scan scan = {0};
    size_t used = 0;
    bool skipping = false; /* the rest of a line that was longer than the buffer */
    for (;;) {
        long n = hp_sys_read(fd, buffer + used, size - 1 - used);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return UINT64_MAX;
        if (n == 0)
            return scan.resident;
        used += (size_t)n;
        buffer[used] = '\0';
        char *line = buffer, *end;
        while ((end = memchr(line, '\n', used - (size_t)(line - buffer)))) {
            *end = '\0';
            if (!skipping)
                scan_line(&scan, line);
            skipping = false;
            line = end + 1;
        }
        used -= (size_t)(line - buffer);
        memmove(buffer, line, used);
        if (used == size - 1) {
            used = 0;
            skipping = true;
        }
    }
}
