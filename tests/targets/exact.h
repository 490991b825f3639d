/* exact.h - a target that knows what it allocated.
 *
 * Each site is a function of its own that keeps account of its objects. Objects wait on shelves, from which any thread
 * takes and frees what another one made. At the end the truth is printed, one line per site:
 *   site FUNCTION LIVE_OBJECTS LIVE_BYTES ALLOCATED_OBJECTS ALLOCATED_BYTES
 * The account itself allocates nothing.
 */
#ifndef EXACT_H
#define EXACT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 8
#define SHELF 48 /* objects that wait, per site */
#define SITES_MOST 64

/* A return value passes through here, so that the call that made it stays where it is and is no jump. The number keeps
 * the compiler from making one function of two that are equal. */
#ifdef __clang__
#define SITE __attribute__((noinline)) static
#else
#define SITE __attribute__((noinline, noclone)) static
#endif
#define KEEP(pointer) __asm__ volatile("# %1" : "+r"(pointer) : "i"(__LINE__) : "memory")

struct object {
    void *pointer;
    size_t size;      /* as asked for */
    unsigned site;    /* that made it */
    size_t alignment; /* 0: not said */
};

struct account {
    const char *name;
    int64_t live_objects, live_bytes, allocated_objects, allocated_bytes;
    struct object shelf[SHELF];
    pthread_mutex_t lock; /* guards the shelf */
};

static struct account accounts[SITES_MOST];

static void made(unsigned site, size_t size)
{
    struct account *account = &accounts[site];
    __atomic_fetch_add(&account->live_objects, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&account->live_bytes, (int64_t)size, __ATOMIC_RELAXED);
    __atomic_fetch_add(&account->allocated_objects, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&account->allocated_bytes, (int64_t)size, __ATOMIC_RELAXED);
}

static void gone(const struct object *object)
{
    struct account *account = &accounts[object->site];
    __atomic_fetch_sub(&account->live_objects, 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&account->live_bytes, (int64_t)object->size, __ATOMIC_RELAXED);
}

/* Put an object on a shelf; what lay in its place is the caller's. */
static struct object exchange(unsigned shelf, unsigned place, struct object object)
{
    struct account *account = &accounts[shelf];
    pthread_mutex_lock(&account->lock);
    struct object old = account->shelf[place % SHELF];
    account->shelf[place % SHELF] = object;
    pthread_mutex_unlock(&account->lock);
    return old;
}

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void check(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "exact: %s\n", what);
    abort();
}

static void print_truth(void)
{
    for (unsigned i = 0; i < SITES_MOST; i++) {
        const struct account *account = &accounts[i];
        if (account->name)
            printf("site %s %lld %lld %lld %lld\n", account->name, (long long)account->live_objects,
                   (long long)account->live_bytes, (long long)account->allocated_objects,
                   (long long)account->allocated_bytes);
    }
    fflush(stdout);
}

static int run_threads(void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < SITES_MOST; i++)
        pthread_mutex_init(&accounts[i].lock, NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, body, (void *)(i + 1)))
            return 1;
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    print_truth();
    return 0;
}

#endif
