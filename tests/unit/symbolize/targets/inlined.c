/* A C program with calls inlined three deep, and with what has only a symbol. */
#include <stdio.h>
#include <stdlib.h>

char *outer(size_t size);
int __reserved_name(int value);
int public_name(int value);

static inline char *leaf(size_t size)
{
    char *block = malloc(size);
    if (!block)
        abort();
    block[0] = 'x';
    return block;
}

static inline char *middle(size_t size)
{
    char *first = leaf(size + 1);
    first[1] = leaf(size)[0];
    return first;
}

__attribute__((noinline)) char *outer(size_t size)
{
    char *block = middle(size * 2);
    block[2] = 'y';
    return block;
}

/* Two names for one function: the one without underscores is what its callers know. */
__attribute__((noinline)) int __reserved_name(int value)
{
    return printf("%d\n", value);
}
extern int public_name(int value) __attribute__((alias("__reserved_name")));

int main(int argc, char **argv)
{
    char *block = outer((size_t)argc + 8);
    if (argc > 100)
        free(block);
    return public_name(block[0]) < 0;
}
