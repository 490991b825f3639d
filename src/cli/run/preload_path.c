#include "cli/run/preload_path.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/core/memory.h"

static const char library_name[] = "libheapprof.so";

int hp_library_find(char **path, struct hp_error *error)
{
    /* Beside the command as built or unpacked, then as installed under any prefix. */
    static const char *const places[] = {".",         "../preload", "../../preload", ("../../" HP_LIBDIR_RELATIVE),
                                         "../../lib", "../../lib64"};
    char folder[PATH_MAX], real[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (length < 0)
        return hp_error_set(error, -errno, "/proc/self/exe: %s", strerror(errno));
    folder[length] = 0;
    *strrchr(folder, '/') = 0;
    for (size_t i = 0; i <= sizeof places / sizeof *places; i++) {
        bool beside = i < sizeof places / sizeof *places;
        char *candidate =
            beside ? hp_print("%s/%s/%s", folder, places[i], library_name) : hp_print("%s/%s", HP_LIBDIR, library_name);
        bool found = realpath(candidate, real) && !access(real, R_OK);
        free(candidate);
        if (found) {
            *path = hp_strdup(real);
            return 0;
        }
    }
    return hp_error_set(error, -ENOENT, "%s is neither beside %s nor in %s: reinstall heapprof", library_name, folder,
                        HP_LIBDIR);
}

/* Where the loader would find it. Rejected: dlopen, which runs the allocator's start-up code inside
 * this command. */
static char *installed(const char *soname)
{
    void *self = dlopen(NULL, RTLD_LAZY);
    Dl_serinfo sizes;
    if (!self || dlinfo(self, RTLD_DI_SERINFOSIZE, &sizes))
        return NULL;
    Dl_serinfo *paths = hp_alloc(1, sizes.dls_size);
    dlinfo(self, RTLD_DI_SERINFOSIZE, paths);
    char *found = NULL;
    if (!dlinfo(self, RTLD_DI_SERINFO, paths))
        for (unsigned i = 0; i <= paths->dls_cnt && !found; i++) {
            const char *folder = i < paths->dls_cnt ? paths->dls_serpath[i].dls_name : "/usr/local/lib";
            char *candidate = hp_print("%s/%s", folder, soname);
            if (!access(candidate, R_OK))
                found = candidate;
            else
                free(candidate);
        }
    free(paths);
    dlclose(self);
    return found;
}

int hp_allocator_find(const char *name, char **path, struct hp_error *error)
{
    static const struct {
        const char *name, *sonames[3];
    } allocators[] = {
        {"jemalloc", {"libjemalloc.so.2", "libjemalloc.so.1"}},
        {"tcmalloc", {"libtcmalloc.so.4", "libtcmalloc_minimal.so.4"}},
        {"mimalloc", {"libmimalloc.so.2", "libmimalloc.so.3", "libmimalloc.so.1"}},
    };
    for (size_t i = 0; i < sizeof allocators / sizeof *allocators; i++) {
        if (strcmp(allocators[i].name, name))
            continue;
        for (size_t j = 0; j < 3 && allocators[i].sonames[j]; j++)
            if ((*path = installed(allocators[i].sonames[j])))
                return 0;
        return hp_error_set(error, -ENOENT,
                            "--allocator=%s: %s is not where the loader looks: install it, or name its file", name,
                            allocators[i].sonames[0]);
    }
    char real[PATH_MAX];
    if (!realpath(name, real) || access(real, R_OK))
        return hp_error_set(error, -errno, "--allocator=%s: neither jemalloc, tcmalloc or mimalloc nor a file: %s",
                            name, strerror(errno));
    *path = hp_strdup(real);
    return 0;
}

int hp_preload_value(const char *library, const char *allocator, const char *existing, char **value,
                     struct hp_error *error)
{
    static const char separators[] = " :\t\n";
    bool is_ours = strpbrk(library, separators);
    if (is_ours || (allocator && strpbrk(allocator, separators)))
        return hp_error_set(error, -EINVAL, "%s: a path with blanks or colons can't be preloaded: move it",
                            is_ours ? library : allocator);
    bool more = existing && *existing;
    *value = hp_print("%s%s%s%s%s", library, allocator ? ":" : "", allocator ? allocator : "", more ? ":" : "",
                      more ? existing : "");
    return 0;
}
