/* hooks.h - shared by the files that define the hooks. */
#ifndef HP_PRELOAD_HOOKS_H
#define HP_PRELOAD_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

/* A function of the target's interface; all else is hidden. */
#define HP_HOOK __attribute__((visibility("default")))
/* The twin of a hook that is taken for one allocation in thousands. */
#define HP_COLD __attribute__((cold, noinline))
/* The frame of a cold twin, from which the stack is walked: the hook jumped there, so its caller is the target. */
#define HP_FRAME __builtin_frame_address(0)

/* For an object fresh from the allocator, not yet seen by the target: if it is to be marked and is not, replace it by
 * one that is. `alignment`: what the target asked for, 0 if nothing. Returns `pointer` when that can't be done. */
void *hp_mark_fresh(void *pointer, size_t size, size_t alignment);

#endif
