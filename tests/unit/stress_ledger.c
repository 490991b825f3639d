/* The ledger's tables under ThreadSanitizer: threads that insert, take, restore, drop and add, with readers among them.
 * Exit status 66 (ThreadSanitizer's own): a data race; 1: sums that do not agree. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "ledger_help.h"

enum { THREADS = 8, ROUNDS = 20000, OWN = 32, REPEATS = 10 };

static struct hp_store store;

static void *write_much(void *state)
{
    uint64_t number = (uint64_t)(uintptr_t)state, random = number * 77 + 1, live[OWN] = {0};
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned slot = test_random(&random) % OWN;
        struct hp_live_ref ref;
        if (!(test_random(&random) & 15))
            sched_yield();
        if (live[slot] && !(test_random(&random) & 3)) {
            if (!hp_live_take(&store, live[slot], &ref))
                return (void *)1;
            hp_live_restore(&ref);
        } else if (live[slot]) {
            if (!remove_object(&store, live[slot]))
                return (void *)1;
            live[slot] = 0;
        } else {
            const uint64_t frames[] = {test_random(&random) % 40, round / 100};
            const struct hp_key key = make_key(&store, frames, 2, (uint16_t)(slot & 3));
            live[slot] = ((test_random(&random) & 0xff) * THREADS * OWN + slot * THREADS + number) * 4096 + 4096;
            if (!add_object_by(&store, &key, live[slot], 1 + slot, (uint32_t)number + 1))
                return (void *)1;
        }
    }
    for (unsigned slot = 0; slot < OWN; slot++)
        if (live[slot] && !remove_object(&store, live[slot]))
            return (void *)1;
    return NULL;
}

static void *read_much(void *state)
{
    struct hp_pair sum = {0, 0};
    for (unsigned round = 0; round < 40; round++) {
        struct hp_pair now = sum_live(&store);
        sum.objects += now.objects;
        sched_yield();
    }
    return sum.objects > 40 * THREADS * OWN ? (void *)1 : NULL;
}

int main(void)
{
    int bad = 0;
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        pthread_t threads[THREADS + 1];
        void *result;
        store = make_store(64 << 20, 128, 1);
        for (uintptr_t i = 0; i <= THREADS; i++)
            if (pthread_create(&threads[i], NULL, i < THREADS ? write_much : read_much, (void *)i))
                return 1;
        for (unsigned i = 0; i <= THREADS; i++) {
            pthread_join(threads[i], &result);
            bad |= result != NULL;
        }
        struct ledger_sums sums = sum_ledger(&store);
        bad |= sums.alloc.objects != sums.freed.objects || sums.alloc.bytes != sums.freed.bytes;
        bad |= sum_live(&store).objects != 0 || sums.rows != store.ledger->row_count;
        printf("%lu objects in %lu rows\n", (unsigned long)sums.alloc.objects, (unsigned long)sums.rows);
        free_store(&store);
    }
    return bad;
}
