/* The hooks that are not about memory: ways to end a process that run no destructors, the way into a seccomp filter, and
 * the end of a library. And the functions of heapprof.h. */
#include "hooks/hooks.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "allocators/next.h"
#include "arch/arch.h"
#include "heapprof.h"
#include "kinds/heap/figures.h"
#include "kinds/heap/record.h"
#include "ledger/snapshot.h"
#include "ledger/sys.h"
#include "life/dump.h"
#include "life/library.h"
#include "unwind/modules.h"
#include "unwind/step.h"
#include "unwind/unwind.h"

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

static void note_prctl(long operation, unsigned long value)
{
    if (operation == PR_SET_SECCOMP)
        hp_library_before_seccomp();
    if (operation == PR_SET_TSC)
        hp_library.no_time_stamps = value == PR_TSC_SIGSEGV;
}

HP_HOOK int prctl(int operation, ...)
{
    va_list arguments;
    unsigned long a[4];
    va_start(arguments, operation);
    for (unsigned i = 0; i < 4; i++)
        a[i] = va_arg(arguments, unsigned long);
    va_end(arguments);
    note_prctl(operation, a[0]);
    if (!hp_next.prctl)
        hp_next_resolve();
    return hp_next.prctl(operation, a[0], a[1], a[2], a[3]);
}

/* seccomp(2) has no function of its own in libc, and libseccomp calls it by this one. hp_next.syscall is looked up when the
 * library starts, or here. */
void hp_syscall_called(long number, long first, unsigned long second);
void hp_syscall_called(long number, long first, unsigned long second)
{
    if (number == SYS_seccomp)
        hp_library_before_seccomp();
    if (number == SYS_prctl)
        note_prctl(first, second);
    if (!hp_next.syscall)
        hp_next_resolve();
}

HP_HOOK long syscall(long number, ...);
HP_SYSCALL_HOOK("hp_syscall_called", "hp_next");
_Static_assert(offsetof(struct hp_next, syscall) == 0, "as the hook has it");
_Static_assert(SYS_seccomp == HP_SYS_SECCOMP && SYS_prctl == HP_SYS_PRCTL, "as the hook has them");

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
    if (ledger && !hp_library_was_forked())
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
    hp_library_check_fork();
    struct hp_ledger *ledger = hp_library_ledger();
    struct heapprof_stats now = {.size = sizeof now};
    if (!ledger)
        return -ENOSYS;
    const struct hp_audit audit = hp_audit_read(ledger);
    now.interval = hp_interval_now(ledger);
    now.samples = audit.samples;
    now.lost = audit.lost;
    now.truncated = audit.truncated;
    now.unmatched_frees = audit.unmatched_frees;
    now.own_bytes = hp_ledger_own_bytes(ledger);
    now.own_ns = hp_audit_own_ns(&audit);
    hp_live_each(&hp_library.region.store, add_live, &now);
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
