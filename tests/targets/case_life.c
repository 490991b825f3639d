/* A target that ends, and starts others, in unusual ways. The first argument says which; what it
 * prints and its exit status must not depend on the library. */
#include "guest.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int stop;
static int running;

static void *allocate_on(void *argument)
{
    __atomic_fetch_add(&running, 1, __ATOMIC_RELAXED);
    for (unsigned i = (unsigned)(uintptr_t)argument; !stop; i++)
        allocate_much(i * 10, 10);
    return NULL;
}

static void start_load(void)
{
    for (unsigned i = 0; i < 4; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, allocate_on, (void *)(uintptr_t)(i * 10000)) == 0);
        pthread_detach(thread);
    }
    while (__atomic_load_n(&running, __ATOMIC_RELAXED) < 4)
        usleep(1000);
    usleep(20000);
}

static void at_the_end(void)
{
    allocate_much(77, 100);
    puts("at the end");
}

static void *end_here(void *how)
{
    allocate_much(5, 50);
    if (!strcmp(how, "quick"))
        quick_exit(12);
    if (!strcmp(how, "abort"))
        abort();
    if (!strcmp(how, "_exit"))
        _exit(13);
    exit(11);
}

static void exit_in_handler(int number)
{
    exit(14);
}

static void leave_in_handler(int number)
{
    _exit(15);
}

static int end_in(char *how)
{
    pthread_t thread;
    atexit(at_the_end);
    if (!strcmp(how, "handler") || !strcmp(how, "_handler")) {
        signal(SIGALRM, *how == '_' ? leave_in_handler : exit_in_handler);
        start_load();
        /* Nothing is open on this thread: exit() is then right in a handler. */
        sigset_t blocked, none;
        sigemptyset(&none);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGALRM);
        pthread_sigmask(SIG_BLOCK, &blocked, NULL);
        kill(getpid(), SIGALRM);
        for (;;)
            sigsuspend(&none);
    }
    start_load();
    CHECK(pthread_create(&thread, NULL, end_here, how) == 0);
    for (unsigned i = 0;; i++)
        allocate_much(i, 10);
}

static int shared_child(void *argument)
{
    allocate_much(40, 300);
    *(int *)argument += 1;
    return 21;
}

/* Children of all kinds that allocate. */
static int clones(void)
{
    enum { STACK = 1 << 20 };
    char *stack = malloc(STACK);
    int status, ran = 0;
    CHECK(stack);
    for (int round = 0; round < 50; round++) {
        int flags = CLONE_VM | SIGCHLD | (round % 2 ? CLONE_VFORK : 0);
        pid_t child = clone(shared_child, stack + STACK, flags, &ran);
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 21);
        allocate_much(60, 20);
        child = (pid_t)syscall(SYS_fork);
        if (child == 0) {
            allocate_much(80, 100);
            if (round % 2)
                _exit(22);
            syscall(SYS_exit_group, 22);
        }
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 22);
    }
    free(stack);
    CHECK(ran == 50);
    puts("all clones are well");
    return 0;
}

/* A daemon: its first parent is gone when it works; a pipe tells when it did. */
static int daemon_of_daemon(void)
{
    int ends[2];
    char word[16] = "";
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        allocate_much(0, 200);
        setsid();
        if (fork() != 0)
            _exit(0);
        allocate_much(200, 2000);
        CHECK(write(ends[1], "worked", 6) == 6);
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(ends[1]);
    CHECK(read(ends[0], word, sizeof word - 1) == 6);
    while (read(ends[0], word, sizeof word - 1) > 0) /* until it has gone */
        ;
    puts("the daemon worked");
    return 0;
}

/* A server that gives its rights up: not dumpable, another user, no mask; and forks then. */
static int give_up(void)
{
    int status;
    allocate_much(0, 1000);
    umask(0);
    CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
    CHECK(getuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0));
    allocate_much(1000, 1000);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            allocate_much(2000, 500);
            exit(23);
        }
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 23);
    }
    allocate_much(3000, 1000);
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    puts("given up");
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    if (!strcmp(what, "end") && count > 2)
        return end_in(arguments[2]);
    if (!strcmp(what, "clones"))
        return clones();
    if (!strcmp(what, "daemon"))
        return daemon_of_daemon();
    if (!strcmp(what, "give_up"))
        return give_up();
    return 2;
}
