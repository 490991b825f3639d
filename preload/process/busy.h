/* busy.h - whether the calling thread is inside the cold path already: in a signal handler that interrupted it.
 *
 * The cold path is marked by an address in its own stack frame, so that nobody has to reset the mark: one who jumped
 * out of a handler (siglongjmp) has left the frame, and the next to come finds the mark below itself, on the same
 * stack.
 */
#ifndef HP_PRELOAD_BUSY_H
#define HP_PRELOAD_BUSY_H

#include "process/thread.h"

/* True if a mark at this address, made by the calling thread, is of a frame that was left. (busy.c) */
bool hp_is_left(uintptr_t mark);

/* False: the caller interrupted the cold path of its own thread. */
static inline bool hp_is_idle(struct hp_thread *thread)
{
    return !thread->busy || hp_is_left(thread->busy);
}

static inline __attribute__((always_inline)) void hp_busy_begin(struct hp_thread *thread)
{
    thread->busy = (uintptr_t)__builtin_frame_address(0);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void hp_busy_end(struct hp_thread *thread)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    thread->busy = 0;
}

#endif
