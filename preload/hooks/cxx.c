/* The hooks of C++'s operator new and delete.
 *
 * libstdc++'s operators call malloc and free, and are counted there; those of tcmalloc, jemalloc and mimalloc go to the
 * allocator directly, and must be counted here. Which kind is behind us shows when the target calls it: the call comes
 * by our malloc, or it does not. Names of libraries tell nothing about a program with its own operators.
 *
 * The symbols are those of the Itanium C++ ABI. All forms of new take a size, then an alignment or nothing, then a
 * nothrow_t reference or nothing; each is called with three words, of which the callee takes what it knows.
 */
#include "hooks/hooks.h"

#include <stdbool.h>
#include <stdint.h>

#include "allocators/symbols.h"
#include "kinds/heap/filter.h"
#include "kinds/heap/operator_frames.h"
#include "kinds/heap/sampler.h"

enum {
    NEW,
    NEW_ARRAY,
    NEW_NOTHROW,
    NEW_ARRAY_NOTHROW,
    NEW_ALIGNED,
    NEW_ARRAY_ALIGNED,
    NEW_ALIGNED_NOTHROW,
    NEW_ARRAY_ALIGNED_NOTHROW,
    DELETE,
    DELETE_ARRAY,
    DELETE_SIZED,
    DELETE_ARRAY_SIZED,
    DELETE_NOTHROW,
    DELETE_ARRAY_NOTHROW,
    DELETE_ALIGNED,
    DELETE_ARRAY_ALIGNED,
    DELETE_SIZED_ALIGNED,
    DELETE_ARRAY_SIZED_ALIGNED,
    DELETE_ALIGNED_NOTHROW,
    DELETE_ARRAY_ALIGNED_NOTHROW,
    OPERATORS
};

static const char *const names[OPERATORS] = {"_Znwm",
                                             "_Znam",
                                             "_ZnwmRKSt9nothrow_t",
                                             "_ZnamRKSt9nothrow_t",
                                             "_ZnwmSt11align_val_t",
                                             "_ZnamSt11align_val_t",
                                             "_ZnwmSt11align_val_tRKSt9nothrow_t",
                                             "_ZnamSt11align_val_tRKSt9nothrow_t",
                                             "_ZdlPv",
                                             "_ZdaPv",
                                             "_ZdlPvm",
                                             "_ZdaPvm",
                                             "_ZdlPvRKSt9nothrow_t",
                                             "_ZdaPvRKSt9nothrow_t",
                                             "_ZdlPvSt11align_val_t",
                                             "_ZdaPvSt11align_val_t",
                                             "_ZdlPvmSt11align_val_t",
                                             "_ZdaPvmSt11align_val_t",
                                             "_ZdlPvSt11align_val_tRKSt9nothrow_t",
                                             "_ZdaPvSt11align_val_tRKSt9nothrow_t"};

/* `which` says which form was called: a fourth word, which the operators behind us do not look at. */
typedef void *new_function(size_t, uintptr_t, uintptr_t, uintptr_t which);
typedef void delete_function(void *, uintptr_t, uintptr_t, uintptr_t which);

static void *next[OPERATORS]; /* the operators behind us */

/* What the hooks jump to: what finds out which kind the operator is; then the operator itself, or what counts. */
static new_function first_new;
static delete_function first_delete;
static new_function *hot_new[DELETE] = {first_new, first_new, first_new, first_new,
                                        first_new, first_new, first_new, first_new};
static delete_function *hot_delete[OPERATORS - DELETE] = {first_delete, first_delete, first_delete, first_delete,
                                                          first_delete, first_delete, first_delete, first_delete,
                                                          first_delete, first_delete, first_delete, first_delete};

static void *fallback_new(size_t size, uintptr_t b, uintptr_t c, uintptr_t which)
{
    return hp_next.malloc(size ? size : 1);
}

static void fallback_delete(void *pointer, uintptr_t b, uintptr_t c, uintptr_t which)
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
        if (i < DELETE)
            hp_operators_set(i, (uintptr_t)symbols[i].address, symbols[i].size);
        __atomic_store_n(&next[i], found, __ATOMIC_RELEASE);
    }
}

/* Looking them up takes a lock of the loader, which a thread may hold that waits for the one that is first to use new:
 * better here, where there is one thread. Only those that come later by dlopen are left for then. */
