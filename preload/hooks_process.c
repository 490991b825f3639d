/* The hooks that are not about memory: ways to end a process that run no destructors, the way into a seccomp filter, and
 * the end of a library. And the functions of heapprof.h. */
#include "hooks.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "dump.h"
#include "figures.h"
#include "heapprof.h"
#include "ledger/snapshot.h"
#include "ledger/sys.h"
#include "library.h"
#include "modules.h"
#include "next.h"
#include "record.h"
#include "step.h"
#include "unwind.h"

_Noreturn void _Exit(int status);
int heapprof_v1_dump(const char *path);
int heapprof_v1_enable(int on);
int heapprof_v1_interval(uint64_t bytes);
int heapprof_v1_read_stats(struct heapprof_stats *stats, size_t size);

static _Noreturn void leave(int status)
{
    hp_library_exit();
    for (;;)
        hp_syscall(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

HP_HOOK _Noreturn void _exit(int status)
{
    leave(status);
}

HP_HOOK _Noreturn void _Exit(int status)
{
    leave(status);
}

/* libseccomp sets no_new_privs first, and so must every program without privileges. */
HP_HOOK int prctl(int operation, ...)
{
    va_list arguments;
    unsigned long a[4];
    va_start(arguments, operation);
    for (unsigned i = 0; i < 4; i++)
        a[i] = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (operation == PR_SET_SECCOMP || (operation == PR_SET_NO_NEW_PRIVS && a[0]))
        hp_library_before_seccomp();
    if (!hp_next.prctl)
        hp_next_resolve();
    return hp_next.prctl(operation, a[0], a[1], a[2], a[3]);
}

/* The next library may come to stand at the same addresses, with a link map at the same place, and look the same. */
HP_HOOK int dlclose(void *handle)
{
    if (!hp_next.dlclose)
        hp_next_resolve();
    int result = hp_next.dlclose(handle);
    hp_modules_forget();
    hp_step_forget();
    return result;
}

HP_HOOK int heapprof_v1_dump(const char *path)
{
    struct hp_ledger *ledger = hp_ledger_now();
    int kept = errno;
    if (ledger)
        hp_figures_ask(ledger, HP_FRAME, false);
    errno = kept;
    return hp_dump(path);
}

HP_HOOK int heapprof_v1_interval(uint64_t bytes)
{
    return hp_library_set_interval(bytes);
}

HP_HOOK int heapprof_v1_enable(int on)
{
    return hp_library_set_interval(on ? __atomic_load_n(&hp_library.armed_interval, __ATOMIC_RELAXED) : 0);
}

static void add_live(void *state, uint64_t address, const struct hp_live_data *data)
{
    struct heapprof_stats *stats = state;
    stats->live_objects++;
    stats->live_bytes += data->size;
}

HP_HOOK int heapprof_v1_read_stats(struct heapprof_stats *stats, size_t size)
{
    struct hp_ledger *ledger = hp_ledger_now();
    struct heapprof_stats now = {.size = sizeof now};
    struct timespec clock;
    if (!ledger)
        return -ENOSYS;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    uint64_t clock_ns = (uint64_t)clock.tv_sec * 1000000000 + (uint64_t)clock.tv_nsec;
    const struct hp_audit audit = hp_audit_read(ledger);
    now.interval = hp_interval_now(ledger);
    now.samples = audit.samples;
    now.lost = audit.lost;
    now.truncated = audit.truncated;
    now.unmatched_frees = audit.unmatched_frees;
    now.own_bytes = hp_ledger_own_bytes(ledger);
    now.own_ns = hp_ticks_to_ns(ledger, audit.own_ticks, hp_ticks(), clock_ns);
    hp_live_each(ledger, add_live, &now);
    __builtin_memcpy(stats, &now, size < sizeof now ? size : sizeof now);
    return 0;
}

/* The plain names, for dlsym and debuggers; in C they are the inline functions of heapprof.h. */
__asm__(".globl heapprof_dump\n.set heapprof_dump, heapprof_v1_dump\n.type heapprof_dump, @function\n"
        ".globl heapprof_enable\n.set heapprof_enable, heapprof_v1_enable\n.type heapprof_enable, @function\n"
        ".globl heapprof_interval\n.set heapprof_interval, heapprof_v1_interval\n"
        ".type heapprof_interval, @function\n"
        ".globl heapprof_read_stats\n.set heapprof_read_stats, heapprof_v1_read_stats\n"
        ".type heapprof_read_stats, @function\n");
