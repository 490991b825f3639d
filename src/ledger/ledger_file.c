#include "ledger/ledger_file.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>

#include "base/decimal.h"
#include "base/sys.h"

static size_t append(char *path, size_t at, const char *text)
{
    while (*text && at + 1 < HP_PATH_MAX)
        path[at++] = *text++;
    path[at] = '\0';
    return at;
}

static size_t append_number(char *path, size_t at, uint64_t value)
{
    char digits[HP_DECIMAL_MOST + 1];
    digits[hp_put_decimal(digits, value, 1)] = '\0';
    return append(path, at, digits);
}

/* "PID (NAME) STATE PPID ...": the name may hold anything, also blanks and parentheses. */
static uint64_t parse_start(char *stat)
{
    char *p = strrchr(stat, ')');
    for (unsigned field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    uint64_t start = 0;
    for (p = p ? p + 1 : stat; *p >= '0' && *p <= '9'; p++)
        start = start * 10 + (uint64_t)(*p - '0');
    return start;
}

uint64_t hp_boot_ticks(void)
{
    return hp_clock_ns(CLOCK_BOOTTIME) / 10000000;
}

uint64_t hp_process_start(int pid)
{
    char text[HP_PATH_MAX];
    size_t at = append(text, 0, "/proc/");
    append(text, pid ? append_number(text, at, (uint64_t)pid) : append(text, at, "self"), "/stat");
    int fd = hp_sys_open(text, O_RDONLY, 0);
    if (fd < 0)
        return 0;
    long size = hp_sys_read(fd, text, sizeof text - 1);
    hp_sys_close(fd);
    text[size > 0 ? size : 0] = '\0';
    return parse_start(text);
}

static size_t user_folder(char *path, const char *folder, unsigned uid)
{
    return append_number(path, append(path, append(path, 0, folder), "/heapprof-"), uid);
}

int hp_ledger_folder_path(char path[HP_PATH_MAX], const char *folder, unsigned uid)
{
    struct stat status = {0};
    size_t length = user_folder(path, folder, uid);
    if (length + 64 > HP_PATH_MAX)
        return -ENAMETOOLONG;
    int error = hp_sys_lstat(path, &status);
    if (error == -ENOENT) { /* once only: making what is there takes longer than looking */
        error = hp_sys_mkdir(path, 0700);
        if (error < 0 && error != -EEXIST)
            return error;
        error = hp_sys_lstat(path, &status);
    }
    if (error < 0)
        return error;
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    if (status.st_uid != uid || status.st_mode & 022)
        return -EPERM; /* somebody else's, or one that others may put things into */
    return (int)length;
}

/* Puts the name at path + at; the path's length. */
static size_t append_name(char *path, size_t at, int pid, uint64_t number)
{
    at = append_number(path, at, (uint64_t)pid);
    if (number)
        at = append_number(path, append(path, at, "."), number);
    return append(path, at, ".ledger");
}

int hp_ledger_file_path(char path[HP_PATH_MAX], const char *folder, unsigned uid, int pid, uint64_t number)
{
    size_t at = append(path, user_folder(path, folder, uid), "/");
    return append_name(path, at, pid, number) + 1 >= HP_PATH_MAX ? -ENAMETOOLONG : 0;
}

int hp_ledger_file_beside(char path[HP_PATH_MAX], int pid, uint64_t number)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return -ENOENT;
    return append_name(path, (size_t)(slash + 1 - path), pid, number) + 1 >= HP_PATH_MAX ? -ENAMETOOLONG : 0;
}

void hp_ledger_file_hold(int fd)
{
    hp_sys_flock(fd, LOCK_EX | LOCK_NB);
}

