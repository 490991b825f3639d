/* The functions of <string.h> that the library uses, also those that gcc calls for copies and comparisons, and zlib.
 * Hidden: libc's may be replaced by the target or by another library, with ones that allocate or take locks, and inside
 * the cold path, a dump and the start nothing may be called that can be. Plain loops; what is copied there is short.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Words that may lie anywhere and be of any type. */
typedef uint64_t word __attribute__((may_alias, aligned(1)));

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    char *t = to;
    const char *f = from;
    for (; size >= sizeof(word); size -= sizeof(word), t += sizeof(word), f += sizeof(word))
        *(word *)t = *(const word *)f;
    while (size--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    char *t = to;
    const char *f = from;
    if (t <= f || t >= f + size) {
        for (; size >= sizeof(word) && f >= t + sizeof(word);
             size -= sizeof(word), t += sizeof(word), f += sizeof(word))
            *(word *)t = *(const word *)f;
        while (size--)
            *t++ = *f++;
    } else {
        while (size--)
            t[size] = f[size];
    }
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    char *t = to;
    const uint64_t all = (unsigned char)byte * 0x0101010101010101ull;
    for (; size >= sizeof(word); size -= sizeof(word), t += sizeof(word))
        *(word *)t = all;
    while (size--)
        *t++ = (char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *p = a, *q = b;
    for (; size && *p == *q; size--, p++, q++) {
    }
    return size ? *p - *q : 0;
}

void *memchr(const void *text, int byte, size_t size)
{
    const unsigned char *p = text;
    for (; size; size--, p++)
        if (*p == (unsigned char)byte)
            return (void *)(uintptr_t)p;
    return NULL;
}

void *memmem(const void *text, size_t size, const void *wanted, size_t wanted_size)
{
    for (const char *p = text; size >= wanted_size; size--, p++)
        if (!memcmp(p, wanted, wanted_size))
            return (void *)(uintptr_t)p;
    return NULL;
}

size_t strlen(const char *text)
{
    const char *p = text;
    while (*p)
        p++;
    return (size_t)(p - text);
}

size_t strnlen(const char *text, size_t most)
{
    size_t size = 0;
    while (size < most && text[size])
        size++;
    return size;
}

int strcmp(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++) {
    }
    return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t most)
{
    for (; most && *a && *a == *b; most--, a++, b++) {
    }
    return most ? (unsigned char)*a - (unsigned char)*b : 0;
}

char *strchr(const char *text, int letter)
{
    for (;; text++) {
        if (*text == (char)letter)
            return (char *)(uintptr_t)text;
        if (!*text)
            return NULL;
    }
}

char *strrchr(const char *text, int letter)
{
    const char *last = NULL;
    for (;; text++) {
        if (*text == (char)letter)
            last = text;
        if (!*text)
            return (char *)(uintptr_t)last;
    }
}

char *strstr(const char *text, const char *wanted)
{
    return memmem(text, strlen(text), wanted, strlen(wanted));
}

size_t strspn(const char *text, const char *letters)
{
    size_t size = 0;
    while (text[size] && strchr(letters, text[size]))
        size++;
    return size;
}

size_t strcspn(const char *text, const char *letters)
{
    size_t size = 0;
    while (text[size] && !strchr(letters, text[size]))
        size++;
    return size;
}
