/* Kills a target that allocates at full speed on two threads at random moments, and reads it while it runs: what its
 * ledger says must lie between what the target had done and what it had begun.
 *
 *   kill ROUNDS          kill and recover ROUNDS times
 *   kill dump ROUNDS     read one running target ROUNDS times
 *   kill target FD       the target: counts what it does in the shared memory that FD is of
 *
 * Interval 1: exact. All of the target's own objects have one size that nothing else has, so that entries are told
 * apart, and an entry whose bytes are no multiple of it is torn.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reader/reader.h"

#define THREADS 2
#define SIZE 4321
#define KEPT 512

/* What one thread has begun and finished; each counter is changed by that thread only. */
struct progress {
    uint64_t allocs_begun, allocs_done, frees_begun, frees_done;
} __attribute__((aligned(64)));

static struct progress *shared;

static void count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_SEQ_CST);
}

static __attribute__((noinline)) void *allocate(void)
{
    void *object = malloc(SIZE);
    __asm__ volatile("" : : "r"(object) : "memory");
    return object;
}

static void *work(void *argument)
{
    struct progress *progress = argument;
    static __thread void *kept[KEPT];
    for (unsigned random = 1;; random = random * 1103515245 + 12345) {
        void **slot = &kept[random >> 16 & (KEPT - 1)];
        if (*slot) {
            count(&progress->frees_begun);
            free(*slot);
            count(&progress->frees_done);
        }
        count(&progress->allocs_begun);
        *slot = allocate();
        count(&progress->allocs_done);
    }
    return NULL;
}

static int be_target(int fd)
{
    pthread_t thread;
    shared = mmap(NULL, sizeof *shared * THREADS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED || pthread_create(&thread, NULL, work, &shared[1]))
        return 1;
    work(&shared[0]);
    return 0;
}

static struct progress sum(void)
{
    struct progress all = {0};
    for (unsigned i = 0; i < THREADS; i++) {
        all.allocs_begun += __atomic_load_n(&shared[i].allocs_begun, __ATOMIC_SEQ_CST);
        all.allocs_done += __atomic_load_n(&shared[i].allocs_done, __ATOMIC_SEQ_CST);
        all.frees_begun += __atomic_load_n(&shared[i].frees_begun, __ATOMIC_SEQ_CST);
        all.frees_done += __atomic_load_n(&shared[i].frees_done, __ATOMIC_SEQ_CST);
    }
    return all;
}

static pid_t start_target(const char *self, int fd)
{
    pid_t pid = fork();
    if (pid == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", fd);
        setenv("HEAPPROF_INTERVAL", "1", 1);
        setenv("LD_PRELOAD", getenv("LIBHEAPPROF"), 1);
        execl(self, self, "target", number, (char *)NULL);
        _exit(127);
    }
    return pid;
}

struct text {
    char *data;
    size_t size, capacity;
};

