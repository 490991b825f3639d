/* The ledger's tables by one thread, and by many; the sums must come out exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "ledger/chain.h"
#include "ledger_help.h"

#define BUDGET (64ull << 20)

/* What is handed out lies apart from everything else, and in one chunk if it fits into one. */
static void hands_out_parts_apart(void **state)
{
    struct hp_store store = make_store(BUDGET, 128, 1);
    static const uint64_t sizes[] = {1, 64, 100, 4096, 60000, 300000, HP_CHUNK, HP_CHUNK + 1, 3 * HP_CHUNK};
    uint64_t limit = store.ledger->buckets[0].at + store.ledger->buckets[0].count * sizeof(hp_offset), random = 1;
    assert_true(store.ledger->buckets[0].at >= sizeof(struct hp_ledger));
    assert_true(store.ledger->end >= limit);
    limit = store.ledger->end;
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t size = sizes[test_random(&random) % 9], at = hp_ledger_take(&store, size);
        if (!at)
            break;
        assert_true(at >= limit && at % 64 == 0 && at + size <= store.ledger->size);
        assert_true(size > HP_CHUNK || at / HP_CHUNK == (at + size - 1) / HP_CHUNK);
        limit = at + size;
    }
    assert_true(limit > store.ledger->size - 5 * HP_CHUNK);
    free_store(&store);
    for (uint64_t budget = 1 << 20; budget <= HP_BUDGET_MOST; budget *= 2) {
        assert_true(hp_ledger_size(budget) >= 2 * budget && hp_ledger_size(budget) % HP_CHUNK == 0);
        assert_true(hp_ledger_size(budget) / HP_BLOCK <= HP_BLOCKS);
        assert_true(hp_ledger_size(budget) / 16 <= (uint64_t)UINT32_MAX + 1); /* hp_offset reaches all of it */
    }
}

static void keeps_stacks_once(void **state)
{
    struct hp_store store = make_store(BUDGET, 128, 4096);
    uint64_t frames[HP_DEPTH_MAX];
    for (unsigned i = 0; i < HP_DEPTH_MAX; i++)
        frames[i] = 1ull << HP_FRAME_MODULE_SHIFT | (i * 16 + 5);
    hp_offset offsets[HP_DEPTH_MAX + 1];
    bool truncated = false;
    for (size_t depth = 0; depth <= HP_DEPTH_MAX; depth++) {
        const struct hp_key key = make_key(&store, frames, depth, 3);
        assert_int_equal(hp_row_find(&store, &key), 0);
        assert_int_not_equal(offsets[depth] = count_object(&store, &key, 10, 1), 0);
    }
    for (size_t depth = 0; depth <= HP_DEPTH_MAX; depth++) {
        const struct hp_key key = make_key(&store, frames, depth, 3);
        const struct hp_ledger_row *row = hp_row_at(&store, offsets[depth]);
        assert_int_equal(count_object(&store, &key, 5, 1), offsets[depth]);
        assert_int_equal(hp_row_find(&store, &key), offsets[depth]);
        assert_int_equal(row->depth, depth);
        assert_memory_equal(row->frames, frames, depth * sizeof frames[0]);
        assert_int_equal(hp_row_counted(row->alloc).objects, 2);
        assert_int_equal(row->alloc.bytes, 15);
        /* A second maker of the same stack gets the first one's. */
        assert_int_equal(hp_row_add(&store, &key, true, 1, NULL, &truncated), offsets[depth]);
        assert_true(depth <= hp_slot_depth(row->slot_class));
    }
    assert_false(truncated);
    assert_int_equal(store.ledger->row_count, HP_DEPTH_MAX + 1);
    /* Equal hashes do not make equal stacks. */
    struct hp_key one = make_key(&store, frames, 9, 3), other;
    const uint64_t others[9] = {1};
    other = one;
    other.frames = others;
    assert_int_not_equal(count_object(&store, &one, 1, 1), count_object(&store, &other, 1, 1));
    free_store(&store);
}

