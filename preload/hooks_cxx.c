/* The hooks of C++'s operator new and delete.
 *
 * libstdc++'s operators call malloc and free, and are counted there; those of tcmalloc, jemalloc and mimalloc go to the
 * allocator directly, and must be counted here. Which kind is behind us is found out by calling it once and seeing
 * whether the call comes by our malloc: names of libraries tell nothing about a program with its own operators.
 *
 * The symbols are those of the Itanium C++ ABI. All forms of new take a size, then an alignment or nothing, then a
 * nothrow_t reference or nothing; each is called with three words, of which the callee takes what it knows.
 */
#include "hooks.h"

#include <stdbool.h>
#include <stdint.h>

#include "library.h"
#include "next.h"
#include "record.h"
#include "sampler.h"
#include "symbols.h"

enum { NEW, NEW_ARRAY, NEW_NOTHROW, NEW_ARRAY_NOTHROW, NEW_ALIGNED, NEW_ARRAY_ALIGNED, NEW_ALIGNED_NOTHROW,
       NEW_ARRAY_ALIGNED_NOTHROW, DELETE, DELETE_ARRAY, DELETE_SIZED, DELETE_ARRAY_SIZED, DELETE_NOTHROW,
       DELETE_ARRAY_NOTHROW, DELETE_ALIGNED, DELETE_ARRAY_ALIGNED, DELETE_SIZED_ALIGNED, DELETE_ARRAY_SIZED_ALIGNED,
       DELETE_ALIGNED_NOTHROW, DELETE_ARRAY_ALIGNED_NOTHROW, OPERATORS };

static const char *const names[OPERATORS] = {
    "_Znwm", "_Znam", "_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t", "_ZnamSt11align_val_tRKSt9nothrow_t", "_ZdlPv", "_ZdaPv", "_ZdlPvm",
    "_ZdaPvm", "_ZdlPvRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t", "_ZdlPvSt11align_val_t", "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t", "_ZdaPvmSt11align_val_t", "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t"};

typedef void *new_function(size_t, uintptr_t, uintptr_t);
typedef void delete_function(void *, uintptr_t, uintptr_t);

enum mode { UNKNOWN, FORWARD, COUNT };

static void *next[OPERATORS]; /* the operators behind us */
static enum mode modes[DELETE]; /* of each form of new; that of NEW stands for all forms of delete */

static void *fallback_new(size_t size, uintptr_t b, uintptr_t c)
{
    return hp_next.malloc(size ? size : 1);
}

static void fallback_delete(void *pointer, uintptr_t b, uintptr_t c)
{
    hp_next.free(pointer);
}

/* The operators may be in a library that came with a plugin, and not in the global scope; a program without any has
 * nobody to call these hooks, but for a lookup by name, and gets the fallbacks. */
static void find_operators(bool fall_back)
{
    struct hp_symbol symbols[OPERATORS];
    for (unsigned i = 0; i < OPERATORS; i++)
        symbols[i] = (struct hp_symbol){.name = names[i]};
    hp_find_symbols(symbols, OPERATORS, HP_SYMBOLS_ANY);
    if (!symbols[NEW].address && !fall_back)
        return;
    for (unsigned i = 0; i < OPERATORS; i++) {
        void *found = symbols[i].address;
        if (!found)
            found = i < DELETE ? (void *)fallback_new : (void *)fallback_delete;
        __atomic_store_n(&next[i], found, __ATOMIC_RELEASE);
    }
}

/* Looking them up takes a lock of the loader, which a thread may hold that waits for the one that is first to use new:
 * better here, where there is one thread. Only those that come later by dlopen are left for then. */
__attribute__((constructor)) static void find_early(void)
{
    find_operators(false);
}

static void *call_new(unsigned which, size_t size, uintptr_t b, uintptr_t c)
{
    return ((new_function *)next[which])(size, b, c);
}