__attribute__((constructor)) static void find_early(void)
{
    find_operators(false);
}

static void *call_new(uintptr_t which, size_t size, uintptr_t b, uintptr_t c)
{
    return ((new_function *)next[which])(size, b, c, which);
}

static void call_delete(uintptr_t which, void *pointer, uintptr_t b, uintptr_t c)
{
    ((delete_function *)next[which])(pointer, b, c, which);
}

static HP_COLD void *sampled_new(size_t size, uintptr_t b, uintptr_t c, uintptr_t which)
{
    bool due = hp_hook_due(size);
    void *pointer = call_new(which, size, b, c); /* may throw: nothing of ours is open */
    if (due && pointer)
        hp_record(pointer, size, HP_FRAME);
    return pointer;
}

static void *counted_new(size_t size, uintptr_t b, uintptr_t c, uintptr_t which)
{
    if (__builtin_expect(hp_charge(size), 0))
        return sampled_new(size, b, c, which);
    return call_new(which, size, b, c);
}

/* libstdc++ rounds the size up to a multiple of the alignment before it calls aligned_alloc, which has to count what
 * the program asked for. */
static void *told_new(size_t size, uintptr_t b, uintptr_t c, uintptr_t which)
{
    hp_thread.asked = size + 1;
    return call_new(which, size, b, c);
}

static void learn_operators(void)
{
    if (!hp_next.allocator)
        hp_next_resolve();
    if (!__atomic_load_n(&next[OPERATORS - 1], __ATOMIC_ACQUIRE))
        find_operators(true);
}

/* How often each form was seen to come by our hooks of malloc. A signal handler that allocates in just that moment
 * looks the same: it is believed the second time. */
static uint8_t forwards[DELETE];

static delete_function looked_delete;

/* What is counted in new is looked for in delete; otherwise delete comes by our free, which does. One that counts
 * decides for all. */
static void choose_deletes(bool counted)
{
    static bool any_counted;
    if (counted)
        __atomic_store_n(&any_counted, true, __ATOMIC_RELAXED);
    for (unsigned i = DELETE; i < OPERATORS; i++)
        __atomic_store_n(&hot_delete[i - DELETE],
                         __atomic_load_n(&any_counted, __ATOMIC_RELAXED) ? looked_delete : (delete_function *)next[i],
                         __ATOMIC_RELEASE);
}

/* The target's own call shows which kind the operator is: the thread's counter moves, or its cold path is entered, when
 * the operator comes by our malloc. Nothing is asked of an allocator that the target didn't ask. */
static HP_UNSEEN HP_COLD void *first_new(size_t size, uintptr_t b, uintptr_t c, uintptr_t which)
{
    struct hp_thread *thread = &hp_thread;
    learn_operators();
    thread->asked = which >= NEW_ALIGNED ? size + 1 : 0;
    uint64_t left = thread->left;
    uint32_t cold = thread->cold_calls;
    void *pointer = call_new(which, size, b, c);
    thread->asked = 0;
    if (thread->left != left || thread->cold_calls != cold) {
        if (__atomic_add_fetch(&forwards[which], 1, __ATOMIC_RELAXED) >= 2) {
            __atomic_store_n(&hot_new[which], which >= NEW_ALIGNED ? told_new : (new_function *)next[which],
                             __ATOMIC_RELEASE);
            choose_deletes(false);
        }
        return pointer;
    }
    choose_deletes(true); /* before the first sample gets out */
    __atomic_store_n(&hot_new[which], counted_new, __ATOMIC_RELEASE);
    if (pointer && hp_charge(size) && hp_hook_due(size))
        hp_record(pointer, size, HP_FRAME);
    return pointer;
}

/* Where this delete comes by our free, too, that finds the object gone, and must not take it for one that it never
 * saw. */
static HP_COLD void sampled_delete(void *pointer, uintptr_t b, uintptr_t c, uintptr_t which)
{
    hp_forget(pointer);
    hp_thread.forgotten = (uintptr_t)pointer;
    call_delete(which, pointer, b, c);
    hp_thread.forgotten = 0;
}

static void looked_delete(void *pointer, uintptr_t b, uintptr_t c, uintptr_t which)
{
    if (__builtin_expect(hp_maybe_sampled(pointer), 0))
        return sampled_delete(pointer, b, c, which);
    call_delete(which, pointer, b, c);
}

