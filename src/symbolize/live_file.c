/* Files of a running process, by the links that /proc has to what it really maps. */
#include "symbolize/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A mapping's own link: right whatever became of the name, but only the administrator may follow it. */
static int open_mapping(const struct hp_symbol_process *process, const char *build_id)
{
    char name[96];
    snprintf(name, sizeof name, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, process->pid, process->start,
             process->limit);
    return hp_find_open(name, build_id);
}

/* The program's link, which its owner may follow also when the file is deleted. */
static int open_program(const struct hp_symbol_process *process, const char *path, const char *build_id)
{
    static const char deleted[] = " (deleted)";
    char name[64], target[PATH_MAX];
    snprintf(name, sizeof name, "/proc/%d/exe", process->pid);
    ssize_t length = readlink(name, target, sizeof target - 1);
    if (length <= 0)
        return -ENOENT;
    target[length] = '\0';
    size_t size = strlen(path);
    if (strncmp(target, path, size) || (target[size] && strcmp(target + size, deleted)))
        return -ENOENT;
    return hp_find_open(name, build_id);
}

static bool is_same_file(int descriptor, const char *path)
{
    struct stat open, named;
    return !fstat(descriptor, &open) && !stat(path, &named) && open.st_dev == named.st_dev &&
           open.st_ino == named.st_ino;
}

int hp_live_file_open(struct hp_symbolizer *symbolizer, const char *path, const char *build_id,
                      const struct hp_symbol_process *process, const char **found)
{
    char root[PATH_MAX];
    int length = snprintf(root, sizeof root, "/proc/%d/root%s", process->pid, path);
    int descriptor = open_mapping(process, build_id);
    if (descriptor < 0)
        descriptor = open_program(process, path, build_id);
    if (descriptor < 0 && length < PATH_MAX)
        descriptor = hp_find_open(root, build_id);
    if (descriptor < 0)
        return -ENOENT;
    /* Debug files are named after the path that the file has here. */
    *found =
        is_same_file(descriptor, path) || length >= PATH_MAX ? path : hp_strings_intern(&symbolizer->strings, root);
    return descriptor;
}
