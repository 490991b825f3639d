/* The hooks by which the target installs handlers of signals.
 *
 * Of the library's handler the target sees what would be there without it: the default action. What it installs stays,
 * the default action too: a program may mean to end by it. Only where it puts back just what it was told, the library's
 * handler comes back: the struct has a member that programs don't look at. And what they see is for `heapprof ps`,
 * which tells whether the signal that asks for a dump is still answered by the library: kill(1) at a program that has
 * taken it over does whatever that program means by it. Rejected: to ask the kernel in the cold path, a system call
 * that a seccomp filter may not know; from outside, /proc tells only that there is some handler.
 */
#include "hooks/hooks.h"

#include <signal.h>

#include "allocators/next.h"
#include "life/describe.h"
#include "life/handler.h"

typedef void handler(int);

handler *__sysv_signal(int number, handler *wanted); /* signal(3) of programs that ask for System V */

/* As sa_restorer, of a default action that stands for ours. It is never called: the kernel looks at it for handlers
 * only, and libc sets its own. */
static void stands_for_ours(void) {}

HP_HOOK int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    struct sigaction own;
    if (!hp_next.sigaction)
        hp_next_resolve();
    if (action && hp_library_answers(number) && action->sa_handler == SIG_DFL &&
        action->sa_restorer == stands_for_ours) {
        hp_library_own_action(&own);
        action = &own;
    }
    int result = hp_next.sigaction(number, action, old);
    if (result == 0 && old && hp_library_answers(number) && old->sa_handler == hp_library_handler)
        *old = (struct sigaction){.sa_handler = SIG_DFL, .sa_restorer = stands_for_ours};
    if (action)
        hp_library_note_handler(number);
    return result;
}

static handler *set_handler(handler *(*next)(int, handler *), int number, handler *wanted)
{
    handler *old = next(number, wanted);
    hp_library_note_handler(number);
    return hp_library_answers(number) && old == hp_library_handler ? SIG_DFL : old;
}

HP_HOOK handler *signal(int number, handler *wanted)
{
    if (!hp_next.signal)
        hp_next_resolve();
    return set_handler(hp_next.signal, number, wanted);
}

HP_HOOK handler *__sysv_signal(int number, handler *wanted)
{
    if (!hp_next.sysv_signal)
        hp_next_resolve();
    return set_handler(hp_next.sysv_signal, number, wanted);
}

HP_HOOK handler *sigset(int number, handler *wanted)
{
    if (!hp_next.sigset)
        hp_next_resolve();
    return set_handler(hp_next.sigset, number, wanted);
}
