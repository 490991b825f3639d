/* stack.h - which memory around a stack pointer may be read.
 *
 * A thread's own stack reaches from the stack pointer up to the thread control block, which glibc puts at its top, and
 * the main thread's up to __libc_stack_end; all of it is mapped. On any other stack (sigaltstack, fibers, clone without
 * pthreads), and on a main stack of more than 128 MiB, nothing is known, and each page is asked about before its first
 * use.
 */
#ifndef HP_PRELOAD_STACK_H
#define HP_PRELOAD_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_stack_range {
    uintptr_t low, high; /* words in [low, high) can be read */
    uintptr_t end;       /* beyond high: pages to be asked about, up to here */
};

/* The stack that `pointer` lies on. */
void hp_stack_find(struct hp_stack_range *range, uintptr_t pointer);
/* The same for a frame that a signal interrupted, coming from `range`; false if its stack can't be read. In the middle
 * of its epilogue, registers that it has just popped are still looked for below its stack pointer: in the red zone. */
bool hp_stack_find_interrupted(struct hp_stack_range *range, uintptr_t pointer);
/* Extend a foreign range so that it covers the word at `address`, if that is near and can be read. */
bool hp_stack_extend(struct hp_stack_range *range, uintptr_t address);

/* True if both addresses lie on one stack that the calling thread is known to own. */
bool hp_stack_is_same(uintptr_t a, uintptr_t b);

/* Bytes of stack left below the calling function; 0: not known (a foreign stack). */
size_t hp_stack_room(void);

static inline bool hp_stack_read(struct hp_stack_range *range, uintptr_t address, uintptr_t *word)
{
    if (address & (sizeof *word - 1) || address < range->low ||
        (address + sizeof *word > range->high && !hp_stack_extend(range, address)))
        return false;
    *word = *(const uintptr_t *)address;
    return true;
}

#endif