/* By a call that is not counted, and one byte that is given back. */
static enum mode learn(unsigned which)
{
    struct hp_thread *thread = &hp_thread;
    static const char nothrow = 0; /* std::nothrow_t is empty */
    if (!hp_next.version)
        hp_next_resolve();
    if (!__atomic_load_n(&next[OPERATORS - 1], __ATOMIC_ACQUIRE))
        find_operators(true);
    void *room = hp_next.malloc(256); /* else the probe would call the program's new_handler, or throw */
    if (!room)
        return UNKNOWN;
    hp_next.free(room);
    uint64_t left = thread->left;
    bool kept = thread->own_call; /* an allocator that is asked for its figures may use new itself */
    bool aligned = which >= NEW_ALIGNED;
    thread->left = 0;
    thread->own_hit = false;
    thread->own_call = true;
    void *probe = call_new(which, 1, aligned ? 16 : (uintptr_t)&nothrow, (uintptr_t)&nothrow);
    enum mode mode = thread->own_hit ? FORWARD : COUNT; /* told by new alone: jemalloc's delete calls free */
    unsigned back = (aligned ? DELETE_ALIGNED : DELETE) + (which & 1);
    ((delete_function *)next[back])(probe, aligned ? 16 : 0, 0);
    thread->own_call = kept;
    thread->left = left;
    __atomic_store_n(&modes[which], mode, __ATOMIC_RELEASE);
    return mode;
}

static HP_COLD void *sampled_new(unsigned which, size_t size, uintptr_t b, uintptr_t c)
{
    if (!hp_due(size))
        return call_new(which, size, b, c);
    void *pointer = call_new(which, size, b, c); /* may throw: nothing of ours is open */
    pointer = hp_mark_fresh(pointer, size, which >= NEW_ALIGNED ? b : 0);
    if (pointer)
        hp_record(pointer, size, HP_FRAME);
    return pointer;
}

static HP_COLD void *first_new(unsigned which, size_t size, uintptr_t b, uintptr_t c)
{
    enum mode mode = learn(which);
    if (mode == COUNT && hp_charge(size))
        return sampled_new(which, size, b, c);
    hp_thread.asked = mode == FORWARD && which >= NEW_ALIGNED ? size + 1 : 0;
    return call_new(which, size, b, c);
}

static inline __attribute__((always_inline)) void *new_object(unsigned which, size_t size, uintptr_t b, uintptr_t c)
{
    enum mode mode = modes[which];
    if (__builtin_expect(mode == UNKNOWN, 0))
        return first_new(which, size, b, c);
    if (mode == COUNT && __builtin_expect(hp_charge(size), 0))
        return sampled_new(which, size, b, c);
    return call_new(which, size, b, c);
}

/* libstdc++ rounds the size up to a multiple of the alignment before it calls aligned_alloc, which has to count what the
 * program asked for. */
static inline __attribute__((always_inline)) void *new_aligned(unsigned which, size_t size, uintptr_t b, uintptr_t c)
{
    hp_thread.asked = modes[which] == FORWARD ? size + 1 : 0;
    return new_object(which, size, b, c);
}

/* The size of a marked object must not reach the allocator: it was allocated larger, to be aligned. */
static HP_COLD void sampled_delete(unsigned which, void *pointer, uintptr_t b, uintptr_t c)
{
    struct hp_thread *thread = &hp_thread;
    bool kept = thread->own_call;
    hp_forget(pointer);
    thread->own_call = true; /* where it ends in a call of free, that must not look for the object again */
    if (hp_is_marked(pointer))
        ((delete_function *)next[DELETE + (which & 1)])(pointer, 0, 0);
    else
        ((delete_function *)next[which])(pointer, b, c);
    thread->own_call = kept;
}

static HP_COLD void first_delete(unsigned which, void *pointer, uintptr_t b, uintptr_t c)
{
    if (learn(NEW) == COUNT)
        sampled_delete(which, pointer, b, c);
    else
        ((delete_function *)next[which])(pointer, b, c);
}

static inline __attribute__((always_inline)) void delete_object(unsigned which, void *pointer, uintptr_t b, uintptr_t c)
{
    if (__builtin_expect(modes[NEW] == UNKNOWN, 0))
        return first_delete(which, pointer, b, c);
    if (modes[NEW] == COUNT && __builtin_expect(hp_maybe_sampled(pointer), 0))
        return sampled_delete(which, pointer, b, c);
    ((delete_function *)next[which])(pointer, b, c);
}

