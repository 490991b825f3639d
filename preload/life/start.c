#include "life/start.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "allocators/next.h"
#include "kinds/heap/filter.h"
#include "base/sys.h"
#include "life/describe.h"
#include "life/finish.h"
#include "life/fork.h"
#include "life/handler.h"
#include "life/new_ledger.h"
#include "process/complain.h"
#include "process/library.h"
#include "unwind/unwind.h"

static void complain_of_option(const char *variable, const char *value, const char *used)
{
    char shortened[256];
    size_t length = strnlen(value, sizeof shortened - 4);
    memcpy(shortened, value, length);
    memcpy(shortened + length, value[length] ? "..." : "\0\0\0", 4);
    const char *const parts[] = {variable, "=", shortened, " can't be understood; using ", used};
    hp_complain(parts, 5);
}

/* HEAPPROF_FOLLOW=0: take ourselves out of what the target hands on to programs that it executes. */
static void stop_following(void)
{
    for (char **variable = environ; variable && *variable; variable++) {
        if (strncmp(*variable, "LD_PRELOAD=", 11))
            continue;
        char *to = *variable + 11;
        for (char *from = to; *from;) {
            size_t separators = strspn(from, " :"), length = strcspn(from + separators, " :");
            const char *own = memmem(from + separators, length, "libheapprof.so", 14);
            if (!own) {
                memmove(to, from, separators + length);
                to += separators + length;
            }
            from += separators + length;
        }
        *to = '\0';
    }
}

/* Before libc is initialised, as in a program's .preinit_array, environ is not set yet: the variables lie where the
 * kernel put them, behind argc and argv. */
static char **initial_environment(void)
{
    extern void *__libc_stack_end;
    const long *count = __libc_stack_end;
    return (char **)(count + 1) + *count + 1;
}

/* False: this process is not to be profiled, or can't be. */
static bool start(void)
{
    struct stat status = {0};
    hp_next_resolve();
    if (getauxval(AT_SECURE))
        return false; /* a setuid program must not write files for whoever started it */
    hp_library.pid = hp_sys_getpid();
    hp_library.handler = (uintptr_t)hp_library_handler;
    if (hp_sys_fstat(2, &status) == 0) {
        hp_library.stderr_file[0] = (uint64_t)status.st_dev;
        hp_library.stderr_file[1] = (uint64_t)status.st_ino;
    }
    if (hp_sys_getcwd(hp_library.directory, sizeof hp_library.directory) < 0)
        memcpy(hp_library.directory, "/", 2);
    char **environment = environ ? environ : initial_environment();
    hp_options_read(&hp_library.options, environment, hp_library.directory, complain_of_option);
    if (hp_library.options.disable)
        return false;
    hp_fork_guard();
    hp_sys_madvise(hp_filter, sizeof hp_filter, MADV_DONTDUMP);
    const char *folder = hp_library.options.ledger;
    memcpy(hp_library.folder, folder, strnlen(folder, sizeof hp_library.folder - 1));
    hp_library.armed_interval = hp_library.options.interval ? hp_library.options.interval : HP_INTERVAL_USUAL;
    if (!hp_library_new_ledger(hp_library.options.interval)) {
        const char *const parts[] = {"no memory for the profile: this process is not profiled"};
        hp_complain(parts, 1);
        return false;
    }
    __atomic_store_n(&hp_library.state, HP_LIBRARY_READY, __ATOMIC_RELEASE);
    return true;
}

/* What may call malloc, and so comes when the ledger is ready, on the constructor only. */
static void start_rest(void)
{
    if (hp_library.options.engine != HP_ENGINE_CFI && hp_unwind_init(hp_library.options.engine) < 0) {
        const char *const parts[] = {"HEAPPROF_UNWINDER=libunwind: libunwind.so.8 can't be loaded; using cfi"};
        hp_complain(parts, 1);
    }
    hp_fork_handlers();
    (void)at_quick_exit(hp_library_exit); /* fails without memory: then only quick_exit goes unnoticed */
    hp_library_install_handler(hp_library.options.signal);
    hp_library_note_handler(hp_library.options.signal);
    if (!hp_library.options.follow)
        stop_following();
}

bool hp_library_start(void)
{
    uint32_t state = __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE);
    if (state != HP_LIBRARY_NEW)
        return state != HP_LIBRARY_STARTING && state != HP_LIBRARY_OFF;
    if (!__atomic_compare_exchange_n(&hp_library.state, &state, HP_LIBRARY_STARTING, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    const bool started = start();
    if (!started)
        __atomic_store_n(&hp_library.state, HP_LIBRARY_OFF, __ATOMIC_RELEASE);
    return started;
}

__attribute__((constructor)) static void on_load(void)
{
    if (hp_library_start())
        start_rest();
}
