#include "symbolize/perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbolize/strings.h"

#define MOST_BYTES (256u << 20)
#define MOST_NAME 4096

struct entry {
    const char *name;
    uint64_t start, limit;
};

struct hp_perf_map {
    struct hp_strings strings;
    struct entry *entries; /* in the file's order */
    size_t count, capacity;
    uint32_t *order; /* sorted by start; those of equal starts: the last line only */
    size_t order_count;
};

static void add_line(struct hp_perf_map *map, const char *line)
{
    char *end;
    errno = 0;
    uint64_t start = strtoull(line, &end, 16);
    if (end == line || *end != ' ' || errno)
        return;
    line = end + 1;
    uint64_t size = strtoull(line, &end, 16);
    if (end == line || *end != ' ' || errno || !end[1] || !size || start + size < start)
        return;
    map->entries = hp_symbol_grow(map->entries, map->count, &map->capacity, sizeof *map->entries);
    map->entries[map->count++] = (struct entry){
        hp_strings_intern_bytes(&map->strings, end + 1, strnlen(end + 1, MOST_NAME)), start, start + size};
}

static int by_start(const void *a, const void *b, void *state)
{
    const struct entry *entries = state;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    if (entries[left].start != entries[right].start)
        return entries[left].start < entries[right].start ? -1 : 1;
    return (left > right) - (left < right);
}

static void sort(struct hp_perf_map *map)
{
    map->order = hp_symbol_realloc(NULL, map->count + 1, sizeof *map->order);
    for (size_t i = 0; i < map->count; i++)
        map->order[i] = (uint32_t)i;
    qsort_r(map->order, map->count, sizeof *map->order, by_start, map->entries);
    for (size_t i = 0; i < map->count; i++) {
        if (map->order_count &&
            map->entries[map->order[map->order_count - 1]].start == map->entries[map->order[i]].start)
            map->order_count--;
        map->order[map->order_count++] = map->order[i];
    }
}

static void read_lines(struct hp_perf_map *map, FILE *file)
{
    char *line = NULL;
    size_t capacity = 0, total = 0;
    ssize_t size;
    while (total < MOST_BYTES && (size = getline(&line, &capacity, file)) > 0) {
        total += (size_t)size;
        if (line[size - 1] == '\n')
            line[size - 1] = 0;
        add_line(map, line);
    }
    free(line);
}

struct hp_perf_map *hp_perf_map_read(const char *path, int64_t not_before_ns)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    struct stat status;
    FILE *file = NULL;
    if (descriptor < 0)
        return NULL;
    if (!fstat(descriptor, &status) && S_ISREG(status.st_mode) && status.st_size <= MOST_BYTES &&
        (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec >= not_before_ns)
        file = fdopen(descriptor, "r");
    if (!file) {
        close(descriptor);
        return NULL;
    }
    struct hp_perf_map *map = hp_symbol_realloc(NULL, 1, sizeof *map);
    *map = (struct hp_perf_map){0};
    read_lines(map, file);
    fclose(file);
    sort(map);
    return map;
}

void hp_perf_map_free(struct hp_perf_map *map)
{
    if (!map)
        return;
    hp_strings_free(&map->strings);
    free(map->entries);
    free(map->order);
    free(map);
}

/* Code that was thrown away may reach into what was put in its place: the nearest start counts. */
const char *hp_perf_map_find(const struct hp_perf_map *map, uint64_t address, uint64_t *entry)
{
    size_t low = 0, high = map->order_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->entries[map->order[middle]].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low)
        return NULL;
    const struct entry *found = &map->entries[map->order[low - 1]];
    if (address >= found->limit)
        return NULL;
    *entry = found->start;
    return found->name;
}
