/* What scripts/bench times beside pairs and real programs.
 *
 *   work handoff MILLIONS   one thread allocates, another one frees
 *   work grow MIB           one buffer grows to that size by realloc, 16 MiB at a time, and is written to
 *   work fork COUNT MIB     forks, one after the other, of a process that holds so much in objects of 1 KiB
 *   work alloc COUNT DEPTH  objects of 1 KiB, freed in turn, allocated under DEPTH frames
 *   work stacks COUNT DEPTH as many different stacks of DEPTH frames, one object of 64 bytes each; then prints "ready"
 *
 * All but the last print the microseconds of CPU that one took: one handoff, MiB, fork or object. After "ready", a
 * thread allocates and frees, and each line of input is answered by the most microseconds that this took since the
 * last one.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RING 1024u

static _Atomic(void *) ring[RING];

static double cpu(void)
{
    double seconds = 0;
    static const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (int i = 0; i < 2; i++) {
        struct rusage usage;
        getrusage(whose[i], &usage);
        seconds += (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
        seconds += (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    }
    return seconds;
}

static void *take(void *argument)
{
    for (long i = 0, count = *(const long *)argument; i < count; i++) {
        void *object;
        while (!(object = atomic_exchange_explicit(&ring[i % RING], NULL, memory_order_acquire)))
            sched_yield();
        free(object);
    }
    return NULL;
}

static void handoff(long count)
{
    pthread_t taker;
    unsigned random = 1;
    if (pthread_create(&taker, NULL, take, &count))
        exit(1);
    for (long i = 0; i < count; i++) {
        random = random * 1103515245 + 12345;
        void *object = malloc(16 + (random >> 16 & 511));
        while (atomic_load_explicit(&ring[i % RING], memory_order_relaxed))
            sched_yield();
        atomic_store_explicit(&ring[i % RING], object, memory_order_release);
    }
    pthread_join(taker, NULL);
}

static void grow(long mib)
{
    char *buffer = NULL;
    for (long held = 0; held < mib; held += 16) {
        buffer = realloc(buffer, (size_t)(held + 16) << 20);
        if (!buffer)
            exit(1);
        memset(buffer + ((size_t)held << 20), 1, 16 << 20);
    }
    free(buffer);
}

static void hold(long mib)
{
    for (long i = 0; i < mib * 1024; i++)
        memset(malloc(1000), 1, 1000);
}

static void fork_often(long count)
{
    for (long i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
}

/* Two callers, so that `choices` makes a stack of its own: bit i decides who is frame i. */
static __attribute__((noinline)) void *left(unsigned long choices, long depth, size_t size);

static __attribute__((noinline)) void *right(unsigned long choices, long depth, size_t size)
{
    void *volatile object = depth <= 1    ? malloc(size)
                            : choices & 1 ? left(choices >> 1, depth - 1, size)
                                          : right(choices >> 1, depth - 1, size);
    return object;
}

static void *left(unsigned long choices, long depth, size_t size)
{
    void *volatile object = depth <= 1    ? malloc(size)
                            : choices & 1 ? left(choices >> 1, depth - 1, size)
                                          : right(choices >> 1, depth - 1, size);
    return object;
}

static _Atomic uint64_t longest_ns;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *go_on(void *unused)
{
    for (uint64_t last = now_ns();;) {
        free(left(0, 30, 64));
        uint64_t now = now_ns();
        if (now - last > atomic_load_explicit(&longest_ns, memory_order_relaxed))
            atomic_store_explicit(&longest_ns, now - last, memory_order_relaxed);
        last = now;
    }
    return unused;
}

static int answer(void)
{
    pthread_t thread;
    char line[16];
    if (pthread_create(&thread, NULL, go_on, NULL))
        return 1;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%.1f\n", (double)atomic_exchange(&longest_ns, 0) / 1000);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    long count = argc > 2 ? (long)(atof(argv[2]) * (strcmp(what, "handoff") ? 1 : 1e6)) : 0;
    long second = argc > 3 ? atol(argv[3]) : 0;
    if (!strcmp(what, "fork"))
        hold(second);
    double start = cpu();
    if (!strcmp(what, "handoff")) {
        handoff(count);
    } else if (!strcmp(what, "grow")) {
        grow(count);
    } else if (!strcmp(what, "fork") && argc > 3) {
        fork_often(count);
    } else if (!strcmp(what, "alloc") && argc > 3) {
        for (long i = 0; i < count; i++)
            free(left(0, second, 1024));
    } else if (!strcmp(what, "stacks") && argc > 3) {
        for (long i = 0; i < count; i++)
            left((unsigned long)i, second, 64);
        return answer();
    } else {
        return fprintf(stderr, "usage: work handoff|grow COUNT, or work fork|alloc|stacks COUNT NUMBER\n"), 2;
    }
    printf("%.4f\n", (cpu() - start) * 1e6 / (double)count);
    return 0;
}
