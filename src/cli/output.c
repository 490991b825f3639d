#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cli/say.h"
#include "cli/verb.h"
#include "report/core/memory.h"

#define LINKS_MOST 40 /* as many as the kernel follows */

bool hp_ends_in(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);
    return length >= tail && !strcmp(name + length - tail, suffix);
}

static const char *name_of(const struct hp_output *output)
{
    return output->path ? output->path : "standard output";
}

static bool is_ours(const struct stat *status)
{
    return !status->st_uid || status->st_uid == geteuid();
}

/* Links of /proc/self/fd lead to what is open, which may have no name. */
static bool is_open_file(int link)
{
    struct statfs system;
    return !fstatfs(link, &system) && system.f_type == PROC_SUPER_MAGIC;
}

/* The path that the link at `path` names; the caller frees it, NULL: it can't be read. */
static char *read_link(int link, const char *path)
{
    char text[PATH_MAX];
    ssize_t length = readlinkat(link, "", text, sizeof text - 1);
    if (length <= 0)
        return NULL;
    text[length] = '\0';
    const char *slash = strrchr(path, '/');
    if (*text == '/' || !slash)
        return hp_strdup(text);
    return hp_print("%.*s%s", (int)(slash + 1 - path), path, text);
}

/* Follows links as long as they belong to this user or to root: somebody else's could lead anywhere, and only some
 * kernels keep root from following it. Returns 0 with *path where they lead, and a descriptor, without any rights, of
 * what is there, or -1; or -errno. */
static int follow(char **path, int *found)
{
    for (unsigned links = 0; links < LINKS_MOST; links++) {
        struct stat status;
        *found = open(*path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (*found < 0)
            return errno == ENOENT ? 0 : -errno;
        if (fstat(*found, &status))
            return -errno;
        if (!S_ISLNK(status.st_mode))
            return 0;
        if (!is_ours(&status))
            return -EPERM;
        bool open_file = is_open_file(*found);
        char *next = read_link(*found, *path);
        close(*found);
        *found = open_file ? open(*path, O_PATH | O_CLOEXEC) : -1;
        if (*found >= 0 && !fstat(*found, &status) && !S_ISREG(status.st_mode)) {
            free(next);
            return 0;
        }
        if (*found >= 0)
            close(*found);
        *found = -1;
        if (!next)
            return -ENOENT;
        free(*path);
        *path = next;
    }
    return -ELOOP;
}

static bool is_standard_output(const struct stat *status)
{
    struct stat output;
    return !fstat(STDOUT_FILENO, &output) && output.st_dev == status->st_dev && output.st_ino == status->st_ino;
}

/* A pipe or a device; the one that was looked at. */
static int open_special(struct hp_output *output, int found, const struct stat *status)
{
    char name[64];
    if (S_ISDIR(status->st_mode))
        return -EISDIR;
    if (!is_ours(status) && !is_standard_output(status))
        return -EPERM;
    snprintf(name, sizeof name, "/proc/self/fd/%d", found);
    output->descriptor = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return output->descriptor < 0 ? -errno : 0;
}

/* A new file beside the target, so that rename(2) can put it in place. */
static int open_draft(struct hp_output *output, mode_t mode)
{
    output->draft = hp_print("%s.XXXXXX", output->path);
    output->descriptor = mkostemp(output->draft, O_CLOEXEC);
    if (output->descriptor < 0)
        return -errno;
    return fchmod(output->descriptor, mode) ? -errno : 0;
}

static int open_file(struct hp_output *output, mode_t mode)
{
    struct stat status = {0};
    int found = -1;
    char *target = hp_strdup(output->path);
    int result = follow(&target, &found);
    bool exists = !result && found >= 0 && !fstat(found, &status);
    if (exists) { /* a link to nothing is replaced */
        free(output->path);
        output->path = target;
    } else {
        free(target);
    }
    if (exists && !S_ISREG(status.st_mode)) {
        result = open_special(output, found, &status);
    } else if (!result) {
        mode_t before = exists && status.st_uid == geteuid() ? status.st_mode & 0777 : 0600;
        result = open_draft(output, mode == HP_OUTPUT_MODE ? before : mode);
    }
    if (found >= 0)
        close(found);
    return result;
}

static const char *reason_of(int status)
{
    return status == -EPERM ? "belongs to somebody else, and is not written to" : strerror(-status);
}

int hp_output_open(struct hp_output *output, const char *path, bool gzip, mode_t mode)
{
    *output = (struct hp_output){.descriptor = STDOUT_FILENO};
    int status = 0;
    if (path && strcmp(path, "-")) {
        output->descriptor = -1;
        output->path = hp_strdup(path);
        status = open_file(output, mode);
    }
    if (!status && gzip) {
        int copy = output->descriptor < 0 ? -1 : dup(output->descriptor);
        output->gzip = copy < 0 ? NULL : gzdopen(copy, "wb");
        status = output->gzip ? 0 : -ENOMEM;
    }
    if (!status)
        return HP_DONE;
    hp_fail("%s: %s", path ? path : "standard output", reason_of(status));
    hp_output_close(output, false, false);
    return HP_FAILED;
}

int hp_output_sink(void *state, const void *data, size_t size)
{
    struct hp_output *output = state;
    if (output->gzip) {
        while (size) {
            unsigned part = size > INT_MAX ? INT_MAX : (unsigned)size;
            if (gzwrite(output->gzip, data, part) != (int)part)
                return errno ? -errno : -EIO;
            data = (const char *)data + part;
            size -= part;
        }
        return 0;
    }
    while (size) {
        ssize_t written = write(output->descriptor, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        data = (const char *)data + written;
        size -= (size_t)written;
    }
    return 0;
}

/* link(2) fails where there is a file already; not all file systems have it. */
static int place(const char *draft, const char *path, bool exclusive)
{
    if (!exclusive)
        return rename(draft, path) ? -errno : 0;
    if (!link(draft, path)) {
        unlink(draft);
        return 0;
    }
    if (errno == EEXIST)
        return -EEXIST;
    if (!access(path, F_OK))
        return -EEXIST;
    return rename(draft, path) ? -errno : 0;
}

int hp_output_close(struct hp_output *output, bool keep, bool exclusive)
{
    int status = 0;
    if (output->gzip && gzclose(output->gzip) != Z_OK)
        status = errno ? -errno : -EIO;
    if (output->path && output->descriptor >= 0 && close(output->descriptor) && !status)
        status = -errno;
    if (output->draft && keep && !status)
        status = place(output->draft, output->path, exclusive);
    if (output->draft && (!keep || status))
        unlink(output->draft);
    if (status && keep && status != -EEXIST)
        hp_fail("%s: %s", name_of(output), strerror(-status));
    free(output->path);
    free(output->draft);
    *output = (struct hp_output){.descriptor = -1};
    return status == -EEXIST ? -EEXIST : status ? HP_FAILED : HP_DONE;
}

int hp_output_flush(void)
{
    if (!fflush(stdout) && !ferror(stdout))
        return HP_DONE;
    return hp_fail("standard output: %s", strerror(errno ? errno : EIO));
}
