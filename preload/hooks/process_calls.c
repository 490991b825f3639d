/* The hooks that are not about memory: ways to end a process that run no destructors, the way into a seccomp filter,
 * and the end of a library. */
#include "hooks/hooks.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "allocators/next.h"
#include "arch/arch.h"
#include "base/sys.h"
#include "life/finish.h"
#include "process/library.h"
#include "unwind/modules.h"
#include "unwind/step.h"

_Noreturn void _Exit(int status);

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

/* seccomp(2) has no function of its own in libc, and libseccomp calls it by this one. hp_next.syscall is looked up when
 * the library starts, or here. */
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
