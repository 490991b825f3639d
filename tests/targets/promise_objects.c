/* A target that minds what it gets from its allocator and what it gives back. The first argument says how; what it
 * prints must not depend on the library. */
#include "guest.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <mcheck.h>
#include <pthread.h>
#include <stdint.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#pragma GCC diagnostic ignored "-Wuse-after-free"

void *pvalloc(size_t size);
void free_sized(void *pointer, size_t size) __attribute__((weak));
void free_aligned_sized(void *pointer, size_t alignment, size_t size) __attribute__((weak));

static void *hide(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

static unsigned random_below(unsigned most)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(state >> 33) % most;
}

static size_t random_size(void)
{
    return random_below(50) ? random_below(3000) : random_below(400000);
}

/* All of the family, in random order, each object back by a way that suits it. */
static int family(void)
{
    enum { SLOTS = 300, ROUNDS = 60000 };
    static struct {
        char *object;
        size_t size, alignment;
    } slots[SLOTS];
    void (*note)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "check_note");
    void (*write_notes)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "check_write");
    if (note)
        note(1);
    for (int i = 0; i < ROUNDS; i++) {
        __typeof__(slots[0]) *slot = &slots[random_below(SLOTS)];
        size_t size = random_size(), before = slot->size;
        if (slot->object) {
            CHECK(before == 0 || slot->object[before - 1] == (char)before);
            CHECK(malloc_usable_size(slot->object) >= before);
            unsigned way = random_below(4);
            if (way == 0 && !slot->alignment) {
                slot->object = hide(realloc(slot->object, size + 1));
                slot->size = size + 1;
                slot->object[size] = (char)slot->size;
                continue;
            }
            if (way == 1 && !slot->alignment) {
                slot->object = hide(reallocarray(slot->object, 3, size + 1));
                slot->size = 3 * (size + 1);
                slot->object[slot->size - 1] = (char)slot->size;
                continue;
            }
            if (way == 2 && free_sized && !slot->alignment)
                free_sized(slot->object, before);
            else if (way == 2 && free_aligned_sized && slot->alignment > 1)
                free_aligned_sized(slot->object, slot->alignment, before);
            else
                free(slot->object);
            slot->object = NULL;
            continue;
        }
        size_t alignment = (size_t)16 << random_below(9);
        slot->alignment = 0;
        switch (random_below(8)) {
        case 0:
        case 1:
            slot->object = malloc(size);
            break;
        case 2:
            slot->object = calloc(3, size);
            size *= 3;
            break;
        case 3:
            slot->object = memalign(slot->alignment = alignment, size);
            break;
        case 4:
            slot->object = aligned_alloc(slot->alignment = alignment, size);
            break;
        case 5:
            slot->alignment = alignment;
            CHECK(posix_memalign((void **)&slot->object, alignment, size) == 0);
            break;
        case 6:
            slot->alignment = 1;
            slot->object = valloc(size);
            break;
        default:
            slot->alignment = 1;
            slot->object = note ? pvalloc(size) : valloc(size); /* jemalloc has none, and glibc's is no object of its */
        }
        CHECK(hide(slot->object));
        CHECK(slot->alignment < 2 || (uintptr_t)slot->object % slot->alignment == 0);
        slot->size = size;
        if (size)
            slot->object[size - 1] = (char)size;
    }
    if (note)
        note(0);
    if (write_notes)
        write_notes();
    puts("as given");
    return 0;
}

/* Buffers that grow, their contents checked. */
static void *grow_some(void *argument)
{
    for (unsigned i = 0; i < 3000; i++) {
        unsigned *buffer = NULL;
        size_t most = 1 + i % 40 * (i % 40) * 20 + (i % 500 == 7) * 300000;
        for (size_t room = 4; room < most * 2; room *= 2) {
            buffer = realloc(buffer, room * sizeof *buffer);
            CHECK(buffer);
            for (size_t k = room == 4 ? 0 : room / 2; k < room; k++)
                buffer[k] = (unsigned)k ^ i;
        }
        for (size_t k = 0; buffer && k < most / 2; k++)
            CHECK(buffer[k] == ((unsigned)k ^ i));
        unsigned *zeros = calloc(most, sizeof *zeros);
        CHECK(zeros && zeros[0] == 0 && zeros[most - 1] == 0);
        free(zeros);
        free(buffer);
    }
    return argument;
}

