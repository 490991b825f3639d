/* busy.h - whether the calling thread is inside the cold path already: in a signal handler that interrupted it.
 *
 * The cold path is marked by an address in its own stack frame, so that nobody has to reset the mark: one who jumped out
 * of a handler (siglongjmp) has left the frame, and the next to come finds the mark below itself, on the same stack.
 */
#ifndef HP_PRELOAD_BUSY_H
#define HP_PRELOAD_BUSY_H

#include "sampler.h"

/* True if a mark at this address, made by the calling thread, is of a frame that was left. (busy.c) */
bool hp_is_left(struct hp_thread *thread, uintptr_t mark);

/* False: the caller interrupted the cold path of its own thread. */
static inline bool hp_is_idle(struct hp_thread *thread)
{
    return !thread->busy || hp_is_left(thread, thread->busy);
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

/* What the hooks call: the target may have its stack at an odd place (code that was never meant to be called from C), so
 * it is aligned here; and the direction flag set, which the ABI wants clear and the compiler's own copying needs so. Such a
 * function does nothing but call one that is not inlined into it, between these two. */
#if defined(__x86_64__)
#define HP_ENTRY __attribute__((force_align_arg_pointer))

#define HP_DIRECTION 0x400u

static inline __attribute__((always_inline)) uint64_t hp_entry_begin(void)
{
    const uint64_t direction = __builtin_ia32_readeflags_u64() & HP_DIRECTION;
    if (__builtin_expect(direction != 0, 0))
        __asm__ volatile("cld" : : : "memory");
    return direction;
}

static inline __attribute__((always_inline)) void hp_entry_end(uint64_t direction)
{
    if (__builtin_expect(direction != 0, 0))
        __asm__ volatile("std" : : : "memory");
}
#else
#define HP_ENTRY

static inline uint64_t hp_entry_begin(void)
{
    return 0;
}

static inline void hp_entry_end(uint64_t direction)
{
    (void)direction;
}
#endif

#endif
