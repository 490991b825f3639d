/* How much of a thread's stack the cold path takes: it runs inside other people's programs, on their smallest stacks.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "hooks/cold.h"
#include "kinds/heap/sampler.h"
#include "life/start.h"
#include "process/library.h"
#include "unwind/step.h"
#include "unwind/unwind.h"

#define PROMISED 4096
#define PATTERN 0x5aa5c33c6996f00full
enum { LEVELS = 200, WINDOW = 64 << 10 };

struct use {
    size_t size; /* of the object */
    size_t bytes;
    bool forget;
};

static volatile int after;

/* Fill the stack below with a pattern, take a sample, and see how far down it was overwritten. */
static __attribute__((noinline)) void measure(struct use *use)
{
    char *here = __builtin_frame_address(0);
    volatile uint64_t *low = (volatile uint64_t *)(((uintptr_t)here - WINDOW) & ~7ul);
    const size_t words = (WINDOW - 512) / 8; /* not over our own frame */
    void *object = malloc(use->size);
    for (size_t i = 0; i < words; i++)
        low[i] = PATTERN;
    if (use->forget)
        hp_step_forget();
    hp_record(object, use->size, __builtin_frame_address(0));
    size_t untouched = 0;
    while (untouched < words && low[untouched] == PATTERN)
        untouched++;
    use->bytes = (size_t)(here - (char *)(low + untouched));
    hp_forget(object);
    free(object);
}

static __attribute__((noinline)) void descend(unsigned levels, struct use *use)
{
    if (levels)
        descend(levels - 1, use);
    else
        measure(use);
    after++;
}

static void *run(void *state)
{
    hp_sampler_due(&hp_thread, 1, 512 << 10);
    descend(LEVELS, state);
    return NULL;
}

static void takes_no_more_than_promised(void **state)
{
    size_t worst = 0;
    assert_true(hp_library_start());
    assert_int_equal(hp_library.region.store.ledger->depth, 128);
    for (unsigned round = 0; round < 40; round++) {
        struct use use = {.size = 1 + round * 1000, .forget = round % 2};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, run, &use), 0);
        pthread_join(thread, NULL);
        if (use.bytes > worst)
            worst = use.bytes;
    }
    assert_int_equal(hp_library.region.store.ledger->audit.samples, 40);
    assert_int_equal(hp_library.region.store.ledger->audit.lost, 0);
    assert_true(hp_library.region.store.ledger->audit.truncated == 40); /* they were as deep as stacks are kept */
    print_message("the cold path took %zu bytes of stack at the most\n", worst);
    assert_in_range(worst, 1024, PROMISED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(takes_no_more_than_promised)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
