/* The cold path under ThreadSanitizer: threads that sample, free, move and look up objects from
 * changing stacks, while others change the interval, unload what the unwinder knows, dump, and read
 * the ledger as another process would. Exit status 66 (ThreadSanitizer's own): a data race; 1:
 * figures that do not agree. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "hooks/cold.h"
#include "kinds/heap/figures.h"
#include "kinds/heap/filter.h"
#include "kinds/heap/sampler.h"
#include "ledger/snapshot.h"
#include "../ledger/ledger_help.h"
#include "life/dump.h"
#include "life/interval.h"
#include "life/start.h"
#include "process/library.h"
#include "unwind/modules.h"
#include "unwind/step.h"
#include "unwind/unwind.h"

enum { THREADS = 6, ROUNDS = 20000, OWN = 64, DISTURBANCES = 2000, DEEPEST = 24 };

static uint64_t recorded, forgotten;
static unsigned working = THREADS;
static pthread_barrier_t begin; /* so that all meet the first of everything at once */

static void pause_at_random(uint64_t *random)
{
    unsigned choice = test_random(random) % 64;
    if (!choice)
        sched_yield();
    for (volatile unsigned spin = 0; choice < 8 && spin < 50 * choice;)
        spin = spin + 1;
}

static __attribute__((noinline)) void sample(void *object, size_t size)
{
    hp_record(object, size, __builtin_frame_address(0));
    hp_count(&recorded, 1u);
}

/* Two ways down, so that there are many stacks. */
static __attribute__((noinline)) void descend(uint64_t way, unsigned levels, void *object, size_t size);
static __attribute__((noinline)) void descend_too(uint64_t way, unsigned levels, void *object, size_t size)
{
    descend(way >> 1, levels, object, size);
    __asm__ volatile("");
}
static void descend(uint64_t way, unsigned levels, void *object, size_t size)
{
    if (!levels)
        sample(object, size);
    else if (way & 1)
        descend_too(way, levels - 1, object, size);
    else
        descend(way >> 1, levels - 1, object, size);
    __asm__ volatile("");
}

/* As the hook of free does. */
static void release(void *object)
{
    if (hp_maybe_sampled(object) && hp_forget(object))
        hp_count(&forgotten, 1u);
    free(object);
}

/* As realloc does: out of sight, then either back, or gone. */
static void move(uint64_t *random, void **object)
{
    struct hp_live_ref ref;
    if (!hp_take(*object, &ref))
        return;
    pause_at_random(random);
    if (test_random(random) & 1) {
        hp_put_back(&ref);
        return;
    }
    hp_forget_taken(&ref);
    hp_count(&forgotten, 1u);
    free(*object);
    *object = NULL;
}

static void *allocate_much(void *state)
{
    uint64_t random = 77 * (uint64_t)(uintptr_t)state + 1;
    void *objects[OWN] = {NULL};
    pthread_barrier_wait(&begin);
    for (unsigned round = 0; round < ROUNDS; round++) {
        void **object = &objects[test_random(&random) % OWN];
        size_t size = 1 + test_random(&random) % 5000;
        pause_at_random(&random);
        if (!*object) {
            *object = malloc(size);
            /* Those that the sampler leaves out are recorded as well: the more the better. */
            if (hp_charge(size) && !hp_due(size))
                hp_thread.due_interval = hp_interval_now(hp_ledger_now());
            descend(test_random(&random), (unsigned)(test_random(&random) % DEEPEST), *object, size);
        } else if (!(test_random(&random) & 7)) {
            move(&random, object);
        } else {
            release(*object);
            *object = NULL;
        }
    }
    for (unsigned i = 0; i < OWN; i++) {
        if (objects[i] && hp_forget(objects[i]))
            hp_count(&forgotten, 1u);
        free(objects[i]);
    }
    __atomic_fetch_sub(&working, 1, __ATOMIC_ACQ_REL);
    return NULL;
}

static int count_bytes(void *state, const void *data, size_t size)
{
    *(uint64_t *)state += size;
    return 0;
}

static void read_as_others_do(void)
{
    static char buffer[HP_TEXT_BUFFER];
    const struct hp_ledger *ledger = hp_ledger_now();
    const struct hp_moment moment = {.time_ns = 1, .clock_ns = 2};
    struct hp_ledger_view view;
    struct hp_text text;
    uint64_t bytes = 0;
    if (hp_ledger_view_open(&view, ledger, hp_library.region.store.chunks, ledger->size))
        abort();
    uint64_t size = hp_snapshot_scratch_size(&view);
    void *scratch = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    hp_text_init(&text, count_bytes, &bytes, buffer);
    if (scratch == MAP_FAILED || hp_snapshot_write(&view, &moment, &text, scratch, size) || !bytes)
        abort();
    hp_ledger_view_estimate(&view);
    munmap(scratch, size);
}

/* As after dlclose. */
static void forget_code(void)
{
    hp_modules_forget();
    hp_step_forget();
}

static void *disturb(void *state)
{
    static const uint64_t intervals[] = {4096, 65536, 524288, 1, 0, 65536};
    uint64_t random = 5;
    unsigned dumps = 0;
    for (unsigned round = 0; round < DISTURBANCES && __atomic_load_n(&working, __ATOMIC_ACQUIRE); round++) {
        unsigned choice = (unsigned)(test_random(&random) % 8);
        if (choice < 2)
            hp_library_set_interval(intervals[test_random(&random) % 6]);
        else if (choice < 4)
            forget_code();
        else if (choice < 6)
            read_as_others_do();
        else if (dumps++ < 10)
            hp_dump("/dev/null");
        pause_at_random(&random);
        sched_yield();
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS + 1];
    if (!hp_library_start())
        return 1;
    if (pthread_barrier_init(&begin, NULL, THREADS))
        return 1;
    for (uintptr_t i = 0; i <= THREADS; i++)
        if (pthread_create(&threads[i], NULL, i < THREADS ? allocate_much : disturb, (void *)i))
            return 1;
    for (unsigned i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
    const struct hp_ledger *ledger = hp_ledger_now();
    struct ledger_sums sums = sum_ledger(&hp_library.region.store);
    printf("%lu objects in %lu rows\n", (unsigned long)sums.alloc.objects, (unsigned long)sums.rows);
    return sums.alloc.objects != recorded - ledger->audit.lost || sums.freed.objects != forgotten ||
           sums.alloc.bytes != sums.freed.bytes || sum_live(&hp_library.region.store).objects != 0 ||
           ledger->live_estimate != 0;
}
