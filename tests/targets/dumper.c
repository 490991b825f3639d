/* A target that allocates and then does what its first argument says; test_dump.sh knows what comes of it. */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "heapprof.h"

#define COUNT 2000
#define PLACES 64

static void *kept[COUNT];
static volatile int stop;

__attribute__((noinline)) static void *allocate_some(size_t size)
{
    void *pointer = malloc(size);
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    if (pointer)
        memset(pointer, 1, size);
    return pointer;
}

static void fill(void)
{
    for (unsigned i = 0; i < COUNT; i++)
        kept[i] = allocate_some(100 + i);
    for (unsigned i = 0; i < COUNT; i += 2) {
        free(kept[i]);
        kept[i] = NULL;
    }
}

static void *churn(void *argument)
{
    void *own[PLACES] = {NULL};
    for (unsigned i = 0; !stop; i++) {
        free(own[i % PLACES]);
        own[i % PLACES] = allocate_some(i % 3000 + 1);
    }
    for (unsigned i = 0; i < PLACES; i++)
        free(own[i]);
    return NULL;
}

/* COUNT signals at this process while 4 threads allocate. */
static int storm(int signal_number, int count)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, churn, NULL);
    for (int i = 0; i < count; i++) {
        kill(getpid(), signal_number);
        if (i % 16 == 0)
            pthread_kill(threads[i / 16 % 4], signal_number);
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    puts("done");
    return 0;
}

/* Each path of calls is a stack of its own: 2^depth of them. */
__attribute__((noinline)) static void paths(unsigned bits, int depth);

__attribute__((noinline)) static void left(unsigned bits, int depth)
{
    paths(bits >> 1, depth - 1);
    __asm__ volatile("");
}

__attribute__((noinline)) static void paths(unsigned bits, int depth)
{
    if (depth == 0)
        free(allocate_some(32));
    else if (bits & 1)
        left(bits, depth);
    else
        paths(bits >> 1, depth - 1);
    __asm__ volatile("");
}

__attribute__((noinline)) static void recurse(int depth)
{
    if (depth)
        recurse(depth - 1);
    else
        kept[0] = allocate_some(1000);
    __asm__ volatile("");
}

/* At a quiet moment: what the allocator says of itself, and a dump. */
static int figures(const char *path)
{
    int (*mallctl)(const char *, void *, size_t *, void *, size_t) =
        (int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT, "mallctl");
    int (*property)(const char *, size_t *) =
        (int (*)(const char *, size_t *))dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty");
    void (*process)(size_t *, size_t *, size_t *, size_t *, size_t *, size_t *, size_t *, size_t *) =
        (void (*)(size_t *, size_t *, size_t *, size_t *, size_t *, size_t *, size_t *, size_t *))dlsym(
            RTLD_DEFAULT, "mi_process_info");
    static char buffer[4096];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    for (int i = 0; i < 20; i++)
        fill();
    usleep(200000);
    for (int i = 0; i < 40; i++) /* one of them makes the library look */
        free(allocate_some(100000));
    usleep(1000);
    uint64_t in_use = 0, allocated = 0, system = 0;
    if (mallctl) {
        uint64_t epoch = 1;
        size_t size = sizeof epoch, value[4] = {0};
        static const char *const names[] = {"stats.allocated", "stats.active", "stats.mapped", "stats.retained"};
        mallctl("epoch", &epoch, &size, &epoch, sizeof epoch);
        for (int i = 0; i < 4; i++) {
            size = sizeof value[i];
            mallctl(names[i], &value[i], &size, NULL, 0);
        }
        allocated = value[0];
        in_use = value[1];
        system = value[2] + value[3];
    } else if (property) {
        size_t heap = 0, free_pages = 0, unmapped = 0, bytes = 0;
        property("generic.heap_size", &heap);
        property("tcmalloc.pageheap_free_bytes", &free_pages);
        property("tcmalloc.pageheap_unmapped_bytes", &unmapped);
        property("generic.current_allocated_bytes", &bytes);
        allocated = bytes;
        in_use = heap - free_pages - unmapped;
        system = heap;
    } else if (process) {
        size_t none, commit = 0;
        process(&none, &none, &none, &none, &none, &commit, &none, &none);
        in_use = commit;
    } else {
        struct mallinfo2 info = mallinfo2();
        allocated = in_use = info.uordblks + info.hblkhd;
        system = info.arena + info.hblkhd;
    }
    int error = heapprof_dump(path);
    printf("%d %llu %llu %llu\n", error, (unsigned long long)allocated, (unsigned long long)in_use,
           (unsigned long long)system);
    return 0;
}

static void on_signal(int number)
{
    static const char text[] = "handled\n";
    if (write(1, text, sizeof text - 1) < 0)
        _exit(1);
}

static int leave(const char *way)
{
    if (!strcmp(way, "return"))
        return 5;
    if (!strcmp(way, "exit"))
        exit(5);
    if (!strcmp(way, "_exit"))
        _exit(5);
    if (!strcmp(way, "_Exit"))
        _Exit(5);
    if (!strcmp(way, "quick_exit"))
        quick_exit(5);
    abort();
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *with = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "figures"))
        return figures(with);
    fill();
    if (!strcmp(what, "leave"))
        return leave(with);
    if (!strcmp(what, "signal")) { /* itself; WITH: the number */
        raise(atoi(with));
        puts("alive");
    } else if (!strcmp(what, "handler")) { /* it has one of its own */
        signal(atoi(with), on_signal);
        raise(atoi(with));
    } else if (!strcmp(what, "ignored")) {
        raise(atoi(with));
        puts("alive");
    } else if (!strcmp(what, "storm")) {
        return storm(SIGUSR2, atoi(with));
    } else if (!strcmp(what, "every")) { /* allocate for so many ms */
        struct timespec start, now;
        clock_gettime(CLOCK_MONOTONIC, &start);
        do {
            free(allocate_some(50000));
            usleep(1000);
            clock_gettime(CLOCK_MONOTONIC, &now);
        } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < atoi(with));
    } else if (!strcmp(what, "growth")) { /* so many MiB */
        for (int i = 0; i < atoi(with) && i < COUNT; i++) {
            free(kept[i]);
            kept[i] = allocate_some(1 << 20);
        }
    } else if (!strcmp(what, "deep")) {
        recurse(atoi(with));
    } else if (!strcmp(what, "flood")) { /* so many stacks */
        for (int i = 0; i < atoi(with); i++)
            paths((unsigned)i, 20);
        puts("done");
    } else if (!strcmp(what, "hoard")) { /* so many objects, that live */
        for (int i = 0; i < atoi(with); i++)
            *(void *volatile *)&kept[i % COUNT] = malloc(16);
        puts("done");
    } else if (!strcmp(what, "run")) {
        return system(with) == 0 ? 0 : 1;
    } else if (!strcmp(what, "chdir")) {
        return chdir(with);
    }
    return 0;
}
