#include "life/handler.h"

#include <string.h>

#include "allocators/next.h"
#include "base/sys.h"
#include "life/dump.h"
#include "process/library.h"

/* Nothing here touches thread-local memory: the signal may reach a thread that was made by clone(2) with no such
 * memory, or with its own. The ledger can be read at any moment, also in the middle of the cold path. */
void hp_library_handler(int number)
{
    /* A vfork child shares this memory, but is another process: the signal was not for us. */
    if (hp_sys_getpid() == hp_library.pid || hp_library_was_forked())
        hp_dump_requested();
}

void hp_library_own_action(struct sigaction *action)
{
    memset(action, 0, sizeof *action);
    action->sa_handler = hp_library_handler;
    action->sa_flags = SA_RESTART | SA_ONSTACK;
}

void hp_library_install_handler(int number)
{
    struct sigaction action, old;
    if (!number || hp_next.sigaction(number, NULL, &old) != 0 || old.sa_handler != SIG_DFL)
        return;
    hp_library_own_action(&action);
    if (hp_next.sigaction(number, &action, NULL) != 0)
        return;
    hp_library.signal = number;
}
