#include "report/core/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report/core/memory.h"

#define LARGEST (64 << 20)

void hp_source_rules_owner(struct hp_source_rules *rules, unsigned owner)
{
    for (size_t i = 0; i < rules->owner_count; i++)
        if (rules->owners[i] == owner)
            return;
    rules->owners = hp_grow(rules->owners, &rules->owner_capacity, rules->owner_count + 1, sizeof *rules->owners);
    rules->owners[rules->owner_count++] = owner;
}

void hp_source_rules_free(struct hp_source_rules *rules)
{
    free(rules->owners);
    hp_names_free(&rules->left_out);
    *rules = (struct hp_source_rules){0};
}

/* ------------------------------------------------------------------ what may be shown */

/* What a thread may do with files. */
struct rights {
    uid_t user;
    gid_t group;
    gid_t *groups;
    int group_count;
};

/* The kernel says what a user may read, if it is asked with the user's rights. Those in which the user's groups would
 * come in are left out: only what all can read, or the user alone, is known to be the user's. As system calls, because
 * those of libc are for all threads. */
static bool take_rights(struct rights *before, uid_t user)
{
    const gid_t nobody = 65534;
    before->group_count = getgroups(0, NULL);
    before->groups = hp_alloc((size_t)before->group_count + 1, sizeof *before->groups);
    before->group_count = getgroups(before->group_count, before->groups);
    before->group = (gid_t)setfsgid(nobody);
    before->user = (uid_t)setfsuid(user);
    return before->group_count >= 0 && !syscall(SYS_setgroups, 0, NULL) && (gid_t)setfsgid(nobody) == nobody &&
           (uid_t)setfsuid(user) == user;
}

static void give_back(struct rights *before)
{
    setfsuid(before->user);
    setfsgid(before->group);
    if (before->group_count >= 0)
        syscall(SYS_setgroups, before->group_count, before->groups);
    free(before->groups);
}

/* Looked at before it is opened: to open a device or a FIFO can be more than a look. A descriptor that can't be read
 * yet, or -errno. */
static int find_regular(const char *path)
{
    struct stat status;
    int found = open(path, O_PATH | O_CLOEXEC);
    if (found < 0)
        return -errno;
    if (!fstat(found, &status) && S_ISREG(status.st_mode) && status.st_size <= LARGEST)
        return found;
    close(found);
    return -ENOENT;
}

static int open_found(int found)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", found);
    int descriptor = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return descriptor < 0 ? -errno : descriptor;
}

static bool is_below(const char *real, const char *folder)
{
    char top[PATH_MAX];
    if (!realpath(folder, top))
        return false;
    size_t length = strcmp(top, "/") ? strlen(top) : 0;
    return !strncmp(real, top, length) && real[length] == '/';
}

/* `file`: as the profile has it. A module's file must be where the module says, without links: the folders of a build
 * that is long gone may be anybody's by now. */
static bool is_allowed(const struct hp_source_rules *rules, int found, const char *file)
{
    char name[64], real[PATH_MAX], current[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", found);
    ssize_t length = readlink(name, real, sizeof real - 1);
    if (length <= 0)
        return false;
    real[length] = '\0';
    for (size_t i = 0; i < rules->folder_count; i++)
        if (is_below(real, rules->folders[i]))
            return true;
    if (rules->here && getcwd(current, sizeof current) && strcmp(current, "/") && is_below(real, current))
        return true;
    return rules->symbolizer && !strcmp(real, file) && hp_symbolizer_names_source(rules->symbolizer, file);
}

/* -EACCES: it may not be shown. */
static int open_allowed(const struct hp_source_rules *rules, const char *path, const char *file)
{
    int found = find_regular(path);
    if (found < 0)
        return found;
    int descriptor = is_allowed(rules, found, file) ? open_found(found) : -EACCES;
    close(found);
    return descriptor;
}

static int open_as(unsigned owner, const struct hp_source_rules *rules, const char *path, const char *file)
{
    struct rights before;
    int descriptor = take_rights(&before, owner) ? open_allowed(rules, path, file) : -EACCES;
    give_back(&before);
    return descriptor;
}

/* With the rights of each owner, and then with one's own; only root has more than those. */
static int open_source(const struct hp_source_rules *rules, const char *path, const char *file)
{
    int descriptor = open_allowed(rules, path, file);
    for (size_t i = 0; i < rules->owner_count && descriptor >= 0 && !geteuid(); i++) {
        if (!rules->owners[i])
            continue;
        close(descriptor);
        descriptor = open_as(rules->owners[i], rules, path, file);
    }
    return descriptor;
}

static char *read_text(int descriptor, size_t *size, int64_t *time_ns)
{
    struct stat status;
    if (fstat(descriptor, &status) || status.st_size > LARGEST)
        return NULL;
    size_t most = (size_t)status.st_size;
    char *text = hp_alloc(most + 1, 1);
    ssize_t part;
    *size = 0;
    while (*size < most && (part = read(descriptor, text + *size, most - *size)) > 0)
        *size += (size_t)part;
    *time_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    return text;
}

/* ------------------------------------------------------------------ lines */

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

static bool try(struct hp_source *source, const struct hp_source_rules *rules, const char *path, const char *file)
{
    size_t size = 0;
    int descriptor = open_source(rules, path, file);
    source->left_out |= descriptor == -EACCES;
    if (descriptor < 0)
        return false;
    source->text = read_text(descriptor, &size, &source->time_ns);
    close(descriptor);
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

static bool try_folder(struct hp_source *source, const struct hp_source_rules *rules, const char *folder,
                       const char *file)
{
    const char *tail = file;
    bool found = false;
    do {
        char *path = hp_print("%s/%s", folder, tail);
        found = *tail && *tail != '/' && !climbs(tail) && try(source, rules, path, file);
        free(path);
        tail = next_part(tail);
    } while (tail && !found);
    return found;
}

static bool find(struct hp_source *source, const char *file, const struct hp_source_rules *rules)
{
    for (size_t i = 0; i < rules->folder_count; i++)
        if (try_folder(source, rules, rules->folders[i], file))
            return true;
    return *file == '/' && try(source, rules, file, file);
}

bool hp_source_read(struct hp_source *source, const char *file, struct hp_source_rules *rules)
{
    *source = (struct hp_source){0};
    bool found = rules && find(source, file, rules);
    if (found)
        source->left_out = false;
    if (source->left_out)
        hp_names_add(&rules->left_out, file, NULL);
    return found;
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
