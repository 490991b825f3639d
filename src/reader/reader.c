#include "reader/reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ledger/heap.h"
#include "reader/mapping.h"
#include "ledger/ledger_file.h"
#include "reader/process.h"
#include "base/sys.h"
#include "reader/ledger_v3.h"

#define WALK_NS 1000000000ull /* at most, for the figures of a heap that is walked: 1 GB or so */

static int say(char *error, size_t size, int code, const char *format, ...) __attribute__((format(printf, 4, 5)));

static int say(char *error, size_t size, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, size, format, arguments);
    va_end(arguments);
    return code;
}

static void copy_text(char *to, const char *from, size_t size)
{
    memcpy(to, from, size);
    to[size - 1] = '\0';
}

static void read_header(const struct hp_ledger *ledger, struct hp_ledger_info *info)
{
    const struct hp_audit audit = hp_audit_read(ledger);
    info->pid = ledger->pid;
    info->start_time_ns = ledger->start_time_ns;
    info->closed = ledger->closed;
    info->live_estimate = ledger->live_estimate;
    const struct hp_figures none = {.source = HP_FIGURES_NONE};
    info->inuse = hp_figures_shown(ledger, &none, info->live_estimate, hp_clock_ns(CLOCK_MONOTONIC)).inuse;
    info->reserved = hp_ledger_own_bytes(ledger);
    info->samples = audit.samples;
    info->lost = audit.lost;
    info->interval = hp_interval_now(ledger);
    info->signal = ledger->signal;
    copy_text(info->program, ledger->program, sizeof info->program);
    copy_text(info->exe, ledger->exe, sizeof info->exe);
}

/* What tells the process of a ledger. */
struct identity {
    uint64_t made, namespace;
    bool answered;
};

/* Of this version or of the one before. */
static int read_identity(const struct hp_mapping *mapping, struct hp_ledger_info *info, struct identity *identity)
{
    struct hp_ledger_view view = {0};
    struct hp_ledger old = {0};
    int error = hp_ledger_view_open(&view, mapping->memory, NULL, mapping->size);
    if (error == -EPROTONOSUPPORT) {
        error = hp_v3_read_header(mapping->memory, mapping->size, &old);
        view.ledger = &old;
    }
    if (error < 0)
        return error;
    read_header(view.ledger, info);
    *identity = (struct identity){view.ledger->made_ticks, view.ledger->pid_namespace, view.ledger->signal_answered};
    return 0;
}

static int inspect(const char *path, struct hp_ledger_info *info)
{
    struct hp_mapping mapping = {0};
    struct hp_guard guard;
    struct identity identity = {0};
    memset(info, 0, sizeof *info);
    if ((size_t)snprintf(info->path, sizeof info->path, "%s", path) >= sizeof info->path)
        return -ENAMETOOLONG;
    int error = hp_mapping_open(path, false, &mapping, &info->uid);
    if (error < 0)
        return error;
    hp_guard_begin(&guard);
    error = sigsetjmp(hp_on_cut, 1) ? -EBADMSG : read_identity(&mapping, info, &identity);
    hp_guard_end(&guard);
    hp_sys_munmap(mapping.memory, mapping.size);
    if (error < 0)
        return error;
    pid_t pid = hp_process_find(path, info->uid, info->pid, identity.made, identity.namespace);
    info->running = pid > 0;
    if (pid > 0)
        info->pid = pid;
    info->signal_state = pid > 0 ? hp_process_signal(pid, info->signal, identity.answered) : HP_SIGNAL_NONE;
    return 0;
}

/* The owner of a folder that is none but the owner's: not one behind a link, nor one that others may write to. */
static bool folder_owner(int folder, unsigned *owner)
{
    struct stat status = {0};
    if (hp_sys_fstat(folder, &status) < 0 || !S_ISDIR(status.st_mode) || status.st_mode & 022)
        return false;
    *owner = status.st_uid;
    return true;
}

static DIR *open_folder(const char *path, unsigned *owner)
{
    int folder = hp_sys_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (folder < 0)
        return NULL;
    DIR *files = folder_owner(folder, owner) ? fdopendir(folder) : NULL;
    if (!files)
        hp_sys_close(folder);
    return files;
}

/* A ledger counts only if file, folder and process (hp_process_find) belong to one user: this one, but that root reads
 * all. */
