/* An allocator that minds what it is asked: to be preloaded behind the library. It notes each call while it is told to,
 * objects by their number, and ends the process (97) where a pointer, a size or an alignment comes back that it did
 * not give like this. The notes of a target are the same with the library and without. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPACE (8ul << 30)
#define MAGIC 0x70726f6d69736564ull

/* Before each object. Nothing is given out twice, so that a freed object is known by its header. */
struct header {
    size_t size, alignment;
    uint64_t number, magic;
};

static char *space, *notes;
static size_t used, notes_used;
static uint64_t objects;
static int noting;

void check_note(int on);
void check_write(void);
void *memalign(size_t alignment, size_t size);
void *pvalloc(size_t size);
size_t malloc_usable_size(void *pointer);
void free_sized(void *pointer, size_t size);
void free_aligned_sized(void *pointer, size_t alignment, size_t size);

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        _exit(98);
    return memory;
}

static void note(const char *format, ...)
{
    va_list arguments;
    if (!noting)
        return;
    va_start(arguments, format);
    notes_used += (size_t)vsnprintf(notes + notes_used, 200, format, arguments);
    va_end(arguments);
}

/* From now on, or no more. */
void check_note(int on)
{
    if (!notes)
        notes = map(1ul << 30);
    noting = on;
}

/* What was noted, to standard output. */
void check_write(void)
{
    for (size_t done = 0; done < notes_used;) {
        ssize_t n = write(STDOUT_FILENO, notes + done, notes_used - done);
        if (n <= 0)
            _exit(98);
        done += (size_t)n;
    }
}

static void *give(size_t alignment, size_t size)
{
    if (!space)
        space = map(SPACE);
    if (size > SPACE / 4 || alignment > 1u << 20) {
        errno = ENOMEM;
        return NULL;
    }
    size_t room = size + sizeof(struct header) + (alignment < 16 ? 16 : alignment);
    size_t at = __atomic_fetch_add(&used, (room + 15) & ~(size_t)15, __ATOMIC_RELAXED);
    if (at + room > SPACE)
        _exit(98);
    size_t mask = (alignment < 16 ? 16 : alignment) - 1;
    uintptr_t object = ((uintptr_t)space + at + sizeof(struct header) + mask) & ~mask;
    *((struct header *)object - 1) =
        (struct header){size, alignment, __atomic_add_fetch(&objects, 1, __ATOMIC_RELAXED), MAGIC};
    return (void *)object;
}

static struct header *header_of(const void *pointer, const char *what)
{
    struct header *header = (struct header *)(uintptr_t)pointer - 1;
    if ((uintptr_t)pointer < (uintptr_t)space || (uintptr_t)pointer >= (uintptr_t)space + SPACE ||
        header->magic != MAGIC) {
        static const char said[] = ": no object of mine\n";
        (void)!write(STDERR_FILENO, what, strlen(what));
        (void)!write(STDERR_FILENO, said, sizeof said - 1);
        _exit(97);
    }
    return header;
}

/* Numbers count from where the notes begin: what the loader asked for before is not told. */
static uint64_t number(const void *pointer)
{
    static uint64_t first;
    const struct header *header = header_of(pointer, "number");
    if (noting && !first)
        first = header->number;
    return header->number - first;
}

static void *told(const char *what, size_t alignment, size_t size, void *object)
{
    note("%s %zu %zu: %llu\n", what, alignment, size, (unsigned long long)(object ? number(object) : 0));
    return object;
}

void *malloc(size_t size)
{
    return told("malloc", 0, size, give(16, size));
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        bytes = SIZE_MAX;
    return told("calloc", count, size, give(16, bytes));
}

void free(void *pointer)
{
    if (!pointer) {
        note("free nothing\n");
        return;
    }
    struct header *header = header_of(pointer, "free");
    note("free %llu\n", (unsigned long long)number(pointer));
    header->magic = 0;
}

void *realloc(void *pointer, size_t size)
{
    if (!pointer)
        return told("realloc nothing", 0, size, give(16, size));
    struct header *header = header_of(pointer, "realloc");
    note("realloc %llu\n", (unsigned long long)number(pointer));
    if (size == 0) {
        header->magic = 0;
        return NULL;
    }
    void *moved = give(16, size);
    if (!moved)
        return told("realloc", 0, size, NULL);
    memcpy(moved, pointer, header->size < size ? header->size : size);
    header->magic = 0;
    return told("realloc", 0, size, moved);
}

void *reallocarray(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    note("reallocarray %zu %zu\n", count, size);
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *moved = give(16, bytes);
    if (pointer && moved) {
        struct header *header = header_of(pointer, "reallocarray");
        memcpy(moved, pointer, header->size < bytes ? header->size : bytes);
        header->magic = 0;
    }
    return told("reallocarray", count, size, moved);
}

void *memalign(size_t alignment, size_t size)
{
    return told("memalign", alignment, size, give(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return told("aligned_alloc", alignment, size, give(alignment, size));
}

int posix_memalign(void **pointer, size_t alignment, size_t size)
{
    *pointer = told("posix_memalign", alignment, size, give(alignment, size));
    return *pointer ? 0 : ENOMEM;
}

void *valloc(size_t size)
{
    return told("valloc", 0, size, give(4096, size));
}

void *pvalloc(size_t size)
{
    return told("pvalloc", 0, size, give(4096, (size + 4095) & ~(size_t)4095));
}

size_t malloc_usable_size(void *pointer)
{
    note("malloc_usable_size\n");
    return pointer ? header_of(pointer, "malloc_usable_size")->size : 0;
}

void free_sized(void *pointer, size_t size)
{
    struct header *header = header_of(pointer, "free_sized");
    note("free_sized %llu %zu\n", (unsigned long long)number(pointer), size);
    if (header->size != size)
        _exit(97);
    header->magic = 0;
}

void free_aligned_sized(void *pointer, size_t alignment, size_t size)
{
    struct header *header = header_of(pointer, "free_aligned_sized");
    note("free_aligned_sized %llu %zu %zu\n", (unsigned long long)number(pointer), alignment, size);
    if (header->size != size || header->alignment != alignment)
        _exit(97);
    header->magic = 0;
}