static void keeps_rows_apart(void **state)
{
    struct hp_store store = make_store(BUDGET, 128, 4096);
    const uint64_t frames[] = {1, 2};
    enum { COUNT = 2 * 3 * 3 * 2 * 2 };
    hp_offset all[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        struct hp_key key = make_key(&store, frames, 1 + i % 2, (uint16_t)(i / 2 % 3 * 1000));
        key.interval = 1ull << i / 6 % 3 * 20;
        key.folded = i / 18 % 2;
        key.label = i / 36;
        key.hash = hp_key_hash(&key);
        assert_int_not_equal(all[i] = count_object(&store, &key, 1, 1), 0);
        assert_int_equal(all[i], count_object(&store, &key, 1, 1));
        /* By what it is, not by the hash alone. */
        key.hash = 77;
        all[i] = count_object(&store, &key, 1, 1);
        assert_int_equal(all[i], count_object(&store, &key, 1, 1));
        for (unsigned j = 0; j < i; j++)
            assert_true(all[i] != all[j]);
    }
    assert_int_equal(store.ledger->row_count, 2 * COUNT);
    free_store(&store);
}

static void grows_levels_of_chains(void **state)
{
    struct hp_store store = make_store(BUDGET, 128, 1);
    enum { COUNT = 150000 };
    hp_offset *offsets = malloc(COUNT * sizeof *offsets);
    for (uint64_t i = 0; i < COUNT; i++) {
        const struct hp_key key = make_key(&store, &i, 1, 0);
        assert_int_not_equal(offsets[i] = count_object(&store, &key, 1, 1), 0);
    }
    assert_true(store.ledger->buckets[1].at && store.ledger->buckets[2].at && !store.ledger->buckets[3].at);
    for (uint64_t i = 0; i < COUNT; i++) {
        const struct hp_key key = make_key(&store, &i, 1, 0);
        assert_int_equal(hp_row_find(&store, &key), offsets[i]);
    }
    assert_int_equal(store.ledger->row_count, COUNT);
    assert_int_equal(sum_ledger(&store).rows, COUNT);
    free(offsets);
    free_store(&store);
}

static void classes_sizes_finely(void **state)
{
    uint16_t before = hp_size_class(0);
    assert_int_equal(before, 0);
    uint64_t first = 0;
    for (uint64_t size = 1; size < 1 << 20; size++) {
        uint16_t class = hp_size_class(size);
        assert_true(class == before || class > before);
        if (class != before)
            first = size;
        assert_true((size - first) * 16 <= first);
        before = class;
    }
    for (unsigned bit = 21; bit < 64; bit++) {
        uint16_t below = hp_size_class((1ull << bit) - 1), at = hp_size_class(1ull << bit);
        assert_true(below < at);
    }
    assert_true(hp_size_class(UINT64_MAX) == 63 * 16 + 15);
}

static void adds_pairs(void **state)
{
    struct hp_tally pair = {0, UINT64_MAX - 10};
    hp_tally_add(&pair, 1, 10);
    assert_int_equal(pair.objects, 1);
    assert_int_equal(pair.bytes, UINT64_MAX);
    hp_tally_add(&pair, 2, 1);
    struct hp_tally read = hp_tally_read(&pair);
    assert_int_equal(read.objects, 3);
    assert_int_equal(read.bytes, 0); /* wraps, and does not run over into the objects */
}

static void takes_drops_and_restores(void **state)
{
    struct hp_store store = make_store(BUDGET, 128, 1);
    const struct hp_live_data data = {.size = 100, .row = 7, .time_ms = 5, .thread = 3};
    struct hp_live_ref ref, second;
    assert_false(hp_live_take(&store, 0x1000, &ref));
    assert_true(hp_live_insert(&store, 0x1000, &data));
    assert_false(hp_live_take(&store, 0x2000, &ref));
    assert_true(hp_live_take(&store, 0x1000, &ref));
    assert_memory_equal(ref.data, &data, sizeof data);
    assert_false(hp_live_take(&store, 0x1000, &second)); /* out of sight */
    assert_int_equal(sum_live(&store).objects, 0);
    hp_live_restore(&ref);
    assert_int_equal(sum_live(&store).bytes, 100);
    assert_true(hp_live_take(&store, 0x1000, &ref));
    hp_live_drop(&ref);
    assert_false(hp_live_take(&store, 0x1000, &ref));
    assert_int_equal(sum_live(&store).objects, 0);
    free_store(&store);
}

