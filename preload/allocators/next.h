/* next.h - the allocator behind the library: the functions that the target would have called without it.
 *
 * hp_next holds them; before they are looked up, each leads to a stub that looks them all up and goes on. hp_hot holds
 * what the hooks jump to: the same functions, or, at interval 1, the library's own that record, because a signal
 * handler may find its thread's counter in the middle of a change, and because frees of unknown objects are counted
 * then.
 */
#ifndef HP_PRELOAD_NEXT_H
#define HP_PRELOAD_NEXT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocators/allocators.h"

struct hp_next {
    long (*syscall)(long, ...); /* first, for the hook that is written in assembler */
    void *(*malloc)(size_t);
    void (*free)(void *);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*reallocarray)(void *, size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    void (*free_sized)(void *, size_t); /* C23; NULL where the allocator has none, as all below */
    void (*free_aligned_sized)(void *, size_t, size_t);
    size_t (*malloc_usable_size)(void *);
    void *(*mallocx)(size_t, int);
    void *(*rallocx)(void *, size_t, int);
    size_t (*xallocx)(void *, size_t, size_t, int);
    size_t (*sallocx)(const void *, int);
    void (*dallocx)(void *, int);
    void (*sdallocx)(void *, size_t, int);
    size_t (*nallocx)(size_t, int);
    int (*dlclose)(void *);
    int (*prctl)(int, unsigned long, unsigned long, unsigned long, unsigned long);
    int (*sigaction)(int, const struct sigaction *, struct sigaction *);
    void (*(*signal)(int, void (*)(int)))(int);
    void (*(*sysv_signal)(int, void (*)(int)))(int);
    void (*(*sigset)(int, void (*)(int)))(int);

    const struct hp_allocator *allocator; /* NULL: not looked up yet */
    bool reallocarray_is_allocators; /* it is of the same object as malloc, and does not call realloc by its name */
    char version[64];                /* name and version of the allocator */
};

struct hp_hot {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
};

extern struct hp_next hp_next __attribute__((visibility("hidden")));
extern struct hp_hot hp_hot __attribute__((visibility("hidden")));

/* Look all of them up. Any number of threads may do so at once; all find the same. */
void hp_next_resolve(void);

/* What the hooks jump to: the allocator's functions, or (not NULL) the hooks' own. */
void hp_next_set_hot(const struct hp_hot *own);

#endif
