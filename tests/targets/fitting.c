/* fitting shrink|grow FILE: strings as redis keeps them, whose length follows malloc_usable_size. `shrink`: what it
 * says is too much is given back by realloc; `grow`: they grow by realloc only when it says that they are full. Writes
 * a profile to FILE, and prints how many bytes were asked for and are live. */
#include <heapprof.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 60000
#define SIZE 504
#define LISTS 6000
#define LIST_SIZE 4000 /* about which a list is full */

static char *strings[COUNT];

static size_t shrink(char **string)
{
    *string = malloc(SIZE);
    size_t usable = malloc_usable_size(*string);
    memset(*string, 1, usable);
    if (usable > SIZE + SIZE / 10)
        *string = realloc(*string, SIZE);
    return SIZE;
}

static size_t grow(char **string)
{
    size_t asked = 16;
    *string = malloc(asked);
    for (size_t length = 0; length < LIST_SIZE; length += 11)
        if (length + 11 > malloc_usable_size(*string))
            *string = realloc(*string, asked = length + 11);
    return asked;
}

int main(int argc, char **argv)
{
    size_t live = 0;
    if (argc < 3)
        return 2;
    int growing = !strcmp(argv[1], "grow"), count = growing ? LISTS : COUNT;
    for (int i = 0; i < count; i++)
        live += growing ? grow(&strings[i]) : shrink(&strings[i]);
    if (heapprof_dump(argv[2]) < 0)
        return 1;
    printf("%zu\n", live);
    for (int i = 0; i < count; i++)
        free(strings[i]);
    return 0;
}
