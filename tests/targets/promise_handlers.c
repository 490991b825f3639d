/* A target whose signal handlers do what handlers may do, or nearly. The first argument says what; what it prints must
 * not depend on the library, but for what it says of the library's figures. */
#include "guest.h"

#include <errno.h>
#include <heapprof.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *volatile sink;
static sigjmp_buf back;
static volatile int inside, jumps, handled;
static volatile pid_t children;

static void handle(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
}

static void ring(unsigned first, unsigned next)
{
    struct itimerval timer = {{0, (suseconds_t)next}, {0, (suseconds_t)first}};
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The handler allocates what its thread has at hand, which glibc serves from the thread's cache; all others block it.
 * */
static void allocate_in_handler(int number)
{
    (void)number;
    sink = malloc(600);
    free(sink);
    handled++;
}

static volatile int stop;

static void *churn(void *argument)
{
    void *objects[64] = {NULL};
    for (unsigned i = (unsigned)(uintptr_t)argument; !stop; i = i * 1103515245 + 12345) {
        void **object = &objects[i >> 16 & 63];
        free(*object);
        *object = malloc(1200 + (i >> 8) % 4000);
        if ((i >> 4) % 512 == 0)
            usleep(100);
    }
    for (int i = 0; i < 64; i++)
        free(objects[i]);
    return NULL;
}

static int allocate_while_allocating(void)
{
    pthread_t threads[7];
    sigset_t mask;
    void *few[7];
    sigfillset(&mask);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    for (int i = 0; i < 7; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)(i * 7919)) == 0);
    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    for (int i = 0; i < 7; i++)
        few[i] = malloc(600);
    for (int i = 0; i < 7; i++)
        free(few[i]);
    handle(allocate_in_handler);
    ring(100, 100);
    void *objects[512] = {NULL};
    unsigned i = 1;
    for (const double end = seconds() + 1; seconds() < end;)
        for (int k = 0; k < 1000; k++) {
            i = i * 1103515245 + 12345;
            void **object = &objects[i >> 16 & 511];
            free(*object);
            *object = malloc(1200 + (i >> 8) % 4000);
        }
    ring(0, 0);
    stop = 1;
    for (int k = 0; k < 7; k++)
        pthread_join(threads[k], NULL);
    puts(handled > 100 ? "handled" : "hardly a signal");
    return 0;
}

static void jump(int number)
{
    (void)number;
    if (inside) {
        inside = 0;
        jumps++;
        siglongjmp(back, 1);
    }
}

static void *dump_there(void *argument)
{
    for (int i = 0; i < 3; i++)
        CHECK(heapprof_dump("there.heap") == 0);
    return argument;
}

__attribute__((noinline)) static void dump_once(int by_signal)
{
    if (sigsetjmp(back, 1) == 0) {
        inside = 1;
        if (by_signal)
            raise(SIGUSR2);
        else
            heapprof_dump("jump.heap");
    }
    inside = 0;
}

/* Out of dumps, asked for by the API and by the signal. */
static int jump_out_of_dumps(void)
{
    pthread_t thread;
    allocate_much(0, 3000);
    for (unsigned i = 0; i < 1500; i++)
        sink = malloc(3000);
    handle(jump);
    for (unsigned i = 0; i < 200; i++) {
        ring(1 + i * 37 % 3000, 0);
        dump_once(i % 2);
        ring(0, 0);
    }
    CHECK(heapprof_dump("here.heap") == 0);
    CHECK(pthread_create(&thread, NULL, dump_there, NULL) == 0);
    pthread_join(thread, NULL);
    remove("asked.heap");
    for (int i = 0; i < 3; i++) {
        /* Who jumped out of the last one is taken to be at it for as long as this takes. */
        raise(SIGUSR2);
    }
    CHECK(access("asked.heap", R_OK) == 0);
    puts(jumps > 20 ? "jumped" : "hardly a jump");
    return 0;
}

__attribute__((noinline)) static void allocate_and_free(unsigned i)
{
    if (sigsetjmp(back, 1) == 0) {
        inside = 1;
        for (int k = 0; k < 1000; k++)
            paths(i * 1000 + (unsigned)k, 16);
    }
    inside = 0;
}

/* Out of the cold path; with an allocator that can stand it. Then this thread is sampled as before, at the latest when
 * it has freed a sample: one that jumped away in the hook itself learns by that that its count is off. */
