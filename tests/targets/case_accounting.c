/* A target that minds what the allocator's functions say, and one that knows what it allocated. The
 * first argument says which; "site FUNCTION LIVE_OBJECTS LIVE_BYTES ALLOCATED_OBJECTS
 * ALLOCATED_BYTES" is the truth. */
#include "guest.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "heapprof.h"

static volatile size_t too_much = (size_t)PTRDIFF_MAX + 1, half = SIZE_MAX / 2;
static volatile size_t bad = 3, zero = 0;
static int first = 1;

/* Each round must say what the first one said. */
static void say(const char *what, int error, int result)
{
    static struct {
        int error, result;
    } said[64];
    static unsigned place;
    if (first) {
        printf("%s: result %d, errno %d\n", what, result, error);
        said[place].error = error;
        said[place].result = result;
    } else {
        CHECK(said[place].error == error && said[place].result == result);
    }
    place = !strcmp(what, "end") ? 0 : place + 1;
}

static void say_pointer(const char *what, void *pointer, size_t alignment)
{
    int error = errno;
    say(what, error, pointer ? ((uintptr_t)pointer % alignment == 0 ? 1 : 2) : 0);
    errno = 88;
    free(pointer);
    say("free", errno, 0);
}

/* 77 is what errno stays when a function has nothing to say. */
#define SAY(alignment, call) (errno = 77, say_pointer(#call, call, alignment))

static void errors(void)
{
    static char untouched;
    void *pointer = &untouched;
    SAY(16, malloc(zero));
    SAY(16, malloc(100));
    SAY(16, malloc(too_much));
    SAY(16, malloc(SIZE_MAX - bad));
    SAY(16, calloc(half, 3));
    SAY(16, calloc(too_much, 1));
    SAY(16, calloc(zero, 10));
    SAY(16, realloc(NULL, zero));
    SAY(16, realloc(NULL, too_much));
    SAY(16, reallocarray(NULL, half, 3));
    SAY(64, aligned_alloc(64, 64));
    SAY(64, aligned_alloc(64, 65));
    SAY(16, aligned_alloc(4096, too_much));
    SAY(256, memalign(256, 1000));
    SAY(16, memalign(64, too_much));
    SAY(4096, valloc(10));
    errno = 77;
    say("posix_memalign(3)", posix_memalign(&pointer, bad, 100), pointer == &untouched);
    say("posix_memalign(0)", posix_memalign(&pointer, zero, 100), pointer == &untouched);
    say("posix_memalign(4)", posix_memalign(&pointer, 4, 100), pointer == &untouched);
    say("posix_memalign(too much)", posix_memalign(&pointer, 64, too_much), pointer == &untouched);
    say("errno of these", errno, 0);
    char *object = malloc(300);
    char *volatile still = object; /* after a failure, which is what is tested */
    memset(object, 5, 300);
    errno = 77;
    char *moved = realloc(object, too_much);
    object = still;
    say("realloc(too much)", errno, moved == NULL && object[0] == 5 && object[299] == 5);
    errno = 77;
    moved = reallocarray(object, half, 3);
    object = still;
    say("reallocarray(too much)", errno, moved == NULL && object[0] == 5 && object[299] == 5);
    errno = 77;
    object = realloc(object, 100000);
    say("realloc(more)", errno, object && object[299] == 5);
    errno = 77;
    moved = realloc(object, zero);
    say("realloc(0)", errno, moved == NULL);
    free(moved);
    errno = 77;
    free(NULL);
    say("end", errno, 0);
}

static int all_errors(void)
{
    for (int round = 0; round < 1500; round++) {
        errors();
        first = 0;
    }
    return 0;
}

static int extras(void)
{
    char *text = NULL;
    size_t size = 0, filled = 0;
    for (size_t i = 0; i < 20000; i++) {
        size_t asked = i * 31 % 6000;
        char *bytes = malloc(asked);
        size_t usable = malloc_usable_size(bytes);
        CHECK(bytes && usable >= asked);
        memset(bytes, 7, usable);
        filled += asked;
        free(bytes);
    }
    printf("usable %zu %zu\n", filled, malloc_usable_size(NULL));
    printf("mallopt %d %d\n", mallopt(M_MMAP_THRESHOLD, 1 << 20), mallopt(M_MXFAST, 1 << 20));
    malloc_trim(0);
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream && malloc_info(0, stream) == 0 && fclose(stream) == 0);
    printf("malloc_info %.7s\n", text);
    printf("malloc_info(1) %d\n", malloc_info(1, stdout));
    CHECK(mallinfo2().arena < 1ul << 30);
    free(text);
    return 0;
}

/* Before any constructor of a library. */
static char *early[50];