/* Until a new has shown what it is. */
static HP_COLD void first_delete(void *pointer, uintptr_t b, uintptr_t c, uintptr_t which)
{
    learn_operators();
    looked_delete(pointer, b, c, which);
}

/* All three words are handed on, also those that a form does not have: a jump, with nothing to set but `which`. */
static inline __attribute__((always_inline)) void *new_object(uintptr_t which, size_t size, uintptr_t b, uintptr_t c)
{
    return hot_new[which](size, b, c, which);
}

static inline __attribute__((always_inline)) void delete_object(uintptr_t which, void *pointer, uintptr_t b,
                                                                uintptr_t c)
{
    hot_delete[which - DELETE](pointer, b, c, which);
}

HP_HOOK void *_Znwm(size_t size, uintptr_t b, uintptr_t c);
HP_HOOK void *_Znam(size_t size, uintptr_t b, uintptr_t c);
HP_HOOK void *_ZnwmRKSt9nothrow_t(size_t size, uintptr_t b, uintptr_t c);
HP_HOOK void *_ZnamRKSt9nothrow_t(size_t size, uintptr_t b, uintptr_t c);
HP_HOOK void *_ZnwmSt11align_val_t(size_t size, uintptr_t b, uintptr_t c);
HP_HOOK void *_ZnamSt11align_val_t(size_t size, uintptr_t b, uintptr_t c);
HP_HOOK void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t b, uintptr_t c);
HP_HOOK void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdlPv(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdaPv(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdlPvm(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdaPvm(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdlPvRKSt9nothrow_t(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdaPvRKSt9nothrow_t(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdlPvSt11align_val_t(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdaPvSt11align_val_t(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdlPvmSt11align_val_t(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdaPvmSt11align_val_t(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *pointer, uintptr_t b, uintptr_t c);
HP_HOOK void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *pointer, uintptr_t b, uintptr_t c);

void *_Znwm(size_t size, uintptr_t b, uintptr_t c)
{
    return new_object(NEW, size, b, c);
}

void *_Znam(size_t size, uintptr_t b, uintptr_t c)
{
    return new_object(NEW_ARRAY, size, b, c);
}

void *_ZnwmRKSt9nothrow_t(size_t size, uintptr_t b, uintptr_t c)
{
    return new_object(NEW_NOTHROW, size, b, c);
}

void *_ZnamRKSt9nothrow_t(size_t size, uintptr_t b, uintptr_t c)
{
    return new_object(NEW_ARRAY_NOTHROW, size, b, c);
}

void *_ZnwmSt11align_val_t(size_t size, uintptr_t b, uintptr_t c)
{
    return new_object(NEW_ALIGNED, size, b, c);
}

void *_ZnamSt11align_val_t(size_t size, uintptr_t b, uintptr_t c)
{
    return new_object(NEW_ARRAY_ALIGNED, size, b, c);
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t b, uintptr_t c)
{
    return new_object(NEW_ALIGNED_NOTHROW, size, b, c);
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, uintptr_t b, uintptr_t c)
{
    return new_object(NEW_ARRAY_ALIGNED_NOTHROW, size, b, c);
}

void _ZdlPv(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE, pointer, b, c);
}

void _ZdaPv(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_ARRAY, pointer, b, c);
}

void _ZdlPvm(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_SIZED, pointer, b, c);
}

void _ZdaPvm(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_ARRAY_SIZED, pointer, b, c);
}

void _ZdlPvRKSt9nothrow_t(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_NOTHROW, pointer, b, c);
}

void _ZdaPvRKSt9nothrow_t(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_ARRAY_NOTHROW, pointer, b, c);
}

void _ZdlPvSt11align_val_t(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_ALIGNED, pointer, b, c);
}

void _ZdaPvSt11align_val_t(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_ARRAY_ALIGNED, pointer, b, c);
}

void _ZdlPvmSt11align_val_t(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_SIZED_ALIGNED, pointer, b, c);
}

void _ZdaPvmSt11align_val_t(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_ARRAY_SIZED_ALIGNED, pointer, b, c);
}

void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_ALIGNED_NOTHROW, pointer, b, c);
}

void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *pointer, uintptr_t b, uintptr_t c)
{
    delete_object(DELETE_ARRAY_ALIGNED_NOTHROW, pointer, b, c);
}
