/* What scripts/bench times: malloc/free pairs of 16 to 527 bytes.
 *
 *   pairs THREADS MILLIONS [random]     prints the nanoseconds of a pair, by the thread's CPU time
 *
 * Each object is freed before the next one is allocated, or (random) one of 4,096 is, chosen by chance: programs free
 * in another order than they allocate, and what a processor guesses in a loop it has seen it does not guess there.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HELD 4096

static long pairs;
static int in_random_order;

static void replace_one(void **held, unsigned random)
{
    void **object = &held[random >> 8 & (HELD - 1)];
    free(*object);
    *object = malloc(16 + (random >> 16 & 511));
}

static void *work(void *argument)
{
    double *ns = argument;
    struct timespec start, end;
    unsigned random = 1;
    void **held = calloc(HELD, sizeof *held);
    if (!held)
        abort();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (long i = 0; i < pairs; i++) {
        random = random * 1103515245 + 12345;
        if (in_random_order) {
            replace_one(held, random);
            continue;
        }
        void *object = malloc(16 + (random >> 16 & 511));
        __asm__ volatile("" : : "r"(object) : "memory");
        free(object);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    *ns = ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)pairs;
    for (unsigned i = 0; i < HELD; i++)
        free(held[i]);
    free(held);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    double ns[64] = {0}, sum = 0;
    int count = argc >= 3 ? atoi(argv[1]) : 0;
    in_random_order = argc == 4 && !strcmp(argv[3], "random");
    if (count < 1 || count > 64 || argc != 3 + in_random_order)
        return fprintf(stderr, "usage: pairs THREADS MILLIONS [random]\n"), 2;
    pairs = (long)(atof(argv[2]) * 1e6);
    for (int i = 1; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, &ns[i]))
            return 1;
    work(&ns[0]);
    for (int i = 0; i < count; i++) {
        if (i)
            pthread_join(threads[i], NULL);
        sum += ns[i];
    }
    printf("%.3f\n", sum / count);
    return 0;
}
