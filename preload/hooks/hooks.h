/* hooks.h - shared by the files that define the hooks. */
#ifndef HP_PRELOAD_HOOKS_H
#define HP_PRELOAD_HOOKS_H

/* A function of the target's interface; all else is hidden. */
#define HP_HOOK __attribute__((visibility("default")))
/* The twin of a hook that is taken for one allocation in thousands. */
#define HP_COLD __attribute__((cold, noinline))
/* The frame of a cold twin, from which the stack is walked: the hook jumped there, so its caller is the target. */
#define HP_FRAME __builtin_frame_address(0)

/* A hook that stays on the stack while the allocator may come back to our malloc: it is left out of stacks. */
#define HP_UNSEEN __attribute__((section("hp_unseen")))

#endif
