#include "reader/process.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/ledger_file.h"
#include "ledger/snapshot.h"
#include "base/sys.h"

/* The last number of a line "NSpid:	4711	12": the process as it knows itself. */
static int own_pid(pid_t pid)
{
    char path[64], line[512];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *last = strrchr(line, '\t');
        if (!strncmp(line, "NSpid:", 6) && last)
            found = (int)strtol(last, NULL, 10);
    }
    if (file)
        fclose(file);
    return found;
}

/* `process`: a number, or "self". */
static uint64_t pid_namespace(const char *process)
{
    char path[300];
    struct stat status = {0};
    snprintf(path, sizeof path, "/proc/%s/ns/pid", process);
    return hp_sys_stat(path, &status) == 0 ? (uint64_t)status.st_ino : 0;
}

/* Later ones only have the number of the process that made the ledger. */
static bool was_there(pid_t pid, uint64_t made)
{
    uint64_t start = hp_process_start(pid);
    return start && start <= made;
}

/* Only root can make files of root's, and only root can become somebody else afterwards. */
bool hp_process_may_own(pid_t pid, unsigned uid)
{
    char path[64], line[512];
    bool owns = uid == 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = owns ? NULL : fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "Uid:", 4)) { /* real, effective, saved */
            char *rest = line + 4;
            for (unsigned i = 0; i < 3; i++)
                owns |= strtoul(rest, &rest, 10) == uid;
        }
    if (file)
        fclose(file);
    return owns;
}

pid_t hp_process_find(const char *path, unsigned uid, int pid, uint64_t made, uint64_t namespace)
{
    /* A process that executed a program without the library still has its number and start, but not the mapping. */
    if (!hp_ledger_file_is_held(path, NULL))
        return 0;
    if (!namespace || namespace == pid_namespace("self")) {
        bool lives = kill(pid, 0) == 0 || errno == EPERM;
        return lives && was_there(pid, made) && hp_process_may_own(pid, uid) ? pid : 0;
    }
    DIR *processes = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *entry; !found && processes && (entry = readdir(processes));) {
        pid_t candidate = (pid_t)strtol(entry->d_name, NULL, 10);
        if (candidate > 0 && was_there(candidate, made) && pid_namespace(entry->d_name) == namespace &&
            own_pid(candidate) == pid && hp_process_may_own(candidate, uid))
            found = candidate;
    }
    if (processes)
        closedir(processes);
    return found;
}

/* The masks of signals of a file like /proc/PID/status; false if there is none. */
struct masks {
    uint64_t blocked, ignored, caught;
};

static bool read_masks(const char *path, struct masks *masks)
{
    char line[512];
    memset(masks, 0, sizeof *masks);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        uint64_t *mask = !strncmp(line, "SigBlk:", 7)   ? &masks->blocked
                         : !strncmp(line, "SigIgn:", 7) ? &masks->ignored
                         : !strncmp(line, "SigCgt:", 7) ? &masks->caught
                                                        : NULL;
        if (mask)
            *mask = strtoull(line + 7, NULL, 16);
    }
    if (!file)
        return false;
    fclose(file);
    return true;
}

static bool all_threads_block(pid_t pid, uint64_t bit)
{
    char path[300];
    struct masks masks;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    bool all = threads;
    for (struct dirent *entry; all && (entry = readdir(threads));) {
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, entry->d_name);
        all = entry->d_name[0] == '.' || !read_masks(path, &masks) || masks.blocked & bit;
    }
    if (threads)
        closedir(threads);
    return all;
}

enum hp_signal_state hp_process_signal(pid_t pid, int number, bool answered)
{
    char path[64];
    struct masks masks;
    if (number < 1 || number > 64)
        return HP_SIGNAL_NONE;
    uint64_t bit = 1ull << (number - 1);
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (!read_masks(path, &masks))
        return answered ? HP_SIGNAL_ANSWERED : HP_SIGNAL_TAKEN;
    if (masks.ignored & bit)
        return HP_SIGNAL_IGNORED;
    if (masks.blocked & bit && all_threads_block(pid, bit))
        return HP_SIGNAL_BLOCKED;
    if (!(masks.caught & bit))
        return HP_SIGNAL_DEADLY;
    return answered ? HP_SIGNAL_ANSWERED : HP_SIGNAL_TAKEN;
}

uint64_t hp_process_max_rss(pid_t pid)
{
    char path[64], line[256];
    uint64_t kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "VmHWM:", 6))
            kib = strtoull(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return kib * 1024;
}

struct hp_resident hp_process_resident(pid_t pid, const char *ledger)
{
    char number[16], buffer[16384];
    struct stat status = {0};
    struct hp_resident_hints hints = {.ledger_inode = hp_sys_stat(ledger, &status) == 0 ? (uint64_t)status.st_ino : 0};
    snprintf(number, sizeof number, "%d", (int)pid);
    return hp_resident_of(number, (int)pid, &hints, buffer, sizeof buffer);
}

bool hp_process_is_over(pid_t pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return true;
    const char *end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL; /* the name may have any letters */
    fclose(file);
    return end && end[1] && strchr("ZX", end[2]);
}
