#include "life/new_file.h"

#include <errno.h>
#include <string.h>

#include "base/decimal.h"
#include "ledger/ledger_file.h"
#include "base/sys.h"
#include "life/dump_turns.h"
#include "process/library.h"

/* What may stand at the final name: nothing, or a regular file of ours, which is replaced. Links, devices, folders and
 * other people's files are not. */
static int check_final(const char *path)
{
    struct stat status = {0};
    int error = hp_sys_lstat(path, &status);
    if (error == -ENOENT)
        return 0;
    if (error < 0)
        return error;
    if (S_ISLNK(status.st_mode))
        return -ELOOP;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    if (!S_ISREG(status.st_mode))
        return -EEXIST;
    return status.st_uid == hp_sys_getuid() ? 0 : -EPERM;
}

#define TEMPORARY_MOST sizeof ".4294967295.4294967295.tmp"

static void name_temporary(struct hp_new_file *file)
{
    char *to = file->temporary;
    size_t length = strlen(file->path);
    memcpy(to, file->path, length);
    to[length++] = '.';
    length += hp_put_decimal(to + length, (unsigned)hp_library.pid, 1);
    to[length++] = '.';
    length += hp_put_decimal(to + length, file->sequence, 1);
    memcpy(to + length, ".tmp", sizeof ".tmp");
}

/* The folder of file->path, in file->temporary. */
static void name_folder(struct hp_new_file *file)
{
    const char *slash = strrchr(file->path, '/');
    size_t length = slash ? (size_t)(slash - file->path) : 0;
    memcpy(file->temporary, length ? file->path : slash ? "/" : ".", length ? length : 1);
    file->temporary[length ? length : 1] = '\0';
}

static bool is_own_file(const char *path)
{
    struct stat status = {0};
    return hp_sys_lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == hp_sys_getuid();
}

/* True: the temporary name is free now. It was taken by a file of ours: of another process that had our number, and was
 * killed in the middle. */
static bool clear_temporary(const struct hp_new_file *file)
{
    return is_own_file(file->temporary) && hp_sys_unlink(file->temporary) == 0;
}

static int open_named(struct hp_new_file *file)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    file->is_named = true;
    file->fd = hp_sys_open(file->temporary, flags, 0600);
    if (file->fd == -EEXIST && clear_temporary(file))
        file->fd = hp_sys_open(file->temporary, flags, 0600);
    return file->fd < 0 ? file->fd : 0;
}

/* Without a name where that can be had, so that nothing is left of it if the target ends, jumps away or is killed
 * meanwhile. */
int hp_new_file_open(struct hp_new_file *file)
{
    int error = check_final(file->path);
    if (error < 0)
        return error;
    if (strlen(file->path) + TEMPORARY_MOST > sizeof file->temporary)
        return -ENAMETOOLONG;
    name_folder(file);
    file->is_named = false;
    file->fd = hp_sys_open(file->temporary, O_WRONLY | O_TMPFILE, 0600);
    name_temporary(file);
    return file->fd >= 0 ? 0 : open_named(file);
}

int hp_new_file_reopen(struct hp_new_file *file)
{
    hp_sys_close(file->fd);
    return open_named(file);
}

/* Only here others come to see the file: under its final name at once where that is free, else by replacing what is
 * there. */
static int publish_visibly(struct hp_new_file *file)
{
    char from[HP_PATH_MAX];
    if (!file->is_named) {
        hp_descriptor_path(from, file->fd);
        int error = hp_sys_link(from, file->path);
        if (error != -EEXIST)
            return error;
        error = hp_sys_link(from, file->temporary);
        if (error == -EEXIST && clear_temporary(file))
            error = hp_sys_link(from, file->temporary);
        if (error < 0)
            return error;
    }
    int error = hp_sys_rename(file->temporary, file->path);
    if (error < 0)
        hp_sys_unlink(file->temporary);
    return error;
}

/* No handler comes between, which might jump away and leave what has the temporary name; nor does the end of the
 * process. */
int hp_new_file_publish(struct hp_new_file *file)
{
    uint64_t before = 0;
    const bool blocked = hp_signals_block(&before);
    const bool may = hp_dump_publishing_begin() && !hp_library_was_forked();
    const int result = may ? publish_visibly(file) : -ECANCELED;
    hp_dump_publishing_end();
    if (blocked)
        hp_signals_restore(before);
    return result;
}

int hp_new_file_close(struct hp_new_file *file, int error)
{
    const int close_error = hp_sys_close(file->fd);
    if (error < 0 && file->is_named && error != -ECANCELED)
        hp_sys_unlink(file->temporary);
    return error < 0 ? error : close_error;
}