/* Many more objects than the first level has slots; then all of them away, and again: nothing may be left behind. */
static void overflows_to_later_groups_and_levels(void **state)
{
    enum { COUNT = 200000 };
    struct hp_store store = make_store(BUDGET, 128, 1);
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t i = 1; i <= COUNT; i++) {
            const struct hp_live_data data = {.size = i};
            assert_true(hp_live_insert(&store, i * 1024 + round * 16, &data));
        }
        assert_true(store.ledger->live[2].at);
        assert_int_equal(sum_live(&store).objects, COUNT);
        assert_int_equal(sum_live(&store).bytes, (uint64_t)COUNT * (COUNT + 1) / 2);
        for (uint64_t i = COUNT; i >= 1; i--) {
            struct hp_live_ref ref;
            uint64_t k = i * 77777 % (COUNT + 1); /* in another order; coprime, and 0 for no i */
            assert_true(hp_live_take(&store, k * 1024 + round * 16, &ref));
            assert_int_equal(ref.data->size, k);
            hp_live_drop(&ref);
        }
        assert_int_equal(sum_live(&store).objects, 0);
    }
    for (unsigned level = 0; level < HP_LIVE_LEVELS && store.ledger->live[level].at; level++) {
        const struct hp_live_level *live = &store.ledger->live[level];
        const struct hp_live_group *groups = hp_store_at(&store, live->at);
        for (uint64_t i = 0; i < live->groups; i++)
            assert_int_equal(groups[i].overflow, 0);
    }
    free_store(&store);
}

static void says_no_when_memory_is_out(void **state)
{
    struct hp_store store = make_store(1 << 20, 128, 1);
    uint64_t objects = 0, rows = 0, refused = 0;
    struct hp_key key = {0};
    static uint64_t frames[64];
    for (uint64_t i = 0; i < 100000; i++) {
        frames[0] = i;
        const struct hp_key next = make_key(&store, frames, 1 + i % 64, 0);
        bool there = add_object(&store, &next, (i + 1) * 4096, 10);
        rows += there;
        if (there)
            key = next;
        else /* where there is no new row there may be room for an object of an old one */
            there = key.frames && add_object(&store, &key, (i + 1) * 4096, 10);
        objects += there;
        refused += !there;
    }
    assert_true(rows > 100 && rows < 100000);
    assert_true(objects > 100 && refused > 0);
    assert_true(store.ledger->reserved <= 1 << 20);
    assert_int_equal(sum_live(&store).objects, objects);
    const struct ledger_sums sums = sum_ledger(&store);
    assert_int_equal(sums.alloc.objects - sums.freed.objects, objects);
    assert_int_equal(sums.alloc.bytes - sums.freed.bytes, objects * 10);
    assert_int_equal(hp_ledger_allocate(&store, 1 << 20), 0);
    /* What is there can still be found, and goes. */
    uint64_t found = 0;
    for (uint64_t i = 0; i < 100000; i++)
        found += remove_object(&store, (i + 1) * 4096);
    assert_int_equal(found, objects);
    /* Then there is room again. */
    frames[0] = 1 << 30;
    key = make_key(&store, frames, 64, 0);
    assert_true(add_object(&store, &key, 4096, 10));
    free_store(&store);
}

/* Who is refused memory again and again does not use up the file's offsets. */
static void refusals_use_up_nothing(void **state)
{
    struct hp_store store = make_store(1 << 20, 128, 1);
    while (hp_ledger_allocate(&store, 1000))
        ;
    uint64_t end = store.ledger->end;
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(hp_ledger_allocate(&store, 1000), 0);
    assert_true(store.ledger->end < end + HP_BLOCK);
    free_store(&store);
}

static unsigned reserve_calls;

static int refuse(const struct hp_ledger *ledger, void *memory, uint64_t size)
{
    assert_int_equal(((char *)memory - (const char *)ledger) % HP_BLOCK, 0);
    assert_int_equal(size, HP_BLOCK);
    return ++reserve_calls > 3 ? -ENOSPC : 0;
}