static int jump_out_of_samples(void)
{
    enum { KEPT = 20000 };
    static void *kept[KEPT];
    struct heapprof_stats before = {0}, after = {0};
    for (int i = 0; i < KEPT; i++)
        kept[i] = malloc(100);
    handle(jump);
    for (unsigned i = 0; i < 2000; i++) {
        ring(20 + i * 7 % 300, 0);
        allocate_and_free(i);
        ring(0, 0);
    }
    for (int i = 0; i < KEPT; i++)
        free(kept[i]);
    heapprof_read_stats(&before);
    for (int i = 0; i < 200000; i++)
        free(sink = malloc(100));
    heapprof_read_stats(&after);
    if (before.size && (double)(after.samples - before.samples) <
                           0.5 * 2e7 / (double)(after.interval < 100 ? 100 : after.interval) - 30)
        printf("only %d samples\n", (int)(after.samples - before.samples));
    CHECK(!before.size || heapprof_dump("after.heap") == 0);
    puts(jumps > 200 ? "jumped" : "hardly a jump");
    return 0;
}

/* The child writes a dump too, of its own name if the pattern says so, and both are whole. */
static void fork_here(int number)
{
    (void)number;
    if (!inside || children >= 30)
        return;
    pid_t child = fork();
    if (child == 0) {
        alarm(20); /* a child that waits for ever ends */
        return;
    }
    children++;
}

static int fork_in_dumps(void)
{
    const pid_t own = getpid();
    allocate_much(0, 3000);
    for (unsigned i = 0; i < 1500; i++)
        sink = malloc(3000);
    handle(fork_here);
    for (unsigned i = 0; i < 60; i++) {
        ring(1 + i * 137 % 3000, 0);
        inside = 1;
        int error = heapprof_dump(i % 2 ? NULL : "both.heap");
        inside = 0;
        if (getpid() != own) {
            struct itimerval none = {{0, 0}, {0, 0}};
            setitimer(ITIMER_REAL, &none, NULL);
            free(malloc(100000));
            /* What it was in the middle of is its parent's; the next one is its own. */
            _exit(heapprof_dump(NULL) == 0 || error == -ENOSYS ? 7 : 8);
        }
        CHECK(error == 0 || error == -ENOSYS);
        ring(0, 0);
    }
    ring(0, 0);
    for (int status; wait(&status) > 0;)
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    puts(children > 5 ? "forked" : "hardly a fork");
    return 0;
}

static void own_handler(int number)
{
    (void)number;
    handled++;
}

static const char *name_of(void (*handler)(int))
{
    return handler == SIG_DFL ? "default" : handler == SIG_IGN ? "ignored" : handler == own_handler ? "own" : "other";
}

/* What the target is told of the signal's action is what it has set, or nothing. */
static int actions(void)
{
    sink = malloc(4 << 20); /* of which dumps tell */
    struct sigaction first, old, own = {.sa_handler = own_handler}, plain = {.sa_handler = SIG_DFL};
    CHECK(sigaction(SIGUSR2, NULL, &first) == 0);
    old = first;
    printf("%s %x\n", name_of(old.sa_handler), (unsigned)old.sa_flags);
    CHECK(sigaction(SIGUSR2, &own, &old) == 0);
    printf("%s\n", name_of(old.sa_handler));
    raise(SIGUSR2);
    printf("handled %d\n", handled);
    CHECK(sigaction(SIGUSR2, &plain, &old) == 0);
    printf("%s\n", name_of(old.sa_handler));
    CHECK(sigaction(SIGUSR2, NULL, &old) == 0);
    printf("%s %x\n", name_of(old.sa_handler), (unsigned)old.sa_flags);
    printf("%s\n", name_of(signal(SIGUSR2, own_handler)));
    raise(SIGUSR2);
    printf("handled %d\n", handled);
    printf("%s\n", name_of(signal(SIGUSR2, SIG_IGN)));
    raise(SIGUSR2);
    printf("%s\n", name_of(signal(SIGUSR2, SIG_DFL)));
    printf("%s\n", name_of(signal(SIGUSR2, SIG_DFL)));
    printf("handled %d\n", handled);
    fflush(stdout);
    if (access("asking", F_OK) == 0) { /* what was told at first asks for a dump, as before */
        CHECK(sigaction(SIGUSR2, &first, NULL) == 0);
        raise(SIGUSR2);
        CHECK(access("asked.heap", R_OK) == 0);
    }
    return 0;
}

