#include "process/busy.h"

#include <signal.h>

#include "ledger/region.h"
#include "base/sys.h"
#include "unwind/stack.h"

#define NEAR (1ul << 20) /* bytes of stack that a handler and what it calls take at most */

/* On a stack that the thread is known to own, who is above the mark has left its frame. On another one, of a fiber or
 * of handlers (sigaltstack), the kernel knows whether a handler is running; where it may not be asked any more, one
 * is. */
bool hp_is_left(uintptr_t mark)
{
    const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (hp_stack_is_same(here, mark))
        return here > mark;
    stack_t handlers = {.ss_flags = SS_ONSTACK};
    if (hp_region_is_sealed() || hp_syscall(SYS_sigaltstack, 0, (long)&handlers, 0, 0, 0, 0) < 0)
        return false;
    return !(handlers.ss_flags & SS_ONSTACK) && (here > mark || mark - here > NEAR);
}
