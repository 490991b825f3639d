#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/say.h"
#include "cli/verb.h"
#include "report/core/memory.h"

bool hp_ends_in(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);
    return length >= tail && !strcmp(name + length - tail, suffix);
}

static const char *name_of(const struct hp_output *output)
{
    return output->path ? output->path : "standard output";
}

/* A new file beside the target, so that rename(2) can put it in place. */
static int open_draft(struct hp_output *output, mode_t mode)
{
    output->draft = hp_print("%s.XXXXXX", output->path);
    output->descriptor = mkostemp(output->draft, O_CLOEXEC);
    if (output->descriptor < 0)
        return -errno;
    mode_t mask = umask(0);
    umask(mask);
    return fchmod(output->descriptor, mode & ~mask) ? -errno : 0;
}

int hp_output_open(struct hp_output *output, const char *path, bool gzip, mode_t mode)
{
    *output = (struct hp_output){.descriptor = STDOUT_FILENO};
    int status = 0;
    if (path && strcmp(path, "-")) {
        struct stat existing;
        char real[PATH_MAX];
        /* The file behind a link is replaced, not the link. */
        output->path = hp_strdup(realpath(path, real) ? real : path);
        if (!stat(output->path, &existing) && !S_ISREG(existing.st_mode)) {
            output->descriptor = open(output->path, O_WRONLY | O_CLOEXEC);
            status = output->descriptor < 0 ? -errno : 0;
        } else {
            status = open_draft(output, mode);
        }
    }
    if (!status && gzip) {
        int copy = output->descriptor < 0 ? -1 : dup(output->descriptor);
        output->gzip = copy < 0 ? NULL : gzdopen(copy, "wb");
        status = output->gzip ? 0 : -ENOMEM;
    }
    if (!status)
        return HP_DONE;
    hp_fail("%s: %s", path ? path : "standard output", strerror(-status));
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