static int grow(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, grow_some, NULL) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    puts("grown");
    return 0;
}

/* jemalloc's arenas: all that was theirs is gone with them, whoever has freed it. */
static int arenas(void)
{
    int (*control)(const char *, void *, size_t *, void *, size_t) =
        (int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT, "mallctl");
    void *(*take)(size_t, int) = (void *(*)(size_t, int))dlsym(RTLD_DEFAULT, "mallocx");
    enum { OBJECTS = 6000, LATER = 60000, SIZE = 500 };
    static unsigned char *objects[OBJECTS], *later[LATER];
    CHECK(control && take);
    for (int round = 0; round < 4; round++) {
        unsigned arena;
        size_t length = sizeof arena;
        CHECK(control("arenas.create", &arena, &length, NULL, 0) == 0);
        const int flags = (int)((arena + 1) << 20 | 1 << 8); /* MALLOCX_ARENA, MALLOCX_TCACHE_NONE */
        for (int i = 0; i < OBJECTS; i++) {
            objects[i] = take(SIZE + (size_t)round * 700, flags);
            CHECK(objects[i]);
            memset(objects[i], 1, SIZE);
        }
        for (int i = 0; i < OBJECTS - round * 1000; i++) /* the others go with the arena */
            free(objects[i]);
        char name[64];
        CHECK(control("thread.tcache.flush", NULL, NULL, NULL, 0) == 0);
        snprintf(name, sizeof name, "arena.%u.destroy", arena);
        CHECK(control(name, NULL, NULL, NULL, 0) == 0);
        for (int i = 0; i < LATER; i++) {
            later[i] = malloc(SIZE + (size_t)round * 700);
            CHECK(later[i]);
            memset(later[i], i & 255, SIZE);
        }
        for (int i = 0; i < LATER; i++) {
            for (int k = 0; k < SIZE; k++)
                CHECK(later[i][k] == (i & 255));
            free(later[i]);
        }
    }
    puts("destroyed");
    return 0;
}

/* A double free, which glibc notices in its thread's cache. */
static int twice(void)
{
    for (int i = 0; i < 2000; i++)
        free(hide(malloc(1000)));
    char *object = hide(malloc(1000));
    free(object);
    free(hide(object));
    puts("not noticed");
    return 0;
}

static int overrun(void)
{
    for (int i = 0; i < 1000; i++) {
        char *object = hide(malloc(24));
        memset(hide(object), 1, i == 999 ? 25 : 24);
        free(object);
    }
    puts("not noticed");
    return 0;
}

/* What is written into MALLOC_TRACE. */
static int traced(void)
{
    void *kept[100];
    mtrace();
    for (int i = 0; i < 100; i++)
        kept[i] = hide(malloc(10000));
    for (int i = 0; i < 99; i++)
        free(kept[i]);
    muntrace();
    puts("traced");
    return 0;
}

/* Blocks of these sizes replace each other, each page touched: replace BLOCKS MIN MAX. The peak goes to the error
 * output. */
static int replace(int blocks, unsigned least, unsigned most)
{
    static char *slots[64];
    for (int i = 0; i < blocks; i++) {
        unsigned k = random_below(16);
        size_t size = least + random_below(most - least);
        free(slots[k]);
        slots[k] = malloc(size);
        CHECK(slots[k]);
        for (size_t at = 0; at < size; at += 4096)
            slots[k][at] = 1;
    }
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "VmHWM:", 6))
            fprintf(stderr, "%d\n", atoi(line + 6));
    puts("replaced");
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    allocate_much(0, 200);
    if (!strcmp(what, "family"))
        return family();
    if (!strcmp(what, "grow"))
        return grow();
    if (!strcmp(what, "arenas"))
        return arenas();
    if (!strcmp(what, "twice"))
        return twice();
    if (!strcmp(what, "overrun"))
        return overrun();
    if (!strcmp(what, "traced"))
        return traced();
    if (!strcmp(what, "replace") && count > 4)
        return replace(atoi(arguments[2]), (unsigned)atoi(arguments[3]), (unsigned)atoi(arguments[4]));
    return 2;
}