static void allocate_early(void)
{
    for (int i = 0; i < 50; i++) {
        early[i] = malloc(1000 + (size_t)i);
        if (early[i])
            memset(early[i], i, 1000);
    }
}

__attribute__((section(".preinit_array"), used)) static void (*const before_all)(void) = allocate_early;

static void release_late(void)
{
    for (int i = 25; i < 50; i++)
        free(early[i]);
}

static int early_and_late(void)
{
    for (int i = 0; i < 50; i++)
        CHECK(early[i] && early[i][999] == i);
    for (int i = 0; i < 25; i++)
        free(realloc(early[i], 3000));
    atexit(release_late);
    allocate_much(0, 2000);
    puts("early and late");
    return 0;
}

static int64_t live_objects, live_bytes, all_objects, all_bytes;

static void account(int64_t objects, int64_t bytes)
{
    __atomic_fetch_add(&live_objects, objects, __ATOMIC_RELAXED);
    __atomic_fetch_add(&live_bytes, bytes, __ATOMIC_RELAXED);
    if (objects > 0) {
        __atomic_fetch_add(&all_objects, objects, __ATOMIC_RELAXED);
        __atomic_fetch_add(&all_bytes, bytes, __ATOMIC_RELAXED);
    }
}

__attribute__((noinline)) static void *the_site(void *old, size_t size)
{
    void *pointer = realloc(old, size); /* with NULL as good as malloc */
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    account(1, (int64_t)size);
    return pointer;
}

static void tell(void)
{
    printf("site the_site %ld %ld %ld %ld\n", live_objects, live_bytes, all_objects, all_bytes);
}

static void *slots[4096];
static int64_t objects_each;

static void *produce(void *argument)
{
    unsigned random = (unsigned)(uintptr_t)argument;
    for (int64_t i = 0; i < objects_each; i++) {
        random = random * 1103515245 + 12345;
        size_t size = 16 + (random >> 16) % 200;
        size_t *object = the_site(NULL, size);
        *object = size;
        size_t *other = __atomic_exchange_n(&slots[random >> 8 & 4095], object, __ATOMIC_ACQ_REL);
        if (other) { /* most often another thread's */
            account(-1, -(int64_t)*other);
            free(other);
        }
    }
    return NULL;
}

static int hand_over(int64_t objects)
{
    pthread_t threads[4];
    objects_each = objects / 4;
    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, produce, (void *)(uintptr_t)(i * 977 + 1)) == 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    tell();
    return 0;
}

static volatile int stop;

struct block {
    char *bytes;
    size_t size;
};

/* Random operations on 500 blocks of its own, with contents checked. */
static void *mix(void *argument)
{
    static struct block all[4][500];
    struct block *blocks = all[(uintptr_t)argument];
    unsigned random = 7 + (unsigned)(uintptr_t)argument;
    while (!stop) {
        random = random * 1103515245 + 12345;
        struct block *block = &blocks[(random >> 8) % 500];
        size_t size = 1 + (random >> 4) % (random % 64 == 3 ? 200000 : 700);
        if (block->bytes)
            CHECK(block->bytes[block->size - 1] == (char)block->size);
        if (!block->bytes || random >> 30) {
            if (block->bytes)
                account(-1, -(int64_t)block->size);
            block->bytes = the_site(block->bytes, size);
            CHECK(block->bytes);
            block->size = size;
            block->bytes[size - 1] = (char)size;
        } else {
            account(-1, -(int64_t)block->size);
            free(block->bytes);
            block->bytes = NULL;
        }
    }
    return NULL;
}

static uint64_t own_bytes(void)
{
    struct heapprof_stats stats = {0};
    heapprof_read_stats(&stats);
    return stats.own_bytes;
}

static int soak(unsigned seconds)
{
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, mix, (void *)(uintptr_t)i) == 0);
    usleep(seconds * 250000);
    uint64_t before = own_bytes();
    usleep(seconds * 750000);
    uint64_t after = own_bytes();
    stop = 1;
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    tell();
    printf("own memory: %lu bytes after a quarter of %u s, %lu at the end\n", before, seconds, after);
    /* Addresses take their places in a table of fixed size bit by bit; one bit an object would be
     * more than this. */
    puts(after - before < 1u << 20 ? "own memory is steady" : "own memory grows");
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *with = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "errors"))
        return all_errors();
    if (!strcmp(what, "extras"))
        return extras();
    if (!strcmp(what, "early"))
        return early_and_late();
    if (!strcmp(what, "hand_over"))
        return hand_over(atol(with));
    if (!strcmp(what, "soak"))
        return soak((unsigned)atoi(with));
    return 2;
}
