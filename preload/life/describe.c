#include "life/describe.h"

#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/parse.h"
#include "base/sys.h"
#include "process/library.h"
#include "unwind/modules.h"
#include "unwind/step.h"

enum { NOT_STARTED, READY };

static uint32_t description; /* NOT_STARTED, or READY: somebody is at it, or has done it */

uint64_t hp_pid_namespace(void)
{
    struct stat status = {0};
    return hp_sys_stat("/proc/self/ns/pid", &status) == 0 ? (uint64_t)status.st_ino : 0;
}

/* Where there is no /proc, the path that was executed; and where ld.so was told to start the program (the system gives
 * a base to all loaders but one that it took for a program), that for which /proc has ld.so's own. */
static void set_exe(struct hp_ledger *ledger, const char *directory)
{
    const char *name = (const char *)getauxval(AT_EXECFN);
    const bool by_loader = name && !getauxval(AT_BASE);
    size_t used = 0;
    if ((!by_loader && hp_sys_readlink("/proc/self/exe", ledger->exe, sizeof ledger->exe - 1) > 0) || !name)
        return;
    if (!strncmp(name, "./", 2))
        name += 2;
    if (*name != '/') {
        used = strlen(directory);
        memcpy(ledger->exe, directory, used);
        ledger->exe[used++] = '/';
    }
    size_t size = strnlen(name, sizeof ledger->exe);
    if (used + size < sizeof ledger->exe)
        memcpy(ledger->exe + used, name, size);
}

/* The first number in a file of the memory cgroup file system, or 0: there is none, or "max". */
static uint64_t read_limit(const char *path)
{
    char text[32];
    const char *p = text;
    uint64_t value = 0;
    int fd = hp_sys_open(path, O_RDONLY, 0);
    long size = fd < 0 ? 0 : hp_sys_read(fd, text, sizeof text - 1);
    if (fd >= 0)
        hp_sys_close(fd);
    text[size > 0 ? size : 0] = '\0';
    return hp_parse_number(&p, INT64_MAX, &value) ? value : 0;
}

/* "0::/PATH" (version 2) or "N:memory:/PATH" (version 1), one a line: the smallest limit on the way up to the root. */
static uint64_t limit_of(const char *line, size_t size)
{
    static const char unified[] = "/sys/fs/cgroup", split[] = "/sys/fs/cgroup/memory";
    static char name[HP_PATH_MAX]; /* once in a process, and stacks may be small */
    const char *path = memchr(line, '/', size);
    const bool is_unified = size > 3 && !memcmp(line, "0::", 3);
    if (!path || (!is_unified && !memmem(line, (size_t)(path - line), ":memory", 7)))
        return 0;
    const char *root = is_unified ? unified : split, *file = is_unified ? "/memory.max" : "/memory.limit_in_bytes";
    size_t used = strlen(root), length = size - (size_t)(path - line);
    uint64_t least = 0;
    if (used + length + 32 > sizeof name)
        return 0;
    memcpy(name, root, used);
    memcpy(name + used, path, length);
    for (size_t end = used + length; end >= used; end--) {
        if (end != used && end != used + length && name[end] != '/')
            continue;
        memcpy(name + end, file, strlen(file) + 1);
        uint64_t limit = read_limit(name);
        /* Version 1 says "none" by a number near 2^63. */
        if (limit && limit < 1ull << 60 && (!least || limit < least))
            least = limit;
    }
    return least;
}

static uint64_t memory_limit(void)
{
    static char text[HP_PATH_MAX];
    int fd = hp_sys_open("/proc/self/cgroup", O_RDONLY, 0);
    long size = fd < 0 ? 0 : hp_sys_read(fd, text, sizeof text);
    uint64_t least = 0;
    if (fd >= 0)
        hp_sys_close(fd);
    for (const char *line = text, *end = text + (size > 0 ? size : 0); line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((newline ? newline : end) - line);
        uint64_t limit = limit_of(line, length);
        if (limit && (!least || limit < least))
            least = limit;
        line += length + 1;
    }
    return least;
}

#define LIMIT_SHARE 20 /* of a memory cgroup's limit, the part that is ours at the most */
#define BUDGET_LEAST (1ull << 20)

/* The ledger lies in shared memory, which counts against the limit; beyond it the target would be killed. */
static void heed_memory_limit(struct hp_ledger *ledger)
{
    const uint64_t limit = memory_limit(), most = limit / LIMIT_SHARE;
    ledger->cgroup_limit = limit;
    if (limit && most < ledger->budget)
        __atomic_store_n(&ledger->budget, most > BUDGET_LEAST ? most : BUDGET_LEAST, __ATOMIC_RELAXED);
}

static void add_main_module(void)
{
    struct dl_find_object object;
    uintptr_t entry = getauxval(AT_ENTRY);
    if (hp_find_object(entry, &object))
        hp_module_frame(entry, &object);
}

static void set_program(struct hp_ledger *ledger)
{
    const char *name = (const char *)getauxval(AT_EXECFN);
    const char *slash = name ? strrchr(name, '/') : NULL;
    if (!name || !*name)
        name = ledger->exe;
    else if (slash && slash[1])
        name = slash + 1;
    memcpy(ledger->program, name, strnlen(name, sizeof ledger->program - 1));
}

void hp_describe_start(struct hp_ledger *ledger, const char *directory)
{
    set_exe(ledger, directory);
    set_program(ledger);
}

static bool describe(struct hp_ledger *ledger)
{
    uint32_t state = __atomic_load_n(&description, __ATOMIC_ACQUIRE);
    if (state != NOT_STARTED ||
        !__atomic_compare_exchange_n(&description, &state, READY, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return false;
    ledger->pid_namespace = hp_pid_namespace();
    heed_memory_limit(ledger);
    add_main_module();
    return true;
}

void hp_library_note_handler(int number)
{
    /* The kernel's struct begins with the handler on all processors; libc's wrapper may be another library's. */
    uintptr_t action[16] = {0};
    struct hp_ledger *ledger = hp_ledger_now();
    /* A vfork child shares this memory, but not the handlers; one of a fork that has no ledger tells when it has. */
    if (!number || number != hp_library.options.signal || !ledger || hp_library_was_forked() ||
        hp_sys_getpid() != hp_library.pid)
        return;
    if (hp_syscall(SYS_rt_sigaction, number, 0, (long)action, 8, 0, 0) == 0)
        __atomic_store_n(&ledger->signal_answered, action[0] == hp_library.handler, __ATOMIC_RELAXED);
}

/* Most pages of this table are touched by the first samples, one here and one there: at once they cost a tenth of what
 * they do one by one (sqlite3 ran 1 % slower). Before Linux 5.14 nothing happens. */
static void populate_steps(void)
{
    hp_sys_madvise(hp_step_cache, sizeof hp_step_cache, MADV_POPULATE_WRITE);
}

void hp_library_describe(void)
{
    if (describe(hp_library.region.store.ledger)) {
        populate_steps();
        hp_library_note_handler(hp_library.options.signal); /* Go's runtime installs its own without libc */
    }
}

void hp_describe_forked(void)
{
    description = NOT_STARTED;
}
