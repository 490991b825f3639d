/* Pairs of operator new and delete of 16 to 527 bytes, for the instructions that they take.
 *
 *   pairs_cxx MILLIONS
 */
#include <cstdio>
#include <cstdlib>
#include <new>

int main(int argc, char **argv)
{
    if (argc != 2)
        return fprintf(stderr, "usage: pairs_cxx MILLIONS\n"), 2;
    long pairs = static_cast<long>(atof(argv[1]) * 1e6);
    unsigned random = 1;
    for (long i = 0; i < pairs; i++) {
        random = random * 1103515245 + 12345;
        void *object = operator new(16 + (random >> 16 & 511));
        __asm__ volatile("" : : "r"(object) : "memory");
        operator delete(object);
    }
    return 0;
}
