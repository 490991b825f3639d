#include "unwind/stack.h"

#include "arch/arch.h"
#include "base/sys.h"

#define MAIN_STACK_MOST (128ul << 20) /* Linux keeps at least this much free of mappings below the main stack's top */
#define FOREIGN_MOST (1ul << 30)      /* how far up a foreign stack, or a main stack beyond the above, is followed */

/* The calling thread's; 0: not known yet, 1: it can't be found out. */
static __thread struct {
    uintptr_t low, high;
} own __attribute__((tls_model("initial-exec")));

extern void *__libc_stack_end; /* of the dynamic linker: the stack pointer at the program's start */

/* glibc's struct pthread holds, next to each other, the stack's lowest address, its
 * size, and the size of the guard. Where in it differs between versions, so the place is found by what must hold: the
 * block lies within that stack, near its top. The main thread has zeroes there. */
static bool find_own_stack(void)
{
    const uintptr_t *block = hp_thread_block();
    const uintptr_t control = (uintptr_t)block;
    const uintptr_t room = HP_PAGE - control % HP_PAGE; /* the block may end with its page */
    for (unsigned i = 16; i < 256 && (i + 3) * sizeof *block < (room > 2304 ? room : 2304); i++) {
        uintptr_t low = block[i], size = block[i + 1], guard = block[i + 2];
        if (low && low < control && size >= 16384 && size < 1ul << 40 && low + size > control &&
            low + size - control < 1ul << 20 && guard < size && guard % HP_PAGE == 0 && (size | low) % 16 == 0) {
            own.low = low + guard;
            own.high = control;
            return true;
        }
    }
    return false;
}

void hp_stack_find(struct hp_stack_range *range, uintptr_t pointer)
{
    uintptr_t main_end = (uintptr_t)__libc_stack_end & ~(sizeof(uintptr_t) - 1);
    if (pointer < main_end && main_end - pointer < MAIN_STACK_MOST) {
        range->low = pointer;
        range->high = range->end = main_end;
        return;
    }
    if (!own.high && !find_own_stack())
        own.high = own.low = 1; /* do not search again */
    if (pointer >= own.low && pointer < own.high) {
        range->low = pointer;
        range->high = range->end = own.high;
        return;
    }
    range->low = pointer;
    range->high = (pointer & ~(HP_PAGE - 1)) + HP_PAGE;
    range->end = range->high + FOREIGN_MOST;
}

static bool is_between(uintptr_t low, uintptr_t high, uintptr_t a, uintptr_t b)
{
    return a >= low && a < high && b >= low && b < high;
}

bool hp_stack_is_same(uintptr_t a, uintptr_t b)
{
    const uintptr_t main_end = (uintptr_t)__libc_stack_end;
    if (is_between(main_end - MAIN_STACK_MOST, main_end, a, b))
        return true;
    if (!own.high && !find_own_stack())
        own.high = own.low = 1;
    return is_between(own.low, own.high, a, b);
}

/* rt_sigprocmask with an unknown `how` changes nothing: the kernel copies the mask first, and then says EINVAL, or
 * EFAULT if it could not be read. */
static bool can_read(uintptr_t page)
{
    return hp_syscall(SYS_rt_sigprocmask, -1, (long)page, 0, 8, 0, 0) == -EINVAL;
}

bool hp_stack_find_interrupted(struct hp_stack_range *range, uintptr_t pointer)
{
    uintptr_t low = pointer - HP_RED_ZONE, page = pointer & ~(HP_PAGE - 1);
    bool known = pointer >= range->low && pointer < range->high;
    hp_stack_find(range, pointer);
    if (pointer >= own.low && pointer < own.high) {
        range->low = low > own.low ? low : own.low;
        return true;
    }
    range->low = low > page ? low : page; /* whether the page before can be read is not known */
    return known || can_read(page);
}

/* Asked anew in each walk: the page may have been unmapped since the last one. What lies between is not asked about
 * where a frame is larger than a page; then only the word's own page is known, for this once. */
bool hp_stack_extend(struct hp_stack_range *range, uintptr_t address)
{
    const uintptr_t page = (address + sizeof(uintptr_t) - 1) & ~(HP_PAGE - 1);
    if (address + sizeof(uintptr_t) > range->end || !can_read(page))
        return false;
    if (page == range->high)
        range->high += HP_PAGE;
    return true;
}

size_t hp_stack_room(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    struct hp_stack_range range;
    hp_stack_find(&range, here);
    if (own.high > 1 && here >= own.low && here < own.high)
        return here - own.low;
    return range.end - range.high ? 0 : 1 << 20; /* the main stack grows */
}
