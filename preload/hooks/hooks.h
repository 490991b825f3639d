/* hooks.h - shared by the files that define the hooks. */
#ifndef HP_PRELOAD_HOOKS_H
#define HP_PRELOAD_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

#include "allocators/next.h"
#include "hooks/cold.h"

/* A function of the target's interface; all else is hidden. */
#define HP_HOOK __attribute__((visibility("default")))
/* The twin of a hook that is taken for one allocation in thousands. */
#define HP_COLD __attribute__((cold, noinline))
/* The frame of a cold twin, from which the stack is walked: the hook jumped there, so its caller is the target. */
#define HP_FRAME __builtin_frame_address(0)

/* The hooks of malloc that record each object: what the hot ones jump to at interval 1. */
extern const struct hp_hot hp_exact_hooks __attribute__((visibility("hidden")));

static inline bool hp_is_exact(void)
{
    return hp_hot.free == hp_exact_hooks.free;
}

/* Jump to these, or to the allocator, as the interval in force wants it: after whatever may have changed that.
 * (malloc.c) */
void hp_hooks_follow(void);

/* hp_due, which may take over a new interval. */
static inline bool hp_hook_due(size_t n)
{
    const bool due = hp_due(n);
    hp_hooks_follow();
    return due;
}

/* A hook that stays on the stack while the allocator may come back to our malloc: it is left out of stacks. */
#define HP_UNSEEN __attribute__((section("hp_unseen")))

#endif