static void touches_nothing_unreserved(void **state)
{
    struct hp_store store = make_store(BUDGET, 128, 1);
    const struct hp_live_data data = {.size = 1};
    const uint64_t before = store.ledger->reserved;
    store.ways.reserve = refuse;
    for (uint64_t i = 1; i < 1000; i++) {
        const struct hp_key key = make_key(&store, &i, 1, 0);
        count_object(&store, &key, 1, 1);
        hp_live_insert(&store, i * 4096, &data);
    }
    assert_int_equal(store.ledger->reserved, before + 3 * HP_BLOCK);
    unsigned touched = 0;
    for (uint64_t at = hp_ledger_header_bytes(); at < store.ledger->size; at += 4096) {
        unsigned char resident = 0;
        mincore((char *)store.ledger + at, 4096, &resident);
        touched += resident & 1;
        assert_true(!(resident & 1) || hp_ledger_is_reserved(store.ledger, at));
    }
    assert_true(touched > 0);
    free_store(&store);
}

static char *mapped[HP_CHUNKS];
static uint64_t map_calls, chunks_there;

static int map_next(uint64_t chunk)
{
    map_calls++;
    if (chunk >= HP_CHUNKS || chunks_there == 24)
        return -ENOMEM;
    mapped[chunk] = mmap(NULL, HP_CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    chunks_there++;
    return 0;
}

/* Chunks that lie anywhere, and of which there are only so many: what is not mapped is not touched, and nothing that
 * fits into a chunk lies across two. */
static void lives_in_chunks(void **state)
{
    struct hp_store store = {.chunks = mapped, .ways = {.map = map_next}};
    assert_int_equal(map_next(0), 0);
    store.ledger = (struct hp_ledger *)mapped[0];
    assert_true(hp_ledger_init(&store, BUDGET, 128, 1));
    uint64_t objects = 0, refused = 0;
    for (uint64_t i = 1; i <= 100000; i++) {
        uint64_t frames[40] = {i / 4, 2, 3};
        const struct hp_key key = make_key(&store, frames, 1 + i % 40, 0);
        bool there = add_object(&store, &key, i * 64, i);
        objects += there;
        refused += !there;
    }
    assert_int_equal(chunks_there, 24);
    assert_true(refused && objects > 3000);
    assert_int_equal(sum_live(&store).objects, objects);
    for (uint64_t i = 1; i <= 100000; i++)
        objects -= remove_object(&store, i * 64);
    assert_int_equal(objects, 0);
    const struct ledger_sums sums = sum_ledger(&store);
    assert_memory_equal(&sums.alloc, &sums.freed, sizeof sums.alloc);
    for (uint64_t i = 0; i < HP_CHUNKS; i++)
        if (mapped[i])
            munmap(mapped[i], HP_CHUNK);
}

static uint32_t gone_from, gone_calls; /* threads below this number are gone */

static bool is_gone(uint32_t tid)
{
    gone_calls++;
    return tid < gone_from;
}

static void numbers_threads(void **state)
{
    struct hp_store store = make_store(BUDGET, 128, 1);
    store.ways.is_gone = is_gone;
    assert_null(hp_thread_of(&store, 0));
    assert_null(hp_thread_of(&store, HP_THREADS + 1));
    for (uint32_t i = 1; i <= HP_THREADS; i++)
        assert_int_equal(hp_thread_number(&store, 1000000 + i), i);
    for (uint32_t i = 1; i <= HP_THREADS; i++)
        assert_int_equal(hp_thread_of(&store, i)->tid, 1000000 + i);
    assert_int_equal(gone_calls, 0);
    /* Nobody is gone: there is none left. */
    assert_int_equal(hp_thread_number(&store, 7), 0);
    assert_true(gone_calls > 0 && gone_calls <= 64);
    /* The first hundred are gone, and of every second one something is live. */
    gone_from = 1000101;
    for (uint32_t i = 1; i <= 100; i += 2)
        hp_thread_of(&store, i)->live = 1;
    bool given[101] = {false};
    unsigned count = 0;
    for (unsigned i = 0; i < 3 * HP_THREADS / 64 + 200; i++) {
        uint32_t number = hp_thread_number(&store, 2000000 + i);
        if (!number)
            continue;
        assert_true(number <= 100 && number % 2 == 0 && !given[number]);
        assert_int_equal(hp_thread_of(&store, number)->tid, 2000000 + i);
        given[number] = true;
        count++;
    }
    assert_int_equal(count, 50);
    /* What was live goes: the number may go on. */
    hp_thread_of(&store, 31)->live = 0;
    uint32_t number = 0;
    for (unsigned i = 0; !number && i < HP_THREADS / 64 + 1; i++)
        number = hp_thread_number(&store, 3000000);
    assert_int_equal(number, 31);
    free_store(&store);
}

static void threads_without_memory_have_no_number(void **state)
{
    struct hp_store store = make_store(1 << 20, 128, 1);
    while (hp_ledger_allocate(&store, 64))
        ;
    assert_int_equal(hp_thread_number(&store, 5), 0);
    free_store(&store);
}

enum { THREADS = 8, ROUNDS = 40000, OWN = 64 };

struct hammer {
    const struct hp_store *store;
    unsigned number;
    uint64_t made, made_bytes, gone, gone_bytes, kept, kept_bytes;
};

static void pause_by_chance(uint64_t *random)
{
    uint64_t chance = test_random(random) & 1023;
    if (chance == 0)
        usleep(1);
    else if (chance < 16)
        sched_yield();
}

/* Stacks are shared by all threads, addresses are each thread's own but fall into the same groups. */
static void *hammer(void *state)
{
    struct hammer *h = state;
    uint64_t random = h->number + 1, live[OWN] = {0}, sizes[OWN];
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned slot = test_random(&random) % OWN;
        pause_by_chance(&random);
        if (live[slot]) {
            if (!remove_object(h->store, live[slot]))
                return NULL;
            h->gone++;
            h->gone_bytes += sizes[slot];
            live[slot] = 0;
            continue;
        }
        uint64_t frames[] = {test_random(&random) % 300, 1, 2};
        uint64_t size = 1 + test_random(&random) % 10000;
        const struct hp_key key = make_key(h->store, frames, 3, hp_size_class(size) / 16);
        uint64_t address = ((uint64_t)slot * 4096 + round) * THREADS * 16 + h->number * 16 + (1 << 20);
        if (!add_object_by(h->store, &key, address, size, h->number + 1))
            return NULL;
        live[slot] = address;
        sizes[slot] = size;
        h->made++;
        h->made_bytes += size;
    }
    for (unsigned slot = 0; slot < OWN; slot++) {
        h->kept += live[slot] != 0;
        h->kept_bytes += live[slot] ? sizes[slot] : 0;
    }
    return h;
}

