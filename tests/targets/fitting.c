/* fitting FILE: strings as redis keeps them: what malloc_usable_size says is too much is given back by realloc. Writes a
 * profile to FILE, and prints how many bytes are live. */
#include <heapprof.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 60000
#define SIZE 504

static char *strings[COUNT];

static char *make_string(void)
{
    char *string = malloc(SIZE);
    size_t usable = malloc_usable_size(string);
    memset(string, 1, usable);
    return usable > SIZE + SIZE / 10 ? realloc(string, SIZE) : string;
}

int main(int argc, char **argv)
{
    for (int i = 0; i < COUNT; i++)
        strings[i] = make_string();
    if (argc < 2 || heapprof_dump(argv[1]) < 0)
        return 1;
    printf("%d\n", COUNT * SIZE);
    for (int i = 0; i < COUNT; i++)
        free(strings[i]);
    return 0;
}
