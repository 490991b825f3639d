/* A target of several processes. The first argument says which case; "site PID FUNCTION
 * LIVE_OBJECTS LIVE_BYTES ALLOCATED_OBJECTS ALLOCATED_BYTES" is the truth of one of them. */
#include "guest.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { KEPT = 3000 };

struct truth {
    long objects, bytes, all_objects, all_bytes;
};

static volatile int stop;
static void *kept[KEPT];
static size_t sizes[KEPT];
static struct truth parents, childs;

static void account(struct truth *truth, size_t size)
{
    truth->objects++;
    truth->all_objects++;
    truth->bytes += (long)size;
    truth->all_bytes += (long)size;
}

__attribute__((noinline)) static void *parent_site(size_t size)
{
    void *pointer = malloc(size);
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    account(&parents, size);
    return pointer;
}

__attribute__((noinline)) static void *child_site(size_t size)
{
    void *pointer = malloc(size);
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    account(&childs, size);
    return pointer;
}

static void release(int i)
{
    free(kept[i]);
    kept[i] = NULL;
    parents.objects--;
    parents.bytes -= (long)sizes[i];
}

static void keep(int from, int to)
{
    for (int i = from; i < to; i++) {
        sizes[i] = 50 + (size_t)i % 700;
        kept[i] = parent_site(sizes[i]);
    }
}

static void tell(const char *name, const struct truth *truth)
{
    char line[200];
    int size = snprintf(line, sizeof line, "site %d %s %ld %ld %ld %ld\n", (int)getpid(), name, truth->objects,
                        truth->bytes, truth->all_objects, truth->all_bytes);
    CHECK(write(1, line, (size_t)size) == size);
}

static void *load(void *argument)
{
    for (unsigned i = (unsigned)(uintptr_t)argument; !stop; i++) {
        allocate_much(i % 300 * 10, 10);
        if (i % 8 == 0)
            usleep(1000); /* the forks need time as well */
    }
    return NULL;
}

static void start_load(pthread_t threads[4])
{
    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, load, (void *)(uintptr_t)(i * 70)) == 0);
}

static void end_load(pthread_t threads[4])
{
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* The child of a busy parent lives on; each has its own heap. */
static void outlive(int generation)
{
    pthread_t threads[4];
    start_load(threads);
    keep(0, 1000);
    usleep(20000);
    pid_t parent = getpid(), child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        while (getppid() == parent)
            usleep(1000);
        keep(1000, 1500);
        for (int i = 0; i < 1500; i += 5)
            release(i);
        for (size_t i = 0; i < 700; i++)
            CHECK(child_site(i + 1));
        tell("parent_site", &parents);
        tell("child_site", &childs);
        exit(generation);
    }
    keep(1000, 3000);
    for (int i = 0; i < 3000; i += 3)
        release(i);
    end_load(threads);
    tell("parent_site", &parents);
    tell("child_site", &childs);
    exit(generation + 1);
}

/* Waits for both, which only a pipe can tell of. */
static int outliving(void)
{
    int ends[2], status;
    char word;
    CHECK(pipe(ends) == 0);
    pid_t parent = fork();
    if (parent == 0)
        outlive(30);
    close(ends[1]);
    CHECK(waitpid(parent, &status, 0) == parent && WIFEXITED(status) && WEXITSTATUS(status) == 31);
    CHECK(read(ends[0], &word, 1) == 0);
    return 0;
}

static char *without_preload[200];

static char **strip(void)
{
    int count = 0;
    for (char **variable = environ; *variable && count < 199; variable++)
        if (strncmp(*variable, "LD_PRELOAD=", 11))
            without_preload[count++] = *variable;
    return without_preload;
}

static void *execute(void *argument)
{
    static char name[] = "case_fork", said[] = "said", thread[] = "thread";
    char *const arguments[] = {name, said, thread, NULL};
    execve("/proc/self/exe", arguments, environ);
    return argument;
}

static int execute_by(char *way)
{
    static char name[] = "case_fork", said[] = "said", path[] = "PATH=/bin";
    char *const arguments[] = {name, said, way, NULL}, *const only_path[] = {path, NULL};
    pthread_t threads[4];
    allocate_much(0, 1000);
    if (!strcmp(way, "same"))
        execve("/proc/self/exe", arguments, environ);
    if (!strcmp(way, "stripped"))
        execve("/proc/self/exe", arguments, strip());
    if (!strcmp(way, "path"))
        execve("/proc/self/exe", arguments, only_path);
    if (!strcmp(way, "cleared") && clearenv() == 0)
        execv("/proc/self/exe", arguments);
    if (!strcmp(way, "null")) {
        environ = NULL;
        allocate_much(0, 1000);
        execve("/proc/self/exe", arguments, NULL);
    }
    if (!strcmp(way, "missing")) {
        CHECK(execve("/no/such/program", arguments, environ) == -1);
        allocate_much(0, 1000);
        puts("said missing");
        return 24;
    }
    /* By a thread that is not the first, while others allocate. */
    start_load(threads);
    usleep(5000);
    CHECK(pthread_create(&threads[0], NULL, execute, NULL) == 0);
    for (;;)
        pause();
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *with = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "outlive"))
        return outliving();
    if (!strcmp(what, "exec"))
        return execute_by(arguments[2]);
    if (!strcmp(what, "said")) {
        allocate_much(0, 1000);
        printf("said %s\n", with);
        return 24;
    }
    return 2;
}