static int each_in_user_folder(const char *folder, bool all_users, void (*visit)(void *, const struct hp_ledger_info *),
                               void *state)
{
    unsigned owner = 0;
    DIR *files = open_folder(folder, &owner);
    int damaged = 0;
    bool ours = owner == hp_sys_getuid() || (all_users && hp_sys_getuid() == 0);
    for (struct dirent *entry; files && ours && (entry = readdir(files));) {
        char path[HP_PATH_MAX];
        struct hp_ledger_info info;
        int pid;
        uint64_t number;
        if (!hp_ledger_file_parse(entry->d_name, &pid, &number) ||
            (size_t)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= sizeof path)
            continue;
        int error = inspect(path, &info);
        if (error == 0 && info.uid != owner)
            continue;
        if (error == 0 && info.closed && !info.running)
            /* of a process that ended, but could not reach it: after chroot, or without its rights */
            unlinkat(dirfd(files), entry->d_name, 0);
        else if (error == 0)
            visit(state, &info);
        else if (error != -ENOENT) /* gone since we read the folder */
            damaged++;
    }
    if (files)
        closedir(files);
    return damaged;
}

static int each_in_folder(const char *folder, bool all_users, void (*visit)(void *, const struct hp_ledger_info *),
                          void *state)
{
    DIR *users = opendir(folder);
    int damaged = 0;
    char own[32];
    snprintf(own, sizeof own, "heapprof-%u", hp_sys_getuid());
    for (struct dirent *entry; users && (entry = readdir(users));) {
        char path[HP_PATH_MAX];
        if (strncmp(entry->d_name, "heapprof-", 9) || (!all_users && strcmp(entry->d_name, own)) ||
            (size_t)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= sizeof path)
            continue;
        damaged += each_in_user_folder(path, all_users, visit, state);
    }
    if (users)
        closedir(users);
    return damaged;
}

static const char *given_folder(void)
{
    const char *given = getenv("HEAPPROF_LEDGER");
    return given && given[0] == '/' && strcmp(given, "/dev/shm") && strcmp(given, "/tmp") ? given : NULL;
}

int hp_ledger_each(bool all_users, void (*visit)(void *state, const struct hp_ledger_info *info), void *state)
{
    const char *given = given_folder();
    int damaged = each_in_folder("/dev/shm", all_users, visit, state) + each_in_folder("/tmp", all_users, visit, state);
    if (given)
        damaged += each_in_folder(given, all_users, visit, state);
    return damaged;
}

struct search {
    pid_t pid;
    bool exists; /* there is a process of this number */
    bool found;
    bool several_users; /* have a ledger that is as good as the best, of another process than its */
    struct hp_ledger_info *best;
};

/* What tells which of two ledgers is meant, in this order: it runs, it is one's own, it is the later one. */
static int compare(const struct hp_ledger_info *a, const struct hp_ledger_info *b)
{
    const bool own_a = a->uid == hp_sys_getuid(), own_b = b->uid == hp_sys_getuid();
    if (a->running != b->running)
        return a->running ? 1 : -1;
    if (own_a != own_b)
        return own_a ? 1 : -1;
    return 0;
}

static void consider(void *state, const struct hp_ledger_info *info)
{
    struct search *search = state;
    if (info->pid != search->pid)
        return;
    /* A ledger says itself of which process it is: one that another user's process has now is not asked for. */
    if (!info->running && search->exists && !hp_process_may_own(search->pid, info->uid))
        return;
    int order = search->found ? compare(info, search->best) : 1;
    if (order < 0)
        return;
    if (order == 0 && info->uid != search->best->uid) /* dead, and who they were of can't be found out any more */
        search->several_users = true;
    if (order == 0 && search->best->start_time_ns >= info->start_time_ns)
        return;
    if (order > 0)
        search->several_users = false;
    *search->best = *info;
    search->found = true;
}

static int say_unreadable(const char *path, int reason, char *error, size_t error_size)
{
    if (reason == -EPROTONOSUPPORT)
        return say(error, error_size, reason, "%s: a ledger of another version of heapprof; use that version's command",
                   path);
    if (reason == -EINVAL || reason == -EBADMSG)
        return say(error, error_size, reason, "%s: not a ledger, or damaged", path);
    return say(error, error_size, reason, "%s: %s", path, strerror(-reason));
}

static bool is_in_own_folder(const char *path)
{
    char folder[HP_PATH_MAX];
    unsigned owner;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    DIR *files = open_folder(folder, &owner);
    if (files)
        closedir(files);
    return files && owner == hp_sys_getuid();
}

/* A running process of ours has its ledger where its number says, in most cases; then no other is opened. */
static bool find_by_name(pid_t pid, struct hp_ledger_info *info)
{
    const char *const folders[] = {"/dev/shm", "/tmp", given_folder()};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[HP_PATH_MAX];
        if (folders[i] && hp_ledger_file_path(path, folders[i], hp_sys_getuid(), (int)pid, 0) == 0 &&
            is_in_own_folder(path) && inspect(path, info) == 0 && info->uid == hp_sys_getuid() && info->running &&
            info->pid == pid)
            return true;
    }
    return false;
}

