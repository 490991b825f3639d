/* A target that minds its memory. The first argument says how; what goes to its standard output must not depend on the
 * library. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <heapprof.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *volatile sink;

static double cpu(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static long status_of(const char *name)
{
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)))
            value = atol(line + strlen(name));
    if (file)
        fclose(file);
    return value;
}

/* The longest of many pairs of malloc and free, in ms of CPU time, where half of so many chunks are free, here and
 * there. */
static int chunks(unsigned count)
{
    void **objects = malloc(count * sizeof *objects);
    CHECK(objects);
    for (unsigned i = 0; i < count; i++)
        objects[i] = malloc(170 + i % 7 * 16);
    uint64_t random = 1;
    for (unsigned i = count - 2; i > 1; i -= 2) {
        random = random * 6364136223846793005ull + 1;
        unsigned other = (unsigned)(random >> 33) % (i / 2 + 1) * 2;
        void *object = objects[i];
        objects[i] = objects[other];
        objects[other] = object;
    }
    for (unsigned i = 0; i < count; i += 2)
        free(objects[i]);
    free(sink = malloc(100000)); /* which sorts them */
    double longest = 0;
    for (double end = cpu() + 2000; cpu() < end;) {
        double start = cpu();
        free(sink = malloc(2000));
        double took = cpu() - start;
        longest = took > longest ? took : longest;
    }
    fprintf(stderr, "%.0f\n", longest);
    puts("paired");
    return 0;
}

/* What is locked, in KiB, goes to the error output. */
static int lock(void)
{
    allocate_much(0, 200);
    int result = mlockall(MCL_CURRENT | MCL_FUTURE);
    printf("mlockall %d, %s\n", result, result ? strerror(errno) : "locked");
    for (int i = 0; i < 50; i++)
        sink = malloc(1000);
    allocate_much(200, 200);
    fprintf(stderr, "%ld\n", status_of("VmLck:"));
    return 0;
}

/* So much address space from now on, in MiB, beyond what was in use without the library: what the target asks for is
 * there. */
static int limit_late(int megabytes, long used)
{
    allocate_much(0, 2000);
    if (used == 0) {
        fprintf(stderr, "%ld\n", status_of("VmSize:"));
        used = status_of("VmSize:");
    }
    rlim_t most = ((rlim_t)used << 10) + ((rlim_t)megabytes << 20);
    struct rlimit limit = {most, most};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    int got = 0;
    while (got < megabytes - 16 && (sink = malloc(1 << 20)))
        got++;
    printf("%d MiB\n", got);
    allocate_much(2000, 3000);
    return 0;
}

/* /dev/shm is full, of itself or by us. */
static int full(const char *when)
{
    int status;
    if (!strcmp(when, "fork"))
        for (unsigned i = 0; i < 300; i++)
            sink = malloc(20000);
    if (strcmp(when, "start")) {
        allocate_much(0, 500);
        int file = open("/dev/shm/filler", O_WRONLY | O_CREAT, 0600);
        static char zeros[4096];
        while (file >= 0 && write(file, zeros, sizeof zeros) > 0)
            ;
        close(file);
    }
    allocate_much(500, 20000);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            allocate_much(20000, 3000);
            for (unsigned k = 0; k < 1000; k++)
                sink = malloc(20000);
            exit(7);
        }
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }
    for (unsigned i = 0; i < 5000; i++)
        sink = malloc(2000);
    puts("full");
    return 0;
}

__attribute__((noinline)) static void new_leak(void)
{
    sink = malloc(100000);
}

__attribute__((noinline)) static void two_ways(unsigned bits, int depth);

__attribute__((noinline)) static void other_way(unsigned bits, int depth)
{
    two_ways(bits >> 1, depth - 1);
    __asm__ volatile("");
}

__attribute__((noinline)) static void two_ways(unsigned bits, int depth)
{
    if (depth == 0) {
        sink = malloc(32);
        free(sink);
    } else if (bits & 1) {
        other_way(bits, depth);
    } else {
        two_ways(bits >> 1, depth - 1);
    }
    __asm__ volatile("");
}

/* Stacks without end, all of them dead; then a leak at a new place. */
static int stacks(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        two_ways(i, 18);
    for (int i = 0; i < 1000; i++)
        new_leak();
    CHECK(heapprof_dump("stacks.heap") == 0);
    puts("stacked");
    return 0;
}

/* The interval is changed again and again. */
static int intervals(void)
{
    static const uint64_t some[] = {1, 524288, 4096, 1000, 77777};
    for (unsigned i = 0; i < 200; i++) {
        CHECK(heapprof_interval(some[i % 5] + i / 5 * (i % 5 != 0)) == 0);
        allocate_much(i * 10, 10);
        sink = malloc(1000);
    }
    CHECK(heapprof_interval(1) == 0);
    sink = malloc(32 << 20); /* takes effect at the next sample */
    struct heapprof_stats before = {0}, after = {0};
    heapprof_read_stats(&before);
    for (int i = 0; i < 1000; i++)
        new_leak();
    heapprof_read_stats(&after);
    printf("interval %u, %u samples\n", (unsigned)after.interval, (unsigned)(after.samples - before.samples));
    CHECK(heapprof_dump("intervals.heap") == 0);
    return 0;
}

/* More live samples than there is room for, in a memory cgroup. */
static int crowd(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sink = malloc(16);
    struct heapprof_stats stats = {0};
    heapprof_read_stats(&stats);
    printf("crowded %s\n", !stats.size || stats.own_bytes <= 2 << 20 ? "little of its own" : "too much of its own");
    if (stats.size)
        CHECK(heapprof_dump("crowd.heap") == 0);
    return 0;
}

/* The library's time, of which one call in 64 is measured, is about what the process has had, also where threads wait.
 * */
static void *sleep_and_allocate(void *argument)
{
    for (unsigned i = 0; i < 3000; i++) {
        allocate_much(i, 2);
        if (i % 500 == 0)
            usleep(1000);
    }
    return argument;
}

static int own_time(void)
{
    enum { THREADS = 32 };
    pthread_t threads[THREADS];
    cpu_set_t one; /* so that they wait for each other in the middle of samples */
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    struct heapprof_stats stats = {0};
    struct timespec now;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, sleep_and_allocate, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    heapprof_read_stats(&stats);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    double used = (double)now.tv_sec + (double)now.tv_nsec / 1e9, own = (double)stats.own_ns / 1e9;
    if (stats.size && (own > 2 * used || (stats.interval == 1 && own < used / 20)))
        printf("%.2f s of %.2f s\n", own, used);
    puts("timed");
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *how = count > 2 ? arguments[2] : "0";
    if (!strcmp(what, "chunks"))
        return chunks((unsigned)atoi(how));
    if (!strcmp(what, "lock"))
        return lock();
    if (!strcmp(what, "limit"))
        return limit_late(atoi(how), count > 3 ? atol(arguments[3]) : 0);
    if (!strcmp(what, "full"))
        return full(how);
    if (!strcmp(what, "stacks"))
        return stacks((unsigned)atoi(how));
    if (!strcmp(what, "intervals"))
        return intervals();
    if (!strcmp(what, "crowd"))
        return crowd((unsigned)atoi(how));
    if (!strcmp(what, "own"))
        return own_time();
    return 2;
}
