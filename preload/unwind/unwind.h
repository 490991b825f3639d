/* unwind.h - the stack of the calling thread, as frames (see ledger.h).
 *
 * The default engine interprets call frame information and keeps what it learned about each return address in a small
 * cache shared by all threads. It takes no lock, makes no system call on the thread's own stack (on a foreign one, a
 * fiber's for example, one for each new page, to see whether it can be read), allocates nothing, and reads no memory
 * but the stack and the tables of loaded objects. Anything odd ends the walk with what there is.
 * Async-signal-safe. Uses less than 2 KiB of stack besides the caller's array.
 */
#ifndef HP_PRELOAD_UNWIND_H
#define HP_PRELOAD_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* HEAPPROF_UNWINDER */
enum hp_engine { HP_ENGINE_CFI, HP_ENGINE_LIBUNWIND, HP_ENGINE_FP };

/* What a walk met on its way. */
struct hp_met {
    bool truncated; /* there are more frames than were asked for */
    bool whole;     /* it went up to the outermost frame, without a guess */
    bool signal;    /* a signal handler's frame: something was interrupted */
};

/* The frames above the function whose __builtin_frame_address(0) is `frame_address`: its caller first. At most
 * `most`. */
unsigned hp_unwind(const void *frame_address, uint64_t *frames, unsigned most, struct hp_met *met);

/* Choose the engine. HP_ENGINE_LIBUNWIND loads libunwind.so.8: not in a signal handler. Returns 0, or -ENOENT when it
 * can't be loaded (the engine is then HP_ENGINE_CFI). */
int hp_unwind_init(enum hp_engine engine);

#endif