static void sums_of_many_threads_are_exact(void **state)
{
    struct hp_store store = make_store(BUDGET, 128, 1);
    struct hammer hammers[THREADS];
    pthread_t threads[THREADS];
    struct hp_tally made = {0, 0}, gone = {0, 0}, kept = {0, 0};
    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){.store = &store, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        sum_live(&store); /* a reader among them */
        sched_yield();
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_non_null(result);
        made.objects += hammers[i].made, made.bytes += hammers[i].made_bytes;
        gone.objects += hammers[i].gone, gone.bytes += hammers[i].gone_bytes;
        kept.objects += hammers[i].kept, kept.bytes += hammers[i].kept_bytes;
    }
    struct ledger_sums sums = sum_ledger(&store);
    struct hp_tally live = sum_live(&store);
    assert_true(sums.rows >= 300 && sums.fold_rows == 0);
    assert_int_equal(store.ledger->row_count, sums.rows);
    assert_memory_equal(&sums.alloc, &made, sizeof made);
    assert_memory_equal(&sums.freed, &gone, sizeof gone);
    assert_memory_equal(&live, &kept, sizeof kept);
    free_store(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_out_parts_apart),
        cmocka_unit_test(keeps_stacks_once),
        cmocka_unit_test(keeps_rows_apart),
        cmocka_unit_test(grows_levels_of_chains),
        cmocka_unit_test(classes_sizes_finely),
        cmocka_unit_test(adds_pairs),
        cmocka_unit_test(takes_drops_and_restores),
        cmocka_unit_test(overflows_to_later_groups_and_levels),
        cmocka_unit_test(says_no_when_memory_is_out),
        cmocka_unit_test(refusals_use_up_nothing),
        cmocka_unit_test(touches_nothing_unreserved),
        cmocka_unit_test(lives_in_chunks),
        cmocka_unit_test(numbers_threads),
        cmocka_unit_test(threads_without_memory_have_no_number),
        cmocka_unit_test(sums_of_many_threads_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
