/* The end of all text profiles: the memory map of the process. */
#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"
#include "profile/read.h"
#include "profile/scan.h"

#define PATH_SIZE_MAX 65536
#define SUBSTITUTIONS_MAX 256 /* each path that begins with '$' is compared with all */

/* `build=/path` lines: gperftools lets later lines say $build instead. */
struct substitutions {
    struct {
        char *name, *value;
    } * pairs;
    size_t count, capacity;
};

bool hp_is_maps_start(const char *line)
{
    static const char *const starts[] = {"MAPPED_LIBRARIES:", "--- Memory map: ---", "Memory map:"};
    hp_scan_spaces(&line);
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(line, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static bool add_substitution(struct substitutions *all, const char *line)
{
    const char *equals = strchr(line, '=');
    if (!equals || equals == line)
        return false;
    for (const char *p = line; p < equals; p++)
        if (*p == ' ' || *p == '/')
            return false;
    if (all->count == SUBSTITUTIONS_MAX)
        return false;
    all->pairs = hp_grow(all->pairs, &all->capacity, all->count + 1, sizeof *all->pairs);
    char *name = hp_alloc((size_t)(equals - line) + 1, 1);
    memcpy(name, line, (size_t)(equals - line));
    char *value = hp_alloc(strlen(equals), 1);
    memcpy(value, equals + 1, strlen(equals));
    all->pairs[all->count].name = name;
    all->pairs[all->count++].value = value;
    return true;
}

/* Only a leading $name: nothing else is ever written, and a path may well contain a '$'. */
static int substitute(struct hp_input *input, const struct substitutions *all, const char *path, char **result)
{
    for (size_t i = all->count; *path == '$' && i-- > 0;) {
        const char *name = all->pairs[i].name, *value = all->pairs[i].value;
        size_t size = strlen(name);
        if (strncmp(path + 1, name, size) != 0 || (path[1 + size] && path[1 + size] != '/'))
            continue;
        size_t rest = strlen(path + 1 + size), value_size = strlen(value);
        if (rest + value_size >= PATH_SIZE_MAX)
            return hp_input_error(input, "a path of more than %d bytes", PATH_SIZE_MAX);
        *result = hp_alloc(value_size + rest + 1, 1);
        memcpy(*result, value, value_size);
        memcpy(*result + value_size, path + 1 + size, rest);
        return 0;
    }
    *result = hp_alloc(strlen(path) + 1, 1);
    memcpy(*result, path, strlen(path));
    return 0;
}

struct map_line {
    uint64_t start, limit, offset;
    bool executable;
    const char *path;
};

/* `start-limit perms offset major:minor inode path`, as in /proc/PID/maps, or `start-limit: path
 * (@offset)`. */
static bool parse_map(char *line, struct map_line *map)
{
    const char *p = line;
    hp_scan_spaces(&p);
    if (!hp_scan_hex(&p, &map->start) || !hp_scan_char(&p, '-') || !hp_scan_hex(&p, &map->limit))
        return false;
    if (hp_scan_char(&p, ':')) {
        hp_scan_spaces(&p);
        map->path = p;
        map->executable = true;
        map->offset = 0;
        char *mark = strstr(line + (p - line), " (@");
        if (mark) {
            const char *digits = mark + 3;
            if (!hp_scan_hex(&digits, &map->offset) || *digits != ')')
                return false;
            *mark = '\0';
        }
        return true;
    }
    if (*p != ' ' && *p != '\t')
        return false;
    hp_scan_spaces(&p);
    size_t permissions = strspn(p, "rwxps-");
    if (permissions < 3)
        return false;
    map->executable = memchr(p, 'x', permissions) != NULL;
    p += permissions;
    hp_scan_spaces(&p);
    uint64_t ignored;
    if (!hp_scan_hex(&p, &map->offset))
        return false;
    hp_scan_spaces(&p);
    if (!hp_scan_hex(&p, &ignored) || !hp_scan_char(&p, ':') || !hp_scan_hex(&p, &ignored))
        return false;
    hp_scan_spaces(&p);
    if (!hp_scan_dec(&p, &ignored))
        return false;
    hp_scan_spaces(&p);
    map->path = p;
    return true;
}

static size_t without_deleted(const char *path, size_t size)
{
    static const char suffix[] = " (deleted)";
    const size_t suffix_size = sizeof suffix - 1;
    if (size > suffix_size && memcmp(path + size - suffix_size, suffix, suffix_size) == 0)
        size -= suffix_size;
    return size;
}

static int add_map(struct hp_input *input, struct hp_profile *profile, const struct hp_build_ids *build_ids,
                   const struct substitutions *all, const struct map_line *map)
{
    char *path = NULL;
    int status = substitute(input, all, map->path, &path);
    if (!path)
        return status;
    size_t size = hp_unescape(path, without_deleted(path, strlen(path)));
    uint32_t id = hp_map_get(&build_ids->by_start, map->start);
    hp_profile_add_module(profile, &(struct hp_module){
                                       .start = map->start,
                                       .limit = map->limit,
                                       .offset = map->offset,
                                       .path = hp_profile_intern_bytes(profile, path, size),
                                       .build_id = id == HP_MAP_NONE ? "" : build_ids->ids[id],
                                   });
    free(path);
    return 0;
}

static int read_line(struct hp_input *input, struct hp_profile *profile, const struct hp_build_ids *build_ids,
                     struct substitutions *all, char *line)
{
    const char *p = line;
    hp_scan_spaces(&p);
    if (!*p || *p == '#' || hp_is_maps_start(p))
        return 0;
    struct map_line map;
    if (parse_map(line, &map)) {
        if (map.start >= map.limit)
            return hp_input_error(input, "a mapping that ends before it starts");
        return map.executable ? add_map(input, profile, build_ids, all, &map) : 0;
    }
    if (add_substitution(all, p))
        return 0;
    return hp_input_error(input, "not a line of a memory map: %.60s", line);
}

int hp_read_maps(struct hp_input *input, struct hp_profile *profile, const struct hp_build_ids *build_ids)
{
    struct substitutions all = {0};
    char *line;
    size_t size;
    int status;
    while ((status = hp_input_line(input, &line, &size)) == 1) {
        status = read_line(input, profile, build_ids, &all, line);
        if (status)
            break;
    }
    for (size_t i = 0; i < all.count; i++) {
        free(all.pairs[i].name);
        free(all.pairs[i].value);
    }
    free(all.pairs);
    if (!status)
        hp_profile_resolve_modules(profile);
    return status;
}
