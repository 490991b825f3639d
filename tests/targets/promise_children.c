/* A target that makes children of all kinds. The first argument says what is done; what it prints must not depend on
 * the library, but for what it says of the library's figures. */
#include "guest.h"

#include <heapprof.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OBJECTS = 400, SIZE = 2 << 20 };
static void *objects[OBJECTS];

__attribute__((noinline)) static void *keep(size_t size)
{
    void *object = malloc(size);
    __asm__ volatile("" : "+r"(object) : : "memory");
    return object;
}

static void free_all(void)
{
    for (int i = 0; i < OBJECTS; i++)
        free(objects[i]);
}

static int run_child(void *argument)
{
    free_all();
    allocate_much(0, 300);
    return *(int *)argument;
}

static pid_t child_by(const char *way)
{
    static char stack[1 << 20] __attribute__((aligned(64)));
    static int status = 7;
    if (!strcmp(way, "clone"))
        return clone(run_child, stack + sizeof stack, SIGCHLD, &status);
    pid_t pid = !strcmp(way, "raw")     ? (pid_t)syscall(SYS_fork)
                : !strcmp(way, "_Fork") ? _Fork()
                : !strcmp(way, "clone-raw")
                    ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) /* as the fork of other libraries */
                    : fork();
    if (pid == 0)
        _exit(run_child(&status));
    return pid;
}

/* Children free first what they have inherited; their parent's profile stays as it was. */
static int free_first(const char *way)
{
    struct heapprof_stats before = {0}, after = {0};
    int status;
    for (int i = 0; i < OBJECTS; i++)
        CHECK(objects[i] = keep(SIZE));
    heapprof_read_stats(&before);
    for (int i = 0; i < 3; i++) {
        pid_t child = child_by(way);
        CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }
    heapprof_read_stats(&after);
    if (before.live_objects != after.live_objects || before.live_bytes != after.live_bytes ||
        before.samples != after.samples || after.unmatched_frees != before.unmatched_frees ||
        (before.size && !before.live_objects))
        printf("samples %lu, live %lu (%lu bytes), unmatched %lu; then %lu, %lu (%lu), %lu\n",
               (unsigned long)before.samples, (unsigned long)before.live_objects, (unsigned long)before.live_bytes,
               (unsigned long)before.unmatched_frees, (unsigned long)after.samples, (unsigned long)after.live_objects,
               (unsigned long)after.live_bytes, (unsigned long)after.unmatched_frees);
    free_all();
    printf("children by %s\n", way);
    return 0;
}

__attribute__((noinline)) static void free_by_vfork(void)
{
    void *volatile object = keep(100000);
    int status;
    pid_t child = vfork();
    if (child == 0) {
        free(object);
        _exit(7);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

/* vfork children share their parent's memory; one that frees frees its parent's. */
static int free_shared(void)
{
    for (int i = 0; i < 200; i++)
        free_by_vfork();
    struct heapprof_stats stats = {0};
    heapprof_read_stats(&stats);
    if (stats.live_bytes > 2000000)
        printf("live %lu\n", (unsigned long)stats.live_bytes);
    puts("children by vfork");
    return 0;
}

/* A child that ends at once, between two system calls that strace shows. */
static int end_at_once(const char *way)
{
    int status;
    allocate_much(0, 1000);
    for (int i = 0; i < OBJECTS; i++)
        objects[i] = keep(20000);
    pid_t child = !strcmp(way, "raw") ? (pid_t)syscall(SYS_fork) : !strcmp(way, "_Fork") ? _Fork() : fork();
    if (child == 0)
        _exit(7);
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    puts("ended");
    return 0;
}

/* The time of so many forks, in ms, goes to the error output; no new privileges, if that is said. */
static int fork_often(int count, const char *how)
{
    struct timespec start, end;
    allocate_much(0, 2000);
    for (int i = 0; i < OBJECTS; i++)
        objects[i] = keep(20000);
    if (!strcmp(how, "no-new-privileges"))
        CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    fprintf(stderr, "%.0f\n", (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6);
    puts("forked");
    return 0;
}

__attribute__((noinline)) static void inherited_site(int i)
{
    objects[i] = keep(100000);
    __asm__ volatile("# inherited"); /* no two of these are one function */
}

__attribute__((noinline)) static void freed_site(int i)
{
    objects[i] = keep(100000);
    __asm__ volatile("# freed"); /* no two of these are one function */
}

__attribute__((noinline)) static void child_site(int i)
{
    objects[i] = keep(100000);
    __asm__ volatile("# child"); /* no two of these are one function */
}

/* The child's cumulative numbers begin with what it inherited alive, not with what was dead by then. */
static int inherit(void)
{
    int status;
    for (int i = 0; i < 200; i++)
        inherited_site(i);
    for (int i = 200; i < 300; i++)
        freed_site(i);
    for (int i = 200; i < 300; i++)
        free(objects[i]);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 200; i < 250; i++)
            child_site(i);
        for (int i = 0; i < 50; i++)
            free(objects[i]);
        _exit(heapprof_dump("child.heap") == 0 ? 7 : 8);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    puts("inherited");
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *how = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "free"))
        return strcmp(how, "vfork") ? free_first(how) : free_shared();
    if (!strcmp(what, "end"))
        return end_at_once(how);
    if (!strcmp(what, "often"))
        return fork_often(atoi(how), count > 3 ? arguments[3] : "");
    if (!strcmp(what, "inherit"))
        return inherit();
    return 2;
}