/* The ledger of a process in a container lies in the file system that the process sees. */
static bool find_in_root(pid_t pid, struct hp_ledger_info *info)
{
    char folder[64];
    struct search search = {.pid = pid, .exists = true, .best = info};
    snprintf(folder, sizeof folder, "/proc/%d/root/dev/shm", (int)pid);
    each_in_folder(folder, true, consider, &search);
    if (!search.found) {
        snprintf(folder, sizeof folder, "/proc/%d/root/tmp", (int)pid);
        each_in_folder(folder, true, consider, &search);
    }
    return search.found;
}

/* A child of a fork that has sampled nothing yet, and so has no ledger, has the library all the same. */
static bool has_library(pid_t pid)
{
    char path[64], *line = NULL;
    size_t size = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && !found && getline(&line, &size, file) > 0)
        found = strstr(line, "/libheapprof.so") != NULL;
    if (file)
        fclose(file);
    free(line);
    return found;
}

int hp_ledger_find(const char *pid_or_path, struct hp_ledger_info *info, char *error, size_t error_size)
{
    char *end;
    long pid = strtol(pid_or_path, &end, 10);
    if (*end || pid <= 0 || pid > INT32_MAX) {
        int result = inspect(pid_or_path, info);
        return result < 0 ? say_unreadable(pid_or_path, result, error, error_size) : 0;
    }
    if (find_by_name((pid_t)pid, info))
        return 0;
    memset(info, 0, sizeof *info);
    bool exists = hp_process_start((int)pid) || kill((pid_t)pid, 0) == 0 || errno == EPERM;
    struct search search = {.pid = (pid_t)pid, .exists = exists, .best = info};
    hp_ledger_each(true, consider, &search);
    if (search.found && search.several_users)
        return say(error, error_size, -ENOENT,
                   "process %ld is dead, and several users have a ledger of one: name the file that is meant "
                   "(heapprof ps --all --json)",
                   pid);
    if (search.found && (search.best->running || !exists || !find_in_root((pid_t)pid, info)))
        return 0;
    if (exists && find_in_root((pid_t)pid, info))
        return 0;
    if (!exists)
        return say(error, error_size, -ESRCH, "process %ld: no such process, and no ledger left of one", pid);
    if (has_library((pid_t)pid))
        return say(error, error_size, -ENOENT,
                   "process %ld has no ledger yet: it was forked, and has sampled nothing since (kill -USR2 makes a "
                   "profile), or it has no shared memory to keep one",
                   pid);
    return say(
        error, error_size, -ENOENT,
        "process %ld has no ledger: it was not started with libheapprof.so (heapprof run), it is another user's, "
        "or it has no shared memory to keep one",
        pid);
}

/* A dead process's figures are as old as they were at its end, whenever that was. */
static uint64_t last_ns(const struct hp_ledger *ledger)
{
    const uint64_t told = ledger->figures.time_ns, loaded = ledger->heap.time_ns;
    return told > loaded ? told : loaded;
}

static struct hp_moment moment_of(struct hp_ledger *ledger, bool writable, const struct hp_ledger_info *info)
{
    uint64_t now = hp_clock_ns(CLOCK_MONOTONIC);
    struct hp_moment moment = {.time_ns = hp_clock_ns(CLOCK_REALTIME),
                               .clock_ns = info->running ? now : last_ns(ledger),
                               .max_rss = info->running ? hp_process_max_rss(info->pid) : 0,
                               .sequence = ledger->dump_sequence};
    const struct hp_audit audit = hp_audit_read(ledger);
    moment.own_ns = hp_audit_own_ns(&audit);
    const enum hp_resident_costs costs = info->hasty ? HP_RESIDENT_HASTY : HP_RESIDENT_NOW;
    const uint64_t live = __atomic_load_n(&ledger->live_estimate, __ATOMIC_RELAXED);
    if (info->running &&
        !hp_resident_recall(&ledger->resident, now, live, costs, &moment.resident, &moment.resident_age_ns)) {
        moment.resident = hp_process_resident(info->pid, info->path);
        if (writable)
            hp_resident_keep(&ledger->resident, now, hp_clock_ns(CLOCK_MONOTONIC), live, &moment.resident);
    }
    return moment;
}

static uint64_t memory_size(uint64_t scratch_size)
{
    return scratch_size + HP_TEXT_BUFFER + hp_heap_work_size();
}

