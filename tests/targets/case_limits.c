/* A target that comes to the end of what it may have. The first argument says of what; what it
 * prints must not depend on the library, but for "flood FILE", which writes into FILE how many it
 * allocated, and how many bytes in a second of its time. */
#include "guest.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int leave_core(void)
{
    allocate_much(0, 20000);
    abort();
}

/* No descriptor can be had any more, also by its children. */
static int no_descriptors(void)
{
    struct rlimit none = {0, 0};
    int status;
    allocate_much(0, 2000);
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    allocate_much(2000, 20000);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            allocate_much(22000, 500);
            _exit(7);
        }
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }
    puts("no descriptors needed");
    return 0;
}

/* So many MiB in small objects, all kept. */
static int fill(unsigned megabytes)
{
    for (unsigned i = 0; i < megabytes << 10; i++) {
        char *object = malloc(1000);
        CHECK(object);
        memset(object, 1, 1000);
    }
    puts("filled");
    return 0;
}

enum { FLOODERS = 4, FLOOD_EACH = 40000, FLOOD_SIZE = 1 << 20 };

__attribute__((noinline)) static void pour(unsigned bits, int depth);

__attribute__((noinline)) static void pour_aside(unsigned bits, int depth)
{
    pour(bits >> 1, depth - 1);
    __asm__ volatile("");
}

/* Ever new stacks, for which there is no room; one block in eight stays for a while. */
__attribute__((noinline)) static void pour(unsigned bits, int depth)
{
    static __thread void *kept[64];
    if (depth == 0) {
        char *block = malloc(FLOOD_SIZE);
        __asm__ volatile("" : "+r"(block) : : "memory");
        CHECK(block);
        block[0] = 1;
        void **place = &kept[bits % 64];
        free(*place);
        *place = block;
    } else if (bits & 1) {
        pour_aside(bits, depth);
    } else {
        pour(bits >> 1, depth - 1);
    }
    __asm__ volatile("");
}

static void *flood_one(void *argument)
{
    for (unsigned i = 0; i < FLOOD_EACH; i++)
        pour(i * 8 + (unsigned)(uintptr_t)argument, 18);
    return NULL;
}

static int flood(const char *path)
{
    pthread_t threads[FLOODERS];
    struct timespec used;
    for (unsigned i = 0; i < FLOODERS; i++)
        CHECK(pthread_create(&threads[i], NULL, flood_one, (void *)(uintptr_t)i) == 0);
    for (unsigned i = 0; i < FLOODERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
    FILE *file = fopen(path, "w");
    CHECK(file);
    fprintf(file, "%d %.0f\n", FLOODERS * FLOOD_EACH,
            1.0 * FLOODERS * FLOOD_EACH * FLOOD_SIZE / ((double)used.tv_sec + (double)used.tv_nsec / 1e9));
    CHECK(fclose(file) == 0);
    puts("flooded");
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *with = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "core"))
        return leave_core();
    if (!strcmp(what, "descriptors"))
        return no_descriptors();
    if (!strcmp(what, "fill"))
        return fill((unsigned)atoi(with));
    if (!strcmp(what, "flood"))
        return flood(with);
    return 2;
}