HP_HOOK void *_Znwm(size_t size);
HP_HOOK void *_Znam(size_t size);
HP_HOOK void *_ZnwmRKSt9nothrow_t(size_t size, uintptr_t nothrow);
HP_HOOK void *_ZnamRKSt9nothrow_t(size_t size, uintptr_t nothrow);
HP_HOOK void *_ZnwmSt11align_val_t(size_t size, uintptr_t alignment);
HP_HOOK void *_ZnamSt11align_val_t(size_t size, uintptr_t alignment);
HP_HOOK void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t alignment, uintptr_t nothrow);
HP_HOOK void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t alignment, uintptr_t nothrow);
HP_HOOK void _ZdlPv(void *pointer);
HP_HOOK void _ZdaPv(void *pointer);
HP_HOOK void _ZdlPvm(void *pointer, size_t size);
HP_HOOK void _ZdaPvm(void *pointer, size_t size);
HP_HOOK void _ZdlPvRKSt9nothrow_t(void *pointer, uintptr_t nothrow);
HP_HOOK void _ZdaPvRKSt9nothrow_t(void *pointer, uintptr_t nothrow);
HP_HOOK void _ZdlPvSt11align_val_t(void *pointer, uintptr_t alignment);
HP_HOOK void _ZdaPvSt11align_val_t(void *pointer, uintptr_t alignment);
HP_HOOK void _ZdlPvmSt11align_val_t(void *pointer, size_t size, uintptr_t alignment);
HP_HOOK void _ZdaPvmSt11align_val_t(void *pointer, size_t size, uintptr_t alignment);
HP_HOOK void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *pointer, uintptr_t alignment, uintptr_t nothrow);
HP_HOOK void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *pointer, uintptr_t alignment, uintptr_t nothrow);

void *_Znwm(size_t size)
{
    return new_object(NEW, size, 0, 0);
}

void *_Znam(size_t size)
{
    return new_object(NEW_ARRAY, size, 0, 0);
}

void *_ZnwmRKSt9nothrow_t(size_t size, uintptr_t nothrow)
{
    return new_object(NEW_NOTHROW, size, nothrow, 0);
}

void *_ZnamRKSt9nothrow_t(size_t size, uintptr_t nothrow)
{
    return new_object(NEW_ARRAY_NOTHROW, size, nothrow, 0);
}

void *_ZnwmSt11align_val_t(size_t size, uintptr_t alignment)
{
    return new_aligned(NEW_ALIGNED, size, alignment, 0);
}

void *_ZnamSt11align_val_t(size_t size, uintptr_t alignment)
{
    return new_aligned(NEW_ARRAY_ALIGNED, size, alignment, 0);
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t alignment, uintptr_t nothrow)
{
    return new_aligned(NEW_ALIGNED_NOTHROW, size, alignment, nothrow);
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t alignment, uintptr_t nothrow)
{
    return new_aligned(NEW_ARRAY_ALIGNED_NOTHROW, size, alignment, nothrow);
}

void _ZdlPv(void *pointer)
{
    delete_object(DELETE, pointer, 0, 0);
}

void _ZdaPv(void *pointer)
{
    delete_object(DELETE_ARRAY, pointer, 0, 0);
}

void _ZdlPvm(void *pointer, size_t size)
{
    delete_object(DELETE_SIZED, pointer, size, 0);
}

void _ZdaPvm(void *pointer, size_t size)
{
    delete_object(DELETE_ARRAY_SIZED, pointer, size, 0);
}

void _ZdlPvRKSt9nothrow_t(void *pointer, uintptr_t nothrow)
{
    delete_object(DELETE_NOTHROW, pointer, nothrow, 0);
}

void _ZdaPvRKSt9nothrow_t(void *pointer, uintptr_t nothrow)
{
    delete_object(DELETE_ARRAY_NOTHROW, pointer, nothrow, 0);
}

void _ZdlPvSt11align_val_t(void *pointer, uintptr_t alignment)
{
    delete_object(DELETE_ALIGNED, pointer, alignment, 0);
}

void _ZdaPvSt11align_val_t(void *pointer, uintptr_t alignment)
{
    delete_object(DELETE_ARRAY_ALIGNED, pointer, alignment, 0);
}

void _ZdlPvmSt11align_val_t(void *pointer, size_t size, uintptr_t alignment)
{
    delete_object(DELETE_SIZED_ALIGNED, pointer, size, alignment);
}

void _ZdaPvmSt11align_val_t(void *pointer, size_t size, uintptr_t alignment)
{
    delete_object(DELETE_ARRAY_SIZED_ALIGNED, pointer, size, alignment);
}

void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *pointer, uintptr_t alignment, uintptr_t nothrow)
{
    delete_object(DELETE_ALIGNED_NOTHROW, pointer, alignment, nothrow);
}

void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *pointer, uintptr_t alignment, uintptr_t nothrow)
{
    delete_object(DELETE_ARRAY_ALIGNED_NOTHROW, pointer, alignment, nothrow);
}