static int collect(void *state, const void *data, size_t size)
{
    struct text *text = state;
    if (text->size + size + 1 > text->capacity) {
        text->capacity = 2 * (text->size + size + 1);
        text->data = realloc(text->data, text->capacity);
        if (!text->data)
            abort();
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
    return 0;
}

struct counts {
    unsigned long long live_objects, live_bytes, alloc_objects, alloc_bytes;
};

static int parse(const char *line, struct counts *c)
{
    return sscanf(line, "%llu: %llu [%llu: %llu]", &c->live_objects, &c->live_bytes, &c->alloc_objects,
                  &c->alloc_bytes) == 4;
}

/* The target's own entries, added up; false, and a line, if the profile disagrees with itself. */
static int read_profile(const struct text *text, struct counts *own)
{
    struct counts header, all = {0}, entry;
    const char *line = strchr(text->data, '\n');
    memset(own, 0, sizeof *own);
    if (strncmp(text->data, "heap profile: ", 14) || !parse(text->data + 14, &header) || !line)
        return printf("no header: %.80s\n", text->data), 0;
    for (line++; *line && *line != '#'; line = strchr(line, '\n') + 1) {
        if (!parse(line, &entry))
            return printf("no entry: %.80s\n", line), 0;
        if (entry.live_objects > entry.alloc_objects || entry.live_bytes > entry.alloc_bytes)
            return printf("more live than allocated: %.80s\n", line), 0;
        all.live_objects += entry.live_objects;
        all.live_bytes += entry.live_bytes;
        all.alloc_objects += entry.alloc_objects;
        all.alloc_bytes += entry.alloc_bytes;
        if (entry.alloc_bytes < SIZE || entry.alloc_bytes / entry.alloc_objects != SIZE)
            continue;
        if (entry.alloc_bytes != entry.alloc_objects * SIZE || entry.live_bytes != entry.live_objects * SIZE)
            return printf("torn: %.80s\n", line), 0;
        own->alloc_objects += entry.alloc_objects;
        own->live_objects += entry.live_objects;
    }
    /* Where nothing was freed the header has one byte more, see text_writer.h. */
    if (header.live_objects != all.live_objects || header.live_bytes != all.live_bytes ||
        header.alloc_objects != all.alloc_objects || header.alloc_bytes - all.alloc_bytes > 1)
        return printf("the header is not the entries' sum: %.80s\n", text->data), 0;
    return 1;
}

static int within(const char *what, uint64_t least, uint64_t value, uint64_t most)
{
    if (value < least || value > most)
        printf("%s: %llu, not within %llu and %llu\n", what, (unsigned long long)value, (unsigned long long)least,
               (unsigned long long)most);
    return value >= least && value <= most;
}

/* `before`, `after`: progress around the moment of the profile (equal for a dead target). */
static int check(const struct text *text, const struct progress *before, const struct progress *after)
{
    struct counts own;
    if (!read_profile(text, &own))
        return 0;
    return within("allocated", before->allocs_done, own.alloc_objects, after->allocs_begun) &&
           within("freed", before->frees_done < after->frees_done ? 0 : before->frees_done,
                  own.alloc_objects - own.live_objects, after->frees_begun);
}

static int recover(pid_t pid, struct text *text)
{
    struct hp_ledger_info info;
    char error[8192], number[16];
    text->size = 0;
    snprintf(number, sizeof number, "%d", (int)pid);
    if (hp_ledger_find(number, &info, error, sizeof error) == 0 &&
        hp_ledger_write(&info, collect, text, error, sizeof error) == 0)
        return info.running || unlink(info.path) == 0;
    printf("%s\n", error);
    return 0;
}

static void sleep_us(unsigned us)
{
    const struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static int kill_rounds(const char *self, int fd, unsigned rounds)
{
    struct text text = {0};
    unsigned random = 12345, bad = 0;
    unsigned long long samples = 0;
    for (unsigned i = 0; i < rounds && bad < 10; i++) {
        memset(shared, 0, sizeof *shared * THREADS);
        pid_t pid = start_target(self, fd);
        random = random * 1103515245 + 12345;
        while (!__atomic_load_n(&shared[0].allocs_done, __ATOMIC_SEQ_CST) && waitpid(pid, NULL, WNOHANG) == 0)
            sleep_us(200);
        sleep_us(random >> 16 & 8191);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        const struct progress end = sum();
        samples += end.allocs_done;
        bad += !recover(pid, &text) || !check(&text, &end, &end);
    }
    printf("%u rounds, %llu allocations recorded, %u bad\n", rounds, samples, bad);
    free(text.data);
    return bad || !samples;
}

static int dump_rounds(const char *self, int fd, unsigned rounds)
{
    struct text text = {0};
    unsigned bad = 0;
    pid_t pid = start_target(self, fd);
    while (!__atomic_load_n(&shared[1].allocs_done, __ATOMIC_SEQ_CST) && waitpid(pid, NULL, WNOHANG) == 0)
        sleep_us(200);
    for (unsigned i = 0; i < rounds && bad < 10; i++) {
        const struct progress before = sum();
        int good = recover(pid, &text);
        const struct progress after = sum();
        bad += !good || !check(&text, &before, &after);
        sleep_us(10000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    bad += !recover(pid, &text); /* and removes it */
    printf("%u profiles of a running target, %u bad\n", rounds, bad);
    free(text.data);
    return bad != 0;
}

int main(int argc, char **argv)
{
    int dump = argc == 3 && !strcmp(argv[1], "dump");
    if (argc == 3 && !strcmp(argv[1], "target"))
        return be_target(atoi(argv[2]));
    if ((argc != 2 && !dump) || !getenv("LIBHEAPPROF"))
        return fprintf(stderr, "usage: LIBHEAPPROF=FILE kill [dump] ROUNDS\n"), 2;
    int fd = memfd_create("progress", 0);
    if (fd < 0 || ftruncate(fd, sizeof *shared * THREADS) < 0)
        return perror("memfd_create"), 1;
    shared = mmap(NULL, sizeof *shared * THREADS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        return perror("mmap"), 1;
    unsigned rounds = (unsigned)strtoul(argv[argc - 1], NULL, 10);
    return dump ? dump_rounds("/proc/self/exe", fd, rounds) : kill_rounds("/proc/self/exe", fd, rounds);
}
