/* What scripts/bench times: malloc/free pairs of 16 to 527 bytes.
 *
 *   pairs THREADS MILLIONS     prints the nanoseconds of a pair, by the thread's CPU time
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long pairs;

static void *work(void *argument)
{
    double *ns = argument;
    struct timespec start, end;
    unsigned random = 1;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (long i = 0; i < pairs; i++) {
        random = random * 1103515245 + 12345;
        void *object = malloc(16 + (random >> 16 & 511));
        __asm__ volatile("" : : "r"(object) : "memory");
        free(object);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    *ns = ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)pairs;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    double ns[64] = {0}, sum = 0;
    int count = argc == 3 ? atoi(argv[1]) : 0;
    if (count < 1 || count > 64)
        return fprintf(stderr, "usage: pairs THREADS MILLIONS\n"), 2;
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
