#include "report/core/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/core/memory.h"

#define LARGEST (64 << 20)

static char *read_text(const char *path, size_t *size, int64_t *time_ns)
{
    /* Not blocking: what a profile names may be a FIFO. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0)
        return NULL;
    struct stat status;
    char *text = NULL;
    *size = 0;
    if (!fstat(descriptor, &status) && S_ISREG(status.st_mode) && status.st_size <= LARGEST) {
        size_t most = (size_t)status.st_size;
        text = hp_alloc(most + 1, 1);
        ssize_t part;
        while (*size < most && (part = read(descriptor, text + *size, most - *size)) > 0)
            *size += (size_t)part;
        *time_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    }
    close(descriptor);
    return text;
}

static void split(struct hp_source *source, size_t size)
{
    size_t capacity = 0;
    char *end = source->text + size;
    for (char *line = source->text; line < end;) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        source->lines = hp_grow(source->lines, &capacity, source->line_count + 1, sizeof *source->lines);
        source->lines[source->line_count++] = line;
        if (!newline)
            break;
        *newline = 0;
        if (newline > line && newline[-1] == '\r')
            newline[-1] = 0;
        line = newline + 1;
    }
}

static bool try(struct hp_source *source, const char *path)
{
    size_t size;
    source->text = read_text(path, &size, &source->time_ns);
    if (!source->text)
        return false;
    source->path = hp_strdup(path);
    split(source, size);
    return true;
}

/* What is behind the next slash; NULL if there is none. */
static const char *next_part(const char *path)
{
    const char *slash = strchr(path, '/');
    return slash ? slash + 1 : NULL;
}

/* A profile from elsewhere must not lead out of the folder; the rest behind a ".." may be in it. */
static bool climbs(const char *file)
{
    const char *part = file;
    do {
        if (!strncmp(part, "..", 2) && (part[2] == '/' || !part[2]))
            return true;
        part = next_part(part);
    } while (part);
    return false;
}

static bool try_folder(struct hp_source *source, const char *folder, const char *file)
{
    const char *tail = file;
    bool found = false;
    do {
        char *path = hp_print("%s/%s", folder, tail);
        found = *tail && *tail != '/' && !climbs(tail) && try(source, path);
        free(path);
        tail = next_part(tail);
    } while (tail && !found);
    return found;
}

bool hp_source_read(struct hp_source *source, const char *file, const char *const *directories, size_t directory_count)
{
    *source = (struct hp_source){0};
    for (size_t i = 0; i < directory_count; i++)
        if (try_folder(source, directories[i], file))
            return true;
    return *file == '/' && try(source, file);
}

char *hp_source_tabs(const char *line)
{
    char *result = hp_alloc(4 * strlen(line) + 1, 1), *out = result;
    for (size_t column = 0; *line; line++, column++) {
        if (*line != '\t') {
            *out++ = *line;
            continue;
        }
        do
            *out++ = ' ';
        while (++column % 4);
        column--;
    }
    *out = 0;
    return result;
}

void hp_source_free(struct hp_source *source)
{
    free(source->path);
    free(source->text);
    free(source->lines);
    *source = (struct hp_source){0};
}
