/* A target of many threads and signals. The first argument says which case; what it prints must not
 * depend on the library, but for "accounted", which is printed also when there is none. */
#include "guest.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "heapprof.h"

static volatile int stop;

static uint64_t own_bytes(void)
{
    struct heapprof_stats stats = {0};
    heapprof_read_stats(&stats);
    return stats.own_bytes;
}

static void *live_shortly(void *argument)
{
    allocate_much(3, 5);
    return argument;
}

/* Nothing is kept per dead thread. */
static int many(void)
{
    enum { THREADS = 500, ROUNDS = 8 };
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    uint64_t own = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 << 10);
    for (int round = 0; round < ROUNDS; round++) {
        if (round == 3)
            own = own_bytes();
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], &attributes, live_shortly, NULL) == 0);
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
    }
    /* Less than 64 bytes for each of 2,500 threads; tables for what lives at once may double. */
    printf("%d threads, %s\n", THREADS * ROUNDS, own_bytes() - own < 160000 ? "nothing kept" : "memory kept");
    return 0;
}

static pthread_key_t keys[3];

__attribute__((noinline)) static void *tsd_site(size_t size)
{
    void *pointer = malloc(size);
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

struct value {
    unsigned key, rounds;
};

static void set(unsigned key, unsigned rounds, size_t size)
{
    struct value *value = tsd_site(size);
    *value = (struct value){key, rounds};
    pthread_setspecific(keys[key], value);
}

/* Each destructor frees, allocates and sets its key again: libc calls it some times more. */
static void destroy(void *pointer)
{
    struct value value = *(struct value *)pointer;
    free(pointer);
    if (value.rounds)
        set(value.key, value.rounds - 1, 200);
}

static void *with_keys(void *argument)
{
    for (unsigned key = 0; key < 3; key++)
        set(key, 1, 150);
    return argument;
}

static int destructors(void)
{
    for (unsigned i = 0; i < 3; i++)
        CHECK(pthread_key_create(&keys[i], destroy) == 0);
    for (int round = 0; round < 50; round++) {
        pthread_t threads[20];
        for (int i = 0; i < 20; i++)
            CHECK(pthread_create(&threads[i], NULL, with_keys, NULL) == 0);
        for (int i = 0; i < 20; i++)
            pthread_join(threads[i], NULL);
    }
    puts("all destroyed");
    return 0;
}

static uint64_t calls; /* that allocate, by all threads and handlers */
static int handled;

static void allocate_three(size_t size)
{
    void *first = malloc(size), *second = calloc(2, size);
    __asm__ volatile("" : "+r"(first), "+r"(second) : : "memory");
    first = realloc(first, size * 2);
    __asm__ volatile("" : "+r"(first) : : "memory");
    free(second);
    free(first);
    __atomic_fetch_add(&calls, 3, __ATOMIC_RELAXED);
}

static void allocate_in_handler(int number)
{
    int kept = errno;
    allocate_three(300);
    __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
    errno = kept;
}

static pthread_barrier_t begin;

static void *work(void *argument)
{
    pthread_barrier_wait(&begin);
    while (!stop)
        allocate_three(1000);
    pthread_barrier_wait(&begin);
    return argument;
}

/* Handlers that allocate, at any moment; the allocator behind must allow it. Each allocation is a
 * sample or counted as lost at interval 1. */
static int handlers(int signals)
{
    enum { WORKERS = 3 };
    pthread_t threads[WORKERS];
    struct sigaction action = {.sa_handler = allocate_in_handler, .sa_flags = SA_RESTART};
    struct heapprof_stats before = {0}, after = {0};
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    pthread_barrier_init(&begin, NULL, WORKERS + 1);
    for (int i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    allocate_three(10);
    calls = 0;
    heapprof_read_stats(&before);
    pthread_barrier_wait(&begin);
    for (int i = 0; i < signals; i++) {
        pthread_kill(threads[i % WORKERS], SIGUSR2);
        if (i % 16 == 0)
            usleep(20);
    }
    stop = 1;
    pthread_barrier_wait(&begin);
    heapprof_read_stats(&after);
    uint64_t told = after.samples - before.samples + after.lost - before.lost;
    /* A handler between the hook's charge and its cold path has its three allocations counted as one lost. */
    int exact = after.interval != 1 || told == calls;
    if (!exact)
        fprintf(stderr, "%lu allocations, %lu of them told, %lu lost\n", calls, told, after.lost - before.lost);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    printf("%s, %s\n", handled > 0 ? "handled" : "not handled", exact ? "accounted" : "not accounted");
    return 0;
}

static volatile int own_handler;

static void note(int number)
{
    own_handler = number;
}

/* The target's way with signals is its own, and may change. */
static int signals(const char *last)
{
    sigset_t all, none;
    siginfo_t information;
    struct sigaction action = {.sa_handler = note};
    sigfillset(&all);
    sigemptyset(&none);
    allocate_much(0, 1000);
    CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
    raise(SIGUSR2);
    allocate_much(1000, 1000);
    printf("sigwaitinfo %d\n", sigwaitinfo(&all, &information));
    CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    raise(SIGUSR2);
    printf("own handler %d\n", own_handler);
    allocate_much(2000, 1000);
    CHECK(signal(SIGUSR2, SIG_IGN) == note);
    raise(SIGUSR2);
    puts("ignored");
    fflush(stdout);
    if (!strcmp(last, "default")) {
        CHECK(signal(SIGUSR2, SIG_DFL) == SIG_IGN);
        raise(SIGUSR2);
    }
    return 6;
}

static pthread_mutex_t robust;
static int cleaned;

static void clean(void *pointer)
{
    free(pointer);
    allocate_much(5, 5);
    cleaned++;
}

static void *wait_to_be_cancelled(void *argument)
{
    void *volatile pointer = malloc(1000);
    pthread_cleanup_push(clean, pointer);
    for (unsigned i = 0;; i++) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        allocate_much(i, 3);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
        allocate_much(i, 3);
        pthread_testcancel();
    }
    pthread_cleanup_pop(1);
    return argument;
}

static void *die_with_lock(void *argument)
{
    pthread_mutex_lock(&robust);
    allocate_much(9, 20);
    return argument;
}

static int cancel(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attributes);
    for (int round = 0; round < 200; round++) {
        pthread_t thread;
        void *result;
        CHECK(pthread_create(&thread, NULL, wait_to_be_cancelled, NULL) == 0);
        if (round % 2)
            usleep(500);
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
        CHECK(result == PTHREAD_CANCELED);
        CHECK(pthread_create(&thread, NULL, die_with_lock, NULL) == 0);
        CHECK(pthread_join(thread, &result) == 0);
        CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
        CHECK(pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
    }
    puts(cleaned <= 200 ? "cancelled" : "cleaned too often");
    return 0;
}

/* jemalloc makes and ends its threads with the lock held that its figures need. */
static int allocator_threads(void)
{
    int (*mallctl)(const char *, void *, size_t *, void *, size_t) = dlsym(RTLD_DEFAULT, "mallctl");
    for (int round = 0; round < 10; round++) {
        bool on = round % 2 == 0;
        usleep(100000); /* the figures are old enough to be read again */
        CHECK(!mallctl || mallctl("background_thread", NULL, NULL, &on, sizeof on) == 0);
        allocate_much(3, 5);
    }
    puts(mallctl ? "started and stopped" : "none here");
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *with = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "many"))
        return many();
    if (!strcmp(what, "destructors"))
        return destructors();
    if (!strcmp(what, "handlers"))
        return handlers(atoi(with));
    if (!strcmp(what, "signals"))
        return signals(with);
    if (!strcmp(what, "cancel"))
        return cancel();
    if (!strcmp(what, "allocator"))
        return allocator_threads();
    return 2;
}
