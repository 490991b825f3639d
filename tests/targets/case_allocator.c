/* An allocator whose functions may be called in signal handlers: it only ever takes from a large
 * mapping. To be preloaded behind the library, so that a handler may rightly allocate wherever it
 * interrupts. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SPACE (32ul << 30)

static char *space;
static size_t used;

static char *start(void)
{
    char *now = __atomic_load_n(&space, __ATOMIC_ACQUIRE), *none = NULL;
    if (now)
        return now;
    now = mmap(NULL, SPACE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (now == MAP_FAILED)
        abort();
    if (__atomic_compare_exchange_n(&space, &none, now, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return now;
    munmap(now, SPACE);
    return none;
}

/* The word before an object is its size. Not called by its public name, which is the library's. */
static void *take(size_t alignment, size_t size)
{
    if (size > SPACE / 2 || alignment > 1u << 20) {
        errno = ENOMEM;
        return NULL;
    }
    if (alignment < 16)
        alignment = 16;
    size_t at = __atomic_fetch_add(&used, size + alignment + 16, __ATOMIC_RELAXED);
    if (at + size + alignment + 16 > SPACE) {
        errno = ENOMEM;
        return NULL;
    }
    uintptr_t object = ((uintptr_t)start() + at + 8 + alignment - 1) & ~(alignment - 1);
    ((size_t *)object)[-1] = size;
    return (void *)object;
}

void *memalign(size_t alignment, size_t size);

void *memalign(size_t alignment, size_t size)
{
    return take(alignment, size);
}

void *malloc(size_t size)
{
    return take(16, size);
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return take(16, bytes); /* never used before */
}

void *realloc(void *pointer, size_t size)
{
    void *moved = take(16, size);
    if (pointer && moved) {
        size_t old = ((size_t *)pointer)[-1];
        memcpy(moved, pointer, old < size ? old : size);
    }
    return moved;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return take(alignment, size);
}

int posix_memalign(void **pointer, size_t alignment, size_t size)
{
    *pointer = take(alignment, size);
    return *pointer ? 0 : ENOMEM;
}

void free(void *pointer)
{
    (void)pointer;
}
