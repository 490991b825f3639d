/* The ledger's tables under ThreadSanitizer: threads that insert, take, restore, drop, add and fold, with readers
 * among them. Exit status 66 (ThreadSanitizer's own): a data race; 1: sums that do not agree. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "ledger/inherit.h"
#include "ledger/ledger_view.h"
#include "ledger_help.h"

enum { THREADS = 8, ROUNDS = 20000, OWN = 32, REPEATS = 6 };

static struct hp_store store;
static bool is_short; /* of memory: ever new stacks are folded, and a sample may be lost */

static void pause_at_random(uint64_t *random)
{
    unsigned choice = test_random(random) % 64;
    if (choice < 3)
        sched_yield();
    for (volatile unsigned spin = 0; choice < 8 && spin < 50 * choice;)
        spin = spin + 1;
}

static void *write_much(void *state)
{
    uint64_t number = (uint64_t)(uintptr_t)state, random = number * 77 + 1, live[OWN] = {0};
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned slot = test_random(&random) % OWN;
        struct hp_live_ref ref;
        pause_at_random(&random);
        if (live[slot] && !(test_random(&random) & 3)) {
            if (!hp_live_take(&store, live[slot], &ref))
                return (void *)1;
            hp_live_restore(&ref);
        } else if (live[slot]) {
            if (!remove_object(&store, live[slot]))
                return (void *)1;
            live[slot] = 0;
        } else {
            const uint64_t frames[40] = {test_random(&random) % 40, is_short ? round << 8 | number : round / 100};
            const struct hp_key key = make_key(&store, frames, is_short ? 2 + round % 39 : 2, (uint16_t)(slot & 3));
            live[slot] = ((test_random(&random) & 0xff) * THREADS * OWN + slot * THREADS + number) * 4096 + 4096;
            if (!add_object_by(&store, &key, live[slot], 1 + slot, (uint32_t)number + 1)) {
                if (!is_short)
                    return (void *)1;
                live[slot] = 0;
            }
        }
    }
    for (unsigned slot = 0; slot < OWN; slot++)
        if (live[slot] && !remove_object(&store, live[slot]))
            return (void *)1;
    return NULL;
}

static void *read_much(void *state)
{
    struct hp_tally sum = {0, 0};
    struct hp_ledger_view view;
    if (hp_ledger_view_open(&view, store.ledger, NULL, store.ledger->size))
        return (void *)1;
    for (unsigned round = 0; round < 40; round++) {
        struct hp_tally now = sum_live(&store);
        sum.objects += now.objects;
        const uint64_t most = hp_ledger_view_row_count(&view);
        struct hp_entry_row *rows = malloc(most * sizeof *rows);
        uint64_t frames[HP_DEPTH_MAX];
        for (uint64_t i = 0, count = hp_rows_collect(&view, rows, most); i < count; i++)
            hp_ledger_view_frames(&view, rows[i].row, rows[i].life, frames);
        free(rows);
        hp_ledger_view_estimate(&view);
        hp_heritage_free(hp_heritage_copy(&store));
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
        is_short = repeat % 2;
        store = make_store(is_short ? 1 << 20 : 64 << 20, 128, 1);
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
        bad |= is_short && store.ledger->audit.folded < 1000;
        printf("%lu objects in %lu rows, %lu folded\n", (unsigned long)sums.alloc.objects, (unsigned long)sums.rows,
               (unsigned long)store.ledger->audit.folded);
        free_store(&store);
    }
    return bad;
}
