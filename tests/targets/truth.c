/* A target for the statistical tests that counts what it allocates, in the ways in which samplers
 * go wrong:
 *
 *   truth threads|realloc|aligned|fork|intervals [ROUNDS]
 *
 * At the end (in the case of fork: at the end of each process) it prints the truth, one line per
 * site. Every other object of a site is freed, so that live and cumulative differ.
 *
 *   site FUNCTION LIVE_OBJECTS LIVE_BYTES ALLOCATED_OBJECTS ALLOCATED_BYTES */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heapprof.h"

#ifdef __clang__
#define SITE __attribute__((noinline)) static
#else
#define SITE __attribute__((noinline, noclone)) static
#endif
#define KEEP(pointer) __asm__ volatile("# %1" : "+r"(pointer) : "i"(__LINE__) : "memory")

struct account {
    const char *name;
    uint64_t live_objects, live_bytes, allocated_objects, allocated_bytes;
};

enum { FIRST, SECOND, GROW, POSIX, ALIGNED, MEMALIGN, PARENT, CHILD, CHANGING, UNSEEN, SITES };
static struct account accounts[SITES] = {
    [FIRST] = {"site_first"},   [SECOND] = {"site_second"},   [GROW] = {"site_grow"},
    [POSIX] = {"site_posix"},   [ALIGNED] = {"site_aligned"}, [MEMALIGN] = {"site_memalign"},
    [PARENT] = {"site_parent"}, [CHILD] = {"site_child"},     [CHANGING] = {"site_changing"},
    [UNSEEN] = {"site_unseen"},
};

static void *made(unsigned site, void *pointer, size_t size)
{
    accounts[site].live_objects++;
    accounts[site].live_bytes += size;
    accounts[site].allocated_objects++;
    accounts[site].allocated_bytes += size;
    if (!pointer)
        abort();
    return pointer;
}

static void gone(unsigned site, size_t size)
{
    accounts[site].live_objects--;
    accounts[site].live_bytes -= size;
}

static void print_truth(void)
{
    for (unsigned i = 0; i < SITES; i++)
        if (accounts[i].allocated_objects)
            printf("site %s %lu %lu %lu %lu\n", accounts[i].name, accounts[i].live_objects, accounts[i].live_bytes,
                   accounts[i].allocated_objects, accounts[i].allocated_bytes);
    fflush(stdout);
}

#define MALLOC_SITE(name, number)                                                                                      \
    SITE void *name(size_t size)                                                                                       \
    {                                                                                                                  \
        void *pointer = malloc(size);                                                                                  \
        KEEP(pointer);                                                                                                 \
        return made(number, pointer, size);                                                                            \
    }

MALLOC_SITE(site_first, FIRST)
MALLOC_SITE(site_second, SECOND)
MALLOC_SITE(site_parent, PARENT)
MALLOC_SITE(site_child, CHILD)
MALLOC_SITE(site_changing, CHANGING)
MALLOC_SITE(site_unseen, UNSEEN)

SITE void *site_grow(void *old, size_t old_size, size_t size)
{
    void *pointer = realloc(old, size);
    KEEP(pointer);
    if (old)
        gone(GROW, old_size);
    return made(GROW, pointer, size);
}

SITE void *site_posix(size_t alignment, size_t size)
{
    void *pointer = NULL;
    int error = posix_memalign(&pointer, alignment, size);
    KEEP(pointer);
    return made(POSIX, error ? NULL : pointer, size);
}

SITE void *site_aligned(size_t alignment, size_t size)
{
    void *pointer = aligned_alloc(alignment, size);
    KEEP(pointer);
    return made(ALIGNED, pointer, size);
}

SITE void *site_memalign(size_t alignment, size_t size)
{
    void *pointer = memalign(alignment, size);
    KEEP(pointer);
    return made(MEMALIGN, pointer, size);
}

/* A thread's first allocation, and in every other thread a second one; threads run one after the
 * other. */
