/* heap WHAT: heaps whose figures are to be found out without holding up the program.
 *   quiet FILE         several arenas, fast chunks, tcaches, mapped objects; prints "IN_USE SYSTEM" of mallinfo2,
 *                      writes a dump to FILE, and stays
 *   chunks N SECONDS   frees every other one of N objects in random order, then allocates on; prints how many
 *                      microseconds of CPU time the longest malloc and free took together
 *   handler SECONDS    a signal handler that allocates while its thread, one of two, is inside of malloc
 *   handled FILE       allocates in a signal handler for a while, and has a dump made by SIGUSR2
 *   grow               grows by 200 MiB between two lines of standard input
 */
#include <heapprof.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static pthread_barrier_t barrier;

static void keep(void *object)
{
    __asm__ volatile("" ::"r"(object) : "memory");
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void wait_for_line(const char *say)
{
    char line[16];
    puts(say);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(1);
}

#define OBJECTS 1000
static void *objects[4][OBJECTS];

static void *fill(void *state)
{
    void **mine = state;
    unsigned seed = (unsigned)(mine - objects[0]);
    for (unsigned i = 0; i < OBJECTS; i++) {
        seed = seed * 1103515245 + 12345;
        mine[i] = malloc((seed >> 16) % 16 < 8 ? (seed >> 16) % 8 * 16 + 1 : (seed >> 16) % 6000);
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        seed = seed * 1103515245 + 12345;
        if (seed >> 16 & 1)
            free(mine[i]);
    }
    pthread_barrier_wait(&barrier); /* all are done */
    pthread_barrier_wait(&barrier); /* the end */
    return NULL;
}

static int quiet(const char *path)
{
    static char buffer[4096];
    pthread_t threads[4];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    pthread_barrier_init(&barrier, NULL, 5);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, fill, objects[i]);
    pthread_barrier_wait(&barrier);
    void *mapped[] = {malloc(1 << 20), malloc(40 << 20)};
    keep(mapped);
    char line[64];
    struct mallinfo2 info = mallinfo2();
    snprintf(line, sizeof line, "%zu %zu", info.uordblks + info.hblkhd, info.arena + info.hblkhd);
    int error = heapprof_dump(path);
    puts(line);
    fflush(stdout);
    pause();
    return error;
}

static int chunks(long count, double seconds)
{
    void **all = malloc((size_t)count * sizeof *all);
    uint64_t random = 1, worst = 0;
    for (long i = 0; i < count; i++)
        all[i] = malloc((size_t)(1100 + (i % 7) * 16));
    for (long i = count - 2; i > 0; i -= 2) {
        random = random * 6364136223846793005ull + 1;
        long k = (long)((random >> 33) % (uint64_t)(i / 2 + 1)) * 2;
        void *other = all[i];
        all[i] = all[k];
        all[k] = other;
    }
    for (long i = 0; i < count; i += 2)
        free(all[i]);
    void *large = malloc(100000); /* sorts them */
    keep(large);
    free(large);
    const uint64_t end = cpu_ns() + (uint64_t)(seconds * 1e9);
    for (uint64_t start; (start = cpu_ns()) < end;) {
        void *object = malloc(2000);
        keep(object);
        free(object);
        uint64_t took = cpu_ns() - start;
        worst = took > worst ? took : worst;
    }
    printf("%lu\n", (unsigned long)(worst / 1000));
    return 0;
}

static void allocate_some(int number)
{
    void *object = malloc(600);
    keep(object);
    free(object);
}

static void *sleep_on(void *unused)
{
    pause();
    return NULL;
}

static int handler(int seconds)
{
    pthread_t thread;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_create(&thread, NULL, sleep_on, NULL); /* so that locks are taken */
    sigemptyset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    void *some[8]; /* what the handler takes comes from the thread's cache */
    for (int i = 0; i < 8; i++)
        some[i] = malloc(600);
    for (int i = 0; i < 8; i++)
        free(some[i]);
    struct sigaction action = {.sa_handler = allocate_some, .sa_flags = SA_RESTART};
    const struct itimerval often = {{0, 100}, {0, 100}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    static void *kept[512];
    unsigned random = 1;
    for (time_t end = time(NULL) + seconds; time(NULL) < end;) {
        for (int k = 0; k < 1000; k++) {
            random = random * 1103515245 + 12345;
            unsigned i = random >> 16 & 511;
            free(kept[i]);
            kept[i] = malloc(1200 + (random >> 8) % 4000);
        }
    }
    puts("fine");
    return 0;
}

static void allocate_much(int number)
{
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k < 20; k++) {
            void *object = malloc(100000);
            keep(object);
            free(object);
        }
        usleep(1000);
    }
}

static int handled(void)
{
    static void *kept[2000];
    for (int i = 0; i < 2000; i++) {
        kept[i] = malloc(20000);
        if (i % 100 == 0)
            usleep(10000);
    }
    keep(kept);
    signal(SIGUSR1, allocate_much);
    raise(SIGUSR1);
    raise(SIGUSR2);
    return 0;
}

static int grow(void)
{
    static void *kept[2000];
    wait_for_line("small");
    for (int i = 0; i < 2000; i++) {
        kept[i] = malloc(100 << 10);
        memset(kept[i], 1, 100 << 10);
    }
    wait_for_line("large");
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *with = argc > 2 ? argv[2] : "";
    if (!strcmp(what, "quiet"))
        return quiet(with);
    if (!strcmp(what, "chunks") && argc > 3)
        return chunks(atol(with), atof(argv[3]));
    if (!strcmp(what, "handler"))
        return handler(atoi(with));
    if (!strcmp(what, "handled"))
        return handled();
    return !strcmp(what, "grow") ? grow() : 2;
}
