/* step.h - how to leave the frame of one return address, and the cache of what was found out.
 *
 * Shared by all threads without a lock, in a few ns when it is there. Async-signal-safe, as is all of unwind.h.
 */
#ifndef HP_PRELOAD_STEP_H
#define HP_PRELOAD_STEP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* How to leave the frame of one return address: the common forms of a row, with the expressions gone. */
enum hp_step_kind {
    HP_STEP_UNKNOWN = 0, /* no tables: made at run time, or by hand; most such code keeps frame pointers */
    HP_STEP_END,         /* outermost */
    HP_STEP_SP,          /* CFA = sp + cfa */
    HP_STEP_FP,          /* CFA = fp + cfa */
    HP_STEP_FP_INDIRECT, /* CFA = *(fp + cfa): a function that realigned its stack */
    HP_STEP_SIGNAL,      /* registers in a ucontext at sp */
    HP_STEP_COMPLEX,     /* needs all registers */
};

enum hp_fp_kind { HP_FP_SAME, HP_FP_AT_CFA, HP_FP_AT_FP };

/* What walk_simple takes: CFA counted from sp or fp and at least 16 bytes beyond sp, as it is at every call; fp kept,
 * or saved between sp and the CFA. All offsets multiples of 8. */
enum { HP_SIMPLE = 1, HP_SIMPLE_FROM_FP = 2, HP_SIMPLE_RESTORES_FP = 4 };

struct hp_step {
    uint64_t frame; /* 0: of a function of ours that is not to be seen (HP_UNSEEN) */
    int32_t cfa;
    int16_t fp;
    uint8_t kind : 4, fp_kind : 4;
    uint8_t simple;
};

/* Direct-mapped. key: the return address, the generation in which the step was found, HP_STEP_EXACT when it is no
 * return address, and HP_STEP_SIMPLE when walk_simple takes it: so it need not ask. A step is written only while its
 * key is HP_STEP_BUSY, and is always the same for the same key: a reader that finds the key before and after it read
 * the step has the right one. Zero-filled is valid: no key is 0. */
struct hp_cached_step {
    uint64_t key;
    union {
        struct hp_step step;
        uint64_t words[sizeof(struct hp_step) / sizeof(uint64_t)];
    };
} __attribute__((aligned(32))); /* never in two cache lines */

#define HP_STEP_CACHE_SIZE 4096u
#define HP_STEP_EXACT (1ull << 63)
#define HP_STEP_SIMPLE (1ull << 62)
#define HP_STEP_GENERATION_SHIFT 48 /* addresses of user space are smaller */
#define HP_STEP_GENERATIONS (1u << 14)
#define HP_STEP_BUSY 1ull

extern struct hp_cached_step hp_step_cache[HP_STEP_CACHE_SIZE] __attribute__((visibility("hidden")));
extern uint32_t hp_step_generation __attribute__((visibility("hidden"))); /* objects were unloaded so often */

/* Find out, from the tables of the object that `pc` lies in, and remember. */
void hp_step_learn(uint64_t key, uintptr_t pc, bool exact, struct hp_step *step);
/* Forget everything: an object was unloaded, and its addresses may belong to another one now. */
void hp_step_forget(void);

static inline struct hp_cached_step *hp_step_slot(uint64_t key)
{
    return &hp_step_cache[(key * 0x9e3779b97f4a7c15ull) >> 52];
}

/* Of an address, with flags. */
static inline uint64_t hp_step_key(uint64_t address)
{
    uint64_t now = __atomic_load_n(&hp_step_generation, __ATOMIC_RELAXED) % HP_STEP_GENERATIONS;
    return address | now << HP_STEP_GENERATION_SHIFT;
}

/* False: it is not there, or another thread is writing it. */
static inline bool hp_step_recall(uint64_t key, struct hp_step *step)
{
    const struct hp_cached_step *slot = hp_step_slot(key);
    if (__atomic_load_n(&slot->key, __ATOMIC_ACQUIRE) != key)
        return false;
    const uint64_t words[] = {__atomic_load_n(&slot->words[0], __ATOMIC_RELAXED),
                              __atomic_load_n(&slot->words[1], __ATOMIC_RELAXED)};
    _Static_assert(sizeof *step == sizeof words, "a step is two words"); /* cppcheck counts three */
    /* cppcheck-suppress bufferAccessOutOfBounds */
    memcpy(step, words, sizeof *step);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&slot->key, __ATOMIC_RELAXED) == key;
}

static inline void hp_step_find(uintptr_t pc, bool exact, struct hp_step *step)
{
    uint64_t key = hp_step_key(pc | (exact ? HP_STEP_EXACT : 0));
    if (!hp_step_recall(key, step) && !hp_step_recall(key | HP_STEP_SIMPLE, step))
        hp_step_learn(key, pc, exact, step);
}

#endif
