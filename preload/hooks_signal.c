/* The hooks by which the target installs handlers of signals.
 *
 * Of the library's handler the target sees what would be there without it: the default action. When it asks for that, ours
 * comes back, which stands in its place from the start. And what they see is for `heapprof ps`, which tells whether the
 * signal that asks for a dump is still answered by the library: kill(1) at a program that has taken it over does whatever
 * that program means by it. Rejected: to ask the kernel in the cold path, a system call that a seccomp filter may not know;
 * from outside, /proc tells only that there is some handler.
 */
#include "hooks.h"

#include <signal.h>

#include "library.h"
#include "next.h"

typedef void handler(int);

#if defined(__x86_64__)
#define ADDED_FLAGS 0x04000000 /* SA_RESTORER */
#else
#define ADDED_FLAGS 0
#endif

handler *__sysv_signal(int number, handler *wanted); /* signal(3) of programs that ask for System V */

/* What the target is told of the signal where our handler stands for the default action: what it has asked for itself. It
 * has asked for nothing as long as this is zero, which is what the kernel tells of a signal that nobody has touched. */
static struct sigaction shown;

HP_HOOK int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    struct sigaction own, before = shown;
    if (!hp_next.sigaction)
        hp_next_resolve();
    const bool is_default = action && hp_library_answers(number) && hp_library_is_default(action);
    if (is_default) {
        shown = *action;
        hp_library_own_action(&own);
        action = &own;
    }
    int result = hp_next.sigaction(number, action, old);
    if (is_default) /* libc puts in the way back from a handler, and tells of it */
        shown.sa_flags |= ADDED_FLAGS;
    if (result == 0 && old && hp_library_answers(number) && old->sa_handler == hp_library_handler) {
        before.sa_restorer = before.sa_flags & ADDED_FLAGS ? old->sa_restorer : NULL;
        *old = before;
    }
    if (action)
        hp_library_note_handler(number);
    return result;
}

static handler *set_handler(handler *(*next)(int, handler *), int number, handler *wanted)
{
    struct sigaction own;
    handler *old = next(number, wanted);
    if (hp_library_answers(number) && old != SIG_ERR && wanted == SIG_DFL) {
        hp_library_own_action(&own);
        hp_next.sigaction(number, &own, &shown);
    }
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
