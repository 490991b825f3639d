/* What README's test pipeline profiles: a server that takes requests, one byte each, from the pipe
 * "requests", and answers each with a byte into the pipe "answers". For a request it allocates 1 MB
 * in objects of 1,000 bytes. Argument "leak": it keeps them; otherwise it frees them with the next
 * request. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OBJECTS 1000

static void *kept[OBJECTS];

__attribute__((noinline)) static void handle_request(int leaks)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (!leaks)
            free(kept[i]);
        kept[i] = malloc(1000);
        memset(kept[i], 1, 1000);
    }
}

int main(int argc, char **argv)
{
    int leaks = argc > 1 && !strcmp(argv[1], "leak");
    int requests = open("requests", O_RDWR), answers = open("answers", O_RDWR);
    char byte;
    if (requests < 0 || answers < 0) {
        perror("requests, answers");
        return 1;
    }
    while (read(requests, &byte, 1) == 1) {
        handle_request(leaks);
        if (write(answers, &byte, 1) != 1)
            return 1;
    }
    return 0;
}
