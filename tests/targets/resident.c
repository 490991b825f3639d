/* resident FOLDER: takes memory of each kind in turn. After each step it writes the allocator's own account to
 * FOLDER/STEP.account and a profile to FOLDER/STEP.heap, prints "STEP", and waits for a line on standard input. */
#include <dlfcn.h>
#include <fcntl.h>
#include <heapprof.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OBJECTS 40000
#define OBJECT 1000
#define THREADS 20
#define MIB (1ul << 20)

static const char *folder;
static char *objects[OBJECTS];
static pthread_barrier_t barrier;

static void write_text(void *file, const char *text)
{
    fputs(text, file);
}

static void write_mimalloc_text(const char *text, void *file)
{
    fputs(text, file);
}

/* Of the allocator that is there, by its own means. */
static void write_account(FILE *file)
{
    void (*print)(void (*)(void *, const char *), void *, const char *) = dlsym(RTLD_DEFAULT, "malloc_stats_print");
    void (*get_stats)(char *, int) = dlsym(RTLD_DEFAULT, "MallocExtension_GetStats");
    void (*mi_print)(void (*)(const char *, void *), void *) = dlsym(RTLD_DEFAULT, "mi_stats_print_out");
    if (print) {
        print(write_text, file, "gblxeh");
    } else if (get_stats) {
        char text[16384];
        get_stats(text, sizeof text);
        fputs(text, file);
    } else if (mi_print) {
        mi_print(write_mimalloc_text, file);
    } else {
        malloc_info(0, file);
    }
}

/* The library asks the allocator now and then, in the course of a sample: give it time and samples. */
static void refresh(void)
{
    for (int round = 0; round < 2; round++) {
        usleep(200000);
        for (int i = 0; i < 200; i++) {
            char *volatile block = malloc(1000);
            free(block);
        }
    }
}

static void step(const char *name)
{
    char path[4096], line[16];
    snprintf(path, sizeof path, "%s/%s.account", folder, name);
    FILE *file = fopen(path, "w");
    static char buffer[65536];
    setvbuf(file, buffer, _IOFBF, sizeof buffer); /* no malloc */
    refresh();
    write_account(file);
    fclose(file);
    snprintf(path, sizeof path, "%s/%s.heap", folder, name);
    if (heapprof_dump(path) < 0)
        exit(1);
    puts(name);
    if (!fgets(line, sizeof line, stdin))
        exit(1);
}

static void *touch_stack(void *argument)
{
    char memory[MIB];
    memset(memory, 1, sizeof memory);
    __asm__ volatile("" ::"r"(memory) : "memory");
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return argument;
}

static void *map(size_t size, int flags, int fd)
{
    char *memory = mmap(NULL, size, PROT_READ | (fd < 0 ? PROT_WRITE : 0), flags, fd, 0);
    if (memory == MAP_FAILED)
        exit(1);
    for (size_t i = 0; i < size; i += 4096) {
        if (fd < 0)
            memory[i] = 1;
        else
            (void)*(volatile char *)&memory[i];
    }
    return memory;
}

static void give_back(void)
{
    int (*mallctl)(const char *, void *, size_t *, void *, size_t) = dlsym(RTLD_DEFAULT, "mallctl");
    void (*release)(void) = dlsym(RTLD_DEFAULT, "MallocExtension_ReleaseFreeMemory");
    void (*collect)(bool) = dlsym(RTLD_DEFAULT, "mi_collect");
    if (mallctl)
        mallctl("arena.4096.purge", NULL, NULL, NULL, 0); /* 4096: all */
    else if (release)
        release();
    else if (collect)
        collect(true);
    else
        malloc_trim(0);
}

int main(int argc, char **argv)
{
    char path[4096];
    pthread_t threads[THREADS];
    if (argc < 2)
        return 2;
    folder = argv[1];
    setvbuf(stdout, NULL, _IOLBF, 0);
    step("start");
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = malloc(OBJECT);
        memset(objects[i], 1, OBJECT);
    }
    step("heap");
    char *large = malloc(24 * MIB); /* of it a third is touched */
    memset(large, 1, 8 * MIB);
    step("untouched");
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    map(8 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1); /* the first stack comes to lie just below it */
    step("before-threads");
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, touch_stack, NULL);
    pthread_barrier_wait(&barrier);
    step("threads");
    snprintf(path, sizeof path, "%s/data", folder);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, 64 * MIB) != 0)
        return 1;
    map(64 * MIB, MAP_SHARED, fd);
    step("file");
    map(64 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    step("anonymous");
    map(16 * MIB, MAP_SHARED | MAP_ANONYMOUS, -1);
    step("shared");
    for (int i = 0; i < OBJECTS; i++)
        if (i % 10000 >= 1000) { /* what stays keeps the allocator from giving all back by itself */
            free(objects[i]);
            objects[i] = NULL;
        }
    step("freed");
    give_back();
    step("released");
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    free(large);
    return 0;
}
