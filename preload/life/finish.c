#include "life/finish.h"

#include "kinds/heap/figures.h"
#include "base/sys.h"
#include "life/describe.h"
#include "life/dump.h"
#include "life/dump_turns.h"
#include "life/fork.h"
#include "process/library.h"

static uint32_t exited;

void hp_library_exit(void)
{
    const bool at_exit = hp_library.options.at_exit;
    uint32_t state = __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE);
    if (state == HP_LIBRARY_NEW || state == HP_LIBRARY_OFF ||
        (!at_exit && (hp_library_was_forked() || hp_library_is_child())))
        return; /* a child that used nothing leaves nothing */
    hp_library_check_fork();
    if (hp_region_is_sealed() && !at_exit) {
        /* A filter may kill whoever asks for its number or removes a file: the command removes the ledger. */
        struct hp_ledger *left = hp_ledger_now();
        if (left)
            left->closed = 1;
        return;
    }
    if (hp_sys_getpid() != hp_library.pid)
        return; /* a vfork child that could not exec */
    struct hp_ledger *ledger = hp_library_ledger();
    if (!ledger || __atomic_exchange_n(&exited, 1, __ATOMIC_ACQ_REL))
        return;
    int error = 0;
    if (at_exit) {
        hp_figures_ask(ledger, __builtin_frame_address(0), true);
        error = hp_dump(NULL);
    }
    hp_dump_end();
    if (error < 0)
        return; /* rights were dropped, the disk is full: the ledger is left, as by a kill, for `heapprof recover` */
    ledger->closed = 1;
    hp_region_remove(&hp_library.region);
}

__attribute__((destructor)) static void on_unload(void)
{
    hp_library_exit();
}

void hp_library_before_seccomp(void)
{
    hp_library_check_fork();
    if (hp_library_ledger()) {
        hp_library_describe();
        hp_region_reserve_ahead(&hp_library.region, 4u << 20);
    }
    hp_region_seal();
}