static void *short_thread(void *argument)
{
    uintptr_t number = (uintptr_t)argument;
    void *first = site_first(1024);
    if (number % 2) {
        free(first);
        gone(FIRST, 1024);
        site_second(1024);
    }
    return NULL;
}

static void threads(unsigned count)
{
    for (uintptr_t i = 0; i < count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, short_thread, (void *)i) || pthread_join(thread, NULL))
            abort();
    }
}

/* Buffers that grow in steps of 100 to 300 bytes, to 4,000; every other one is freed. */
static void grow(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        void *buffer = NULL;
        size_t size = 0;
        for (unsigned step = 0; step < 20; step++) {
            size_t next = size + 100 + (i * 7 + step * 13) % 201;
            buffer = site_grow(buffer, size, next);
            size = next;
        }
        if (i % 2) {
            free(buffer);
            gone(GROW, size);
        }
    }
}

static void aligned(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        size_t alignment = 16ul << i % 8, size = (500 + i % 1000 + alignment) / alignment * alignment;
        void *objects[] = {site_posix(alignment, size + 1), site_aligned(alignment, size),
                           site_memalign(alignment, size)};
        for (unsigned k = 0; k < 3 && i % 2; k++) {
            free(objects[k]);
            gone(POSIX + k, k ? size : size + 1);
        }
    }
}

static void child(void **kept, unsigned count)
{
    memset(&accounts[CHILD], 0, sizeof accounts[CHILD]);
    accounts[CHILD].name = "site_child";
    for (unsigned i = 0; i < count; i++) {
        free(kept[i]);
        gone(PARENT, 4000);
    }
    for (unsigned i = 0; i < 50; i++) {
        void *pointer = site_child(4000);
        if (i % 2) {
            free(pointer);
            gone(CHILD, 4000);
        }
    }
    print_truth();
    _exit(0);
}

/* Children that free all that the parent had, and allocate little; the parent goes on with what it
 * has. */
static void forks(unsigned count)
{
    enum { KEPT = 60 };
    static void *kept[KEPT];
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = i % 2; k < KEPT; k += 2) {
            if (kept[k]) {
                free(kept[k]);
                gone(PARENT, 4000);
            }
            kept[k] = site_parent(4000);
        }
        if (i % 4)
            continue;
        pid_t pid = i ? fork() : -1; /* not before all is kept */
        if (pid == 0)
            child(kept, KEPT);
        if (pid > 0 && waitpid(pid, NULL, 0) != pid)
            abort();
    }
}

static void allocate_changing(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        void *pointer = site_changing(1000);
        if (i % 2) {
            free(pointer);
            gone(CHANGING, 1000);
        }
    }
}

/* The interval changes every 256 KiB; now and then sampling is off for a while. A thread learns
 * that it is off at its next sample, and that it is on after 16 MiB at most: what is allocated
 * until then goes to sites that nobody looks at. */
static void intervals(unsigned count)
{
    static const uint64_t sizes[] = {4096, 16384, 8192};
    for (unsigned i = 0; i < count; i++) {
        heapprof_interval(sizes[i % 3]);
        allocate_changing(256);
        if (i % 200 != 100)
            continue;
        heapprof_enable(0);
        for (unsigned k = 0; k < 4096; k++)
            free(site_second(1000));
        for (unsigned k = 0; k < 16; k++)
            site_unseen(100000);
        heapprof_enable(1);
        for (unsigned k = 0; k < 17 * 1049; k++)
            free(site_second(1000));
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(unsigned count);
        unsigned count;
    } cases[] = {{"threads", threads, 100000},
                 {"realloc", grow, 80000},
                 {"aligned", aligned, 60000},
                 {"fork", forks, 6000},
                 {"intervals", intervals, 4001}};
    for (unsigned i = 0; argc > 1 && i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(argv[1], cases[i].name))
            continue;
        cases[i].run(argc > 2 ? (unsigned)atoi(argv[2]) : cases[i].count);
        print_truth();
        return 0;
    }
    fprintf(stderr, "usage: truth threads|realloc|aligned|fork|intervals [ROUNDS]\n");
    return 2;
}