/* A thread made by clone(2), with a block of thread-local memory that is its own and has no place for anybody else's.
 * */
static volatile int foreign_tid, foreign_stop;

static int run_foreign(void *argument)
{
    (void)argument;
    __atomic_store_n(&foreign_tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    while (!foreign_stop)
        syscall(SYS_sched_yield);
    syscall(SYS_exit, 0);
    return 0;
}

static int foreign(void)
{
    sink = malloc(4 << 20);
    enum { STACK = 256 << 10 };
    static char stack[STACK] __attribute__((aligned(64)));
    /* The smallest that libc itself needs: the pointer to itself, with nothing mapped below. */
    char *pages = (char *)aligned_alloc(4096, 3 * 4096);
    CHECK(pages && syscall(SYS_mprotect, pages, 4096, 0) == 0);
    uintptr_t *block = (uintptr_t *)(pages + 4096);
    memset(block, 0, 2 * 4096);
    block[0] = block[2] = (uintptr_t)block;
    __asm__("mov %%fs:0x28, %0" : "=r"(block[5])); /* the stack protector's word */
    CHECK(clone(run_foreign, stack + STACK,
                CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS, NULL,
                NULL, block, NULL) > 0);
    while (!__atomic_load_n(&foreign_tid, __ATOMIC_ACQUIRE))
        usleep(1000);
    if (access("asking", F_OK) == 0) {
        for (int i = 0; i < 20; i++) {
            syscall(SYS_tgkill, getpid(), foreign_tid, SIGUSR2);
            usleep(20000);
        }
        for (int i = 0; i < 200 && access("asked.heap", R_OK) != 0; i++)
            usleep(10000);
        CHECK(access("asked.heap", R_OK) == 0);
    }
    foreign_stop = 1;
    usleep(10000);
    syscall(SYS_mprotect, pages, 4096, 3);
    puts("a foreign thread");
    return 0;
}

/* One that the scheduler prefers asks for dumps while the others, on its processor, are at some. */
static void *ask(void *argument)
{
    while (!stop)
        raise(SIGUSR2);
    return argument;
}

static int preferred(void)
{
    cpu_set_t one;
    pthread_t thread;
    const struct sched_param parameters = {.sched_priority = 10};
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    for (unsigned i = 0; i < 3000; i++)
        sink = malloc(3000);
    allocate_much(0, 3000);
    CHECK(pthread_create(&thread, NULL, ask, NULL) == 0);
    usleep(20000);
    if (sched_setscheduler(0, SCHED_FIFO, &parameters) != 0) {
        puts("no right");
        return 3;
    }
    double longest = 0;
    for (int i = 0; i < 40; i++) {
        usleep(1000 + (unsigned)i * 173 % 3000); /* the other one is somewhere in its dump */
        double start = seconds();
        raise(SIGUSR2);
        double took = seconds() - start;
        longest = took > longest ? took : longest;
    }
    stop = 1;
    CHECK(sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}) == 0);
    pthread_join(thread, NULL);
    if (longest > 3)
        printf("a dump took %.1f s\n", longest);
    puts("asked");
    return 0;
}

static void *dump_for_ever(void *argument)
{
    for (;;)
        heapprof_dump("ever.heap");
    return argument;
}

/* main returns while another thread dumps. */
static int return_early(int milliseconds)
{
    pthread_t thread;
    allocate_much(0, 2000);
    CHECK(pthread_create(&thread, NULL, dump_for_ever, NULL) == 0);
    usleep((unsigned)milliseconds * 1000);
    return 0;
}

/* By the time it ends it has given up its root, or its user. */
static int give_up(const char *what)
{
    allocate_much(0, 2000);
    if (!strcmp(what, "chroot"))
        CHECK(chroot("empty") == 0 && chdir("/") == 0);
    else
        CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    allocate_much(2000, 2000);
    puts("given up");
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *how = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "allocate"))
        return allocate_while_allocating();
    if (!strcmp(what, "dumps"))
        return jump_out_of_dumps();
    if (!strcmp(what, "samples"))
        return jump_out_of_samples();
    if (!strcmp(what, "fork"))
        return fork_in_dumps();
    if (!strcmp(what, "actions"))
        return actions();
    if (!strcmp(what, "foreign"))
        return foreign();
    if (!strcmp(what, "preferred"))
        return preferred();
    if (!strcmp(what, "return"))
        return return_early(atoi(how));
    if (!strcmp(what, "give_up"))
        return give_up(how);
    return 2;
}