bool hp_ledger_file_is_held(const char *path, uint64_t *made)
{
    struct stat status = {0};
    int fd = hp_sys_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return fd != -ENOENT && fd != -ELOOP;
    /* Without a size it is being made. A shared lock: those who look don't keep each other from seeing. */
    bool held = (hp_sys_fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0) ||
                hp_sys_flock(fd, LOCK_SH | LOCK_NB) == -EAGAIN;
    hp_sys_close(fd);
    if (made) /* what the mapping changes leaves the time as it is */
        *made = (uint64_t)status.st_mtim.tv_sec * 1000000000u + (uint64_t)status.st_mtim.tv_nsec;
    return held;
}

void hp_descriptor_path(char path[HP_PATH_MAX], int fd)
{
    append_number(path, append(path, 0, "/proc/self/fd/"), (uint64_t)fd);
}

static bool take_number(const char **text, uint64_t most, uint64_t *value)
{
    const char *p = *text;
    uint64_t sum = 0;
    for (; *p >= '0' && *p <= '9' && sum <= most / 10; p++)
        sum = sum * 10 + (uint64_t)(*p - '0');
    bool good = p != *text && sum <= most;
    *text = p;
    *value = sum;
    return good;
}

bool hp_ledger_file_parse(const char *name, int *pid, uint64_t *number)
{
    uint64_t value;
    *number = 0;
    if (!take_number(&name, INT32_MAX, &value) || *name != '.')
        return false;
    *pid = (int)value;
    if (name[1] >= '1' && name[1] <= '9') {
        name++;
        if (!take_number(&name, INT64_MAX, number))
            return false;
    }
    return !strcmp(name, ".ledger");
}

/* What prune knows of a folder: as many of the dead as are kept, the newest ones. */
struct dead {
    uint64_t made, number;
    int pid;
};

struct prune {
    const char *folder;
    struct dead dead[HP_DEAD_MOST];
    unsigned count;
};

static void name_ledger(char path[HP_PATH_MAX], const char *folder, const struct dead *dead)
{
    append_name(path, append(path, append(path, 0, folder), "/"), dead->pid, dead->number);
}

static void remove_ledger(const char *folder, const struct dead *dead)
{
    char path[HP_PATH_MAX];
    name_ledger(path, folder, dead);
    hp_sys_unlink(path);
}

static void consider(struct prune *prune, const char *name)
{
    struct dead dead;
    char path[HP_PATH_MAX];
    if (!hp_ledger_file_parse(name, &dead.pid, &dead.number))
        return;
    name_ledger(path, prune->folder, &dead);
    if (hp_ledger_file_is_held(path, &dead.made))
        return;
    unsigned oldest = 0;
    for (unsigned i = 1; i < prune->count; i++)
        if (prune->dead[i].made < prune->dead[oldest].made)
            oldest = i;
    if (prune->count < HP_DEAD_MOST) {
        prune->dead[prune->count++] = dead;
    } else if (dead.made < prune->dead[oldest].made) {
        remove_ledger(prune->folder, &dead);
    } else {
        remove_ledger(prune->folder, &prune->dead[oldest]);
        prune->dead[oldest] = dead;
    }
}

void hp_ledger_file_prune(const char *folder)
{
    struct prune prune = {.folder = folder};
    /* As getdents64(2) lays it out. */
    struct entry {
        uint64_t inode, offset;
        uint16_t size;
        uint8_t type;
        char name[];
    };
    char buffer[2048] __attribute__((aligned(8))) = {0};
    unsigned files = 0;
    for (int round = 0; round < 2; round++) {
        int fd = hp_sys_open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (fd < 0)
            return;
        long size;
        while ((size = hp_syscall(SYS_getdents64, fd, (long)buffer, sizeof buffer, 0, 0, 0)) > 0) {
            for (long at = 0; at < size;) {
                const struct entry *entry = (const struct entry *)(buffer + at);
                if (round == 0)
                    files++;
                else
                    consider(&prune, entry->name);
                at += entry->size;
            }
        }
        hp_sys_close(fd);
        if (files <= 2 * HP_DEAD_MOST + 2) /* "." and ".."; not each time that one is too many */
            return;
    }
}
