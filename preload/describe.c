#include "describe.h"

#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "ledger/sys.h"
#include "modules.h"

#define WAIT_ROUNDS 10000 /* that a thread waits for another one */

enum { NOT_STARTED, STARTING, READY };

static uint32_t description; /* NOT_STARTED, STARTING, or READY */

uint64_t hp_pid_namespace(void)
{
    struct stat status = {0};
    return hp_sys_stat("/proc/self/ns/pid", &status) == 0 ? (uint64_t)status.st_ino : 0;
}

/* From the path that was executed, until /proc is asked, which takes time at the start of a process. */
static void set_exe(struct hp_ledger *ledger, const char *directory)
{
    const char *name = (const char *)getauxval(AT_EXECFN);
    size_t used = 0;
    if (!name)
        return;
    if (*name != '/') {
        used = strlen(directory);
        memcpy(ledger->exe, directory, used);
        ledger->exe[used++] = '/';
    }
    size_t size = strnlen(name, sizeof ledger->exe);
    if (used + size < sizeof ledger->exe)
        memcpy(ledger->exe + used, name, size);
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

bool hp_describe(struct hp_ledger *ledger)
{
    uint32_t state = __atomic_load_n(&description, __ATOMIC_ACQUIRE);
    const bool first = state == NOT_STARTED && __atomic_compare_exchange_n(&description, &state, STARTING, false,
                                                                           __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE);
    for (unsigned round = 0; !first && state == STARTING && round < WAIT_ROUNDS; round++) { /* another thread is at it */
        hp_syscall(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
        state = __atomic_load_n(&description, __ATOMIC_ACQUIRE);
    }
    if (!first && state == STARTING) /* and was stopped: nobody is to wait for it again */
        __atomic_store_n(&description, READY, __ATOMIC_RELEASE);
    if (!first)
        return false;
    ledger->pid_namespace = hp_pid_namespace();
    long length = hp_sys_readlink("/proc/self/exe", ledger->exe, sizeof ledger->exe - 1);
    if (length > 0)
        ledger->exe[length] = '\0';
    add_main_module();
    __atomic_store_n(&description, READY, __ATOMIC_RELEASE);
    return true;
}

void hp_describe_forked(void)
{
    if (description == STARTING)
        description = NOT_STARTED;
}