static int write_view(const struct hp_ledger_view *view, bool writable, const struct hp_ledger_info *info,
                      hp_sink_fn *sink, void *state, void *memory, uint64_t scratch_size)
{
    struct hp_text text;
    char process[16];
    struct hp_moment moment = moment_of((struct hp_ledger *)view->ledger, writable, info);
    snprintf(process, sizeof process, "%d", (int)info->pid);
    moment.process = info->running ? process : NULL;
    if (info->running)
        hp_heap_walk(view, process, (int)info->pid, WALK_NS, (char *)memory + scratch_size + HP_TEXT_BUFFER,
                     &moment.figures);
    hp_text_init(&text, sink, state, (char *)memory + scratch_size);
    return hp_snapshot_write(view, &moment, &text, memory, scratch_size);
}

/* What is to be given back, whatever comes in between. */
struct opened {
    struct hp_mapping mapping;
    struct hp_store translated;
    void *memory;
    uint64_t memory_size;
};

/* `writable`: what this reader finds out of the resident set serves the next one, but not in a translation. */
static int write_mapping(struct opened *opened, bool writable, const struct hp_ledger_info *info, hp_sink_fn *sink,
                         void *state)
{
    struct hp_ledger_view view = {0};
    int error = hp_v3_view_open(&view, opened->mapping.memory, opened->mapping.size, &opened->translated);
    if (error < 0)
        return error;
    const uint64_t scratch_size = (hp_snapshot_scratch_size(&view) + 15) & ~15ull;
    opened->memory_size = memory_size(scratch_size);
    opened->memory = hp_sys_mmap(NULL, opened->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    return opened->memory ? write_view(&view, writable, info, sink, state, opened->memory, scratch_size) : -ENOMEM;
}

static int write_guarded(struct opened *opened, bool writable, const struct hp_ledger_info *info, hp_sink_fn *sink,
                         void *state)
{
    struct hp_guard guard;
    volatile int result;
    hp_guard_begin(&guard);
    result = sigsetjmp(hp_on_cut, 1) ? -EBADMSG : write_mapping(opened, writable, info, sink, state);
    hp_guard_end(&guard);
    return result;
}

int hp_ledger_write(const struct hp_ledger_info *info, hp_sink_fn *sink, void *state, char *error, size_t error_size)
{
    struct opened opened = {0};
    unsigned uid;
    bool writable = info->running && hp_mapping_open(info->path, true, &opened.mapping, &uid) == 0;
    int result = writable ? 0 : hp_mapping_open(info->path, false, &opened.mapping, &uid);
    if (result < 0)
        return say_unreadable(info->path, result, error, error_size);
    result = write_guarded(&opened, writable, info, sink, state);
    if (opened.memory)
        hp_sys_munmap(opened.memory, opened.memory_size);
    hp_v3_free(&opened.translated);
    hp_sys_munmap(opened.mapping.memory, opened.mapping.size);
    return result < 0 ? say_unreadable(info->path, result, error, error_size) : 0;
}

int hp_ledger_find_running(pid_t pid, struct hp_ledger_info *info, char *error, size_t error_size)
{
    char number[16];
    snprintf(number, sizeof number, "%d", (int)pid);
    int result = hp_ledger_find(number, info, error, error_size);
    if (result == 0 && !info->running)
        return say(error, error_size, -ESRCH, "process %d is dead; its last profile: heapprof recover %d", (int)pid,
                   (int)pid);
    return result;
}

int hp_ledger_dump(pid_t pid, hp_sink_fn *sink, void *state, char *error, size_t error_size)
{
    struct hp_ledger_info info;
    int result = hp_ledger_find_running(pid, &info, error, error_size);
    return result < 0 ? result : hp_ledger_write(&info, sink, state, error, error_size);
}

/* The way is the same in the version before. */
static int set_wanted(const struct hp_mapping *mapping, uint64_t bytes)
{
    struct hp_ledger_view view = {0};
    uint64_t *wanted = &((struct hp_ledger *)mapping->memory)->wanted_interval;
    int error = hp_ledger_view_open(&view, mapping->memory, NULL, mapping->size);
    if (error == -EPROTONOSUPPORT)
        error = hp_v3_wanted_interval(mapping->memory, mapping->size, &wanted);
    if (error == 0)
        __atomic_store_n(wanted, bytes, __ATOMIC_RELAXED);
    return error;
}

int hp_ledger_set_interval(const struct hp_ledger_info *info, uint64_t bytes, char *error, size_t error_size)
{
    struct hp_mapping mapping = {0};
    struct hp_guard guard;
    unsigned uid;
    int result = hp_mapping_open(info->path, true, &mapping, &uid);
    if (result < 0)
        return say_unreadable(info->path, result, error, error_size);
    hp_guard_begin(&guard);
    result = sigsetjmp(hp_on_cut, 1) ? -EBADMSG : set_wanted(&mapping, bytes);
    hp_guard_end(&guard);
    hp_sys_munmap(mapping.memory, mapping.size);
    return result < 0 ? say_unreadable(info->path, result, error, error_size) : 0;
}
