/* Folding: rows whose objects are all gone make room, and nothing that was ever counted gets lost; whoever reads,
 * takes over or is killed in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/chain.h"
#include "ledger/ledger_view.h"
#include "ledger_help.h"

#define BUDGET (16ull << 20)

static void assert_totals(const struct hp_store *store, const struct ledger_sums *before)
{
    struct ledger_sums now = sum_ledger(store);
    assert_memory_equal(&now.alloc, &before->alloc, sizeof now.alloc);
    assert_memory_equal(&now.freed, &before->freed, sizeof now.freed);
    assert_int_equal(store->ledger->row_count, now.rows);
    assert_int_equal(store->ledger->fold.rows, now.fold_rows_of_frames);
}

/* Once around all chains, with `looks` at a time. */
static void go_around(const struct hp_store *store, unsigned looks)
{
    uint64_t all = 0;
    for (unsigned level = 0; level < HP_BUCKET_LEVELS; level++)
        all += store->ledger->buckets[level].at ? store->ledger->buckets[level].count : 0;
    const uint64_t end = store->ledger->fold.hand + all;
    while (store->ledger->fold.hand < end)
        assert_true(hp_fold(store, looks, 1, __builtin_frame_address(0)));
}

enum { ROWS = 5000 };

static void frames_of(uint64_t i, uint64_t frames[64])
{
    for (uint64_t k = 0; k < 64; k++)
        frames[k] = k ? i * 100 + k : i % 50;
}

static struct hp_key nth_key(const struct hp_store *store, uint64_t i, uint64_t frames[64])
{
    frames_of(i, frames);
    struct hp_key key = make_key(store, frames, 2 + i % 41, (uint16_t)(i % 7));
    key.interval = i % 3 ? 4096 : 65536;
    key.hash = hp_key_hash(&key);
    return key;
}

static void keeps_totals_and_what_is_live(void **state)
{
    struct hp_store store = make_store(BUDGET, 128, 4096);
    static hp_offset offsets[ROWS];
    uint64_t frames[64];
    for (uint64_t i = 0; i < ROWS; i++) {
        const struct hp_key key = nth_key(&store, i, frames);
        for (uint64_t k = 0; k <= i % 4; k++)
            assert_true(add_object(&store, &key, (4 * i + k + 1) * 64, i + k));
        offsets[i] = hp_row_find(&store, &key);
        for (uint64_t k = 0; k <= i % 4; k++) /* of every tenth something stays */
            if (k || i % 10)
                assert_true(remove_object(&store, (4 * i + k + 1) * 64));
    }
    const struct ledger_sums before = sum_ledger(&store);
    const struct hp_tally live = sum_live(&store);
    go_around(&store, 1); /* all are hot; it may look at the first chain again */
    assert_true(store.ledger->audit.folded < 8);
    assert_totals(&store, &before);
    /* What is hit again is hot again. */
    struct hp_tally again = {0, 0};
    for (uint64_t i = 1; i < ROWS; i += 100) {
        const struct hp_key key = nth_key(&store, i, frames);
        assert_true(add_object(&store, &key, 1ull << 40, 5));
        assert_true(remove_object(&store, 1ull << 40));
        again = (struct hp_tally){again.objects + 1, again.bytes + 5};
    }
    struct ledger_sums then = before;
    then.alloc = (struct hp_tally){before.alloc.objects + again.objects, before.alloc.bytes + again.bytes};
    then.freed = (struct hp_tally){before.freed.objects + again.objects, before.freed.bytes + again.bytes};
    const uint64_t end = store.ledger->fold.hand + store.ledger->buckets[0].count;
    for (uint64_t folded = 0; store.ledger->fold.hand < end; folded = store.ledger->audit.folded) {
        assert_true(hp_fold(&store, 1, 1, __builtin_frame_address(0)));
        if (store.ledger->audit.folded / 200 != folded / 200)
            assert_totals(&store, &then);
    }
    assert_totals(&store, &then);
    assert_true(store.ledger->audit.folded >= ROWS - ROWS / 10 - ROWS / 100);
    for (uint64_t i = 0; i < ROWS; i++) {
        const struct hp_key key = nth_key(&store, i, frames);
        assert_int_equal(hp_row_find(&store, &key), i % 10 == 0 || i % 100 == 1 ? offsets[i] : 0);
    }
    go_around(&store, 1000);
    assert_totals(&store, &then);
    const struct hp_tally live_now = sum_live(&store);
    assert_memory_equal(&live, &live_now, sizeof live);
    for (uint64_t i = 0; i < ROWS; i += 10)
        assert_true(remove_object(&store, (4 * i + 1) * 64));
    go_around(&store, 1000);
    then.freed = then.alloc;
    assert_totals(&store, &then);
    assert_int_equal(sum_ledger(&store).rows, sum_ledger(&store).fold_rows);
    free_store(&store);
}

/* One for each innermost frame, class and interval; and one for stacks without frames. */
static void folds_by_frame_class_and_interval(void **state)
{
    struct hp_store store = make_store(BUDGET, 128, 4096);
    struct hp_tally sums[3][2][2] = {0}, empty = {0, 0};
    for (uint64_t i = 0; i < 1200; i++) {
        const uint64_t frames[] = {1ull << 48 | i % 3, i, 7};
        struct hp_key key = make_key(&store, frames, i % 100 == 99 ? 0 : 1 + i / 600 * 2, (uint16_t)(i / 3 % 2));
        key.interval = i / 6 % 2 ? 4096 : 1;
        key.hash = hp_key_hash(&key);
        struct hp_tally *sum = key.depth ? &sums[i % 3][i / 3 % 2][i / 6 % 2] : &empty;
        assert_true(add_object(&store, &key, 4096, i) && remove_object(&store, 4096));
        *sum = (struct hp_tally){sum->objects + 1, sum->bytes + i};
    }
    const struct ledger_sums before = sum_ledger(&store);
    go_around(&store, 64);
    go_around(&store, 64);
    assert_totals(&store, &before);
    assert_int_equal(sum_ledger(&store).fold_rows_of_frames, 12);
    for (unsigned i = 0; i < 12; i++) {
        const uint64_t frame = 1ull << 48 | i % 3;
        struct hp_key key = make_key(&store, &frame, 1, (uint16_t)(i / 3 % 2));
        key.interval = i / 6 ? 4096 : 1;
        key.folded = true;
        key.hash = hp_key_hash(&key);
        const hp_offset at = hp_row_find(&store, &key);
        assert_int_not_equal(at, 0);
        const struct hp_ledger_row *row = hp_row_at(&store, at);
        const struct hp_tally alloc = hp_row_counted(row->alloc);
        assert_memory_equal(&alloc, &sums[i % 3][i / 3 % 2][i / 6], sizeof alloc);
        assert_memory_equal(&row->freed, &alloc, sizeof alloc);
    }
    assert_true(sum_ledger(&store).rows <= 12 + 4);
    free_store(&store);
}

/* Fold rows have a share of memory; beyond it they go into those of no frame, which take nothing of it. */
static void folds_fold_rows_too(void **state)
{
    struct hp_store store = make_store(1 << 20, 128, 4096);
    const uint64_t share = (1 << 20) / 16 / (sizeof(struct hp_ledger_row) + 4 * sizeof(uint64_t));
    for (uint64_t i = 0; i < 20000; i++) {
        const uint64_t frames[] = {i, 7};
        const struct hp_key key = make_key(&store, frames, 2, (uint16_t)(i % 600));
        assert_true(add_object(&store, &key, 4096, i + 1) && remove_object(&store, 4096));
    }
    struct ledger_sums before = sum_ledger(&store);
    assert_int_equal(before.alloc.objects, 20000);
    assert_int_equal(before.alloc.bytes, 20000ull * 20001 / 2);
    for (unsigned i = 0; i < 4; i++) {
        go_around(&store, 64);
        assert_totals(&store, &before);
    }
    const struct ledger_sums after = sum_ledger(&store);
    print_message("%lu fold rows of a frame, of %lu, and %lu of none\n", (unsigned long)after.fold_rows_of_frames,
                  (unsigned long)share, (unsigned long)(after.fold_rows - after.fold_rows_of_frames));
    assert_int_equal(after.rows, after.fold_rows);
    assert_true(after.fold_rows_of_frames > share / 2 && after.fold_rows_of_frames <= share);
    assert_true(after.fold_rows - after.fold_rows_of_frames <= 600);
    free_store(&store);
}

static uint64_t fill_rows(const struct hp_store *store, unsigned depth, uint64_t count, uint64_t base)
{
    uint64_t frames[HP_DEPTH_MAX] = {0}, taken = 0;
    for (uint64_t i = 0; i < count; i++) {
        frames[0] = i % 10;
        frames[depth - 1] = base + i;
        const struct hp_key key = make_key(store, frames, depth, 0);
        taken += add_object(store, &key, (base + i + 1) * 64, 1);
    }
    return taken;
}

static void empty_rows(const struct hp_store *store, uint64_t count, uint64_t base)
{
    for (uint64_t i = 0; i < count; i++)
        remove_object(store, (base + i + 1) * 64);
}

static void reuses_slots_by_class(void **state)
{
    struct hp_store store = make_store(4 << 20, 512, 4096);
    const unsigned depths[] = {64, 4, 500, 64, 9};
    enum { EACH = 300 };
    uint64_t most = 0;
    for (unsigned round = 0; round < 5; round++) {
        const uint64_t base = (round + 1) * 10000000ull;
        const uint64_t taken = fill_rows(&store, depths[round], EACH, base);
        assert_int_equal(taken, EACH);
        struct hp_ledger_row *row;
        uint64_t frames[HP_DEPTH_MAX] = {3};
        frames[depths[round] - 1] = base + 3;
        const struct hp_key key = make_key(&store, frames, depths[round], 0);
        const hp_offset at = hp_row_find(&store, &key);
        assert_int_not_equal(at, 0);
        row = hp_row_at(&store, at);
        assert_true(hp_slot_depth(row->slot_class) >= depths[round]);
        empty_rows(&store, EACH, base);
        most = store.ledger->row_bytes > most ? store.ledger->row_bytes : most;
    }
    assert_true(most <= (2 << 20) + (4 << 20) / 16);
    /* The same again and again: nothing new is taken. */
    for (unsigned round = 0; round < 200; round++) {
        assert_int_equal(fill_rows(&store, 64, EACH, (round + 10) * 10000000ull), EACH);
        empty_rows(&store, EACH, (round + 10) * 10000000ull);
    }
    assert_true(store.ledger->row_bytes <= (2 << 20) + (4 << 20) / 16);
    assert_int_equal(sum_ledger(&store).alloc.objects, 205 * EACH);
    free_store(&store);
}

/* When there is no way to have a slot for all frames, the innermost ones are kept, and found again. */
static void truncates_where_slots_are_too_small(void **state)
{
    struct hp_store store = make_store(1 << 20, 128, 4096);
    const uint64_t taken = fill_rows(&store, 4, 100000, 0);
    assert_true(taken > 1000 && taken < 100000);
    empty_rows(&store, taken, 0);
    uint64_t frames[100];
    for (unsigned i = 0; i < 100; i++)
        frames[i] = 1000 + i;
    const struct hp_key key = make_key(&store, frames, 100, 0);
    bool truncated = false;
    const hp_offset at = hp_row_count(&store, &key, 10, 1, __builtin_frame_address(0), &truncated);
    assert_int_not_equal(at, 0);
    assert_true(truncated);
    const struct hp_ledger_row *row = hp_row_at(&store, at);
    assert_int_equal(row->depth, 4);
    assert_memory_equal(row->frames, frames, 4 * sizeof frames[0]);
    assert_int_equal(hp_row_count(&store, &key, 10, 1, __builtin_frame_address(0), &truncated), at);
    assert_true(truncated);
    assert_int_equal(hp_row_counted(row->alloc).objects, 2);
    free_store(&store);
}

/* No sample is lost to stacks that are gone, from the first time that memory gets short. */
static void a_flood_of_stacks_loses_nothing(void **state)
{
    for (uint64_t budget = 1 << 20; budget <= 16 << 20; budget *= 4) {
        struct hp_store store = make_store(budget, 128, 4096);
        enum { COUNT = 300000, KEPT = 100 };
        uint64_t frames[32] = {0}, random = budget;
        for (uint64_t i = 0; i < COUNT; i++) {
            frames[0] = test_random(&random) % 200;
            frames[1] = i;
            const struct hp_key key = make_key(&store, frames, 2 + test_random(&random) % 31, (uint16_t)(i % 20));
            if (i >= KEPT)
                assert_true(remove_object(&store, (i % KEPT + 1) * 64));
            if (!add_object(&store, &key, (i % KEPT + 1) * 64, 1 + i % 100))
                fail_msg("%lu MiB: lost number %lu", (unsigned long)budget >> 20, (unsigned long)i);
        }
        const struct ledger_sums sums = sum_ledger(&store);
        assert_int_equal(sums.alloc.objects, COUNT);
        assert_int_equal(sums.freed.objects, COUNT - KEPT);
        assert_true(store.ledger->reserved <= budget);
        free_store(&store);
    }
}

/* Memory that live objects took to the last byte: when they go, stacks that are gone with them make room again. */
static void recovers_from_full_memory(void **state)
{
    struct hp_store store = make_store(1 << 20, 128, 4096);
    uint64_t count = 0;
    assert_int_equal(fill_rows(&store, 20, 500, 0), 500);
    const uint64_t frames[] = {1};
    const struct hp_key key = make_key(&store, frames, 1, 0);
    while (add_object(&store, &key, (1ull << 40) + count * 64, 1))
        count++;
    while (hp_ledger_allocate(&store, 64))
        ;
    empty_rows(&store, 500, 0);
    for (uint64_t i = 0; i < count; i++)
        assert_true(remove_object(&store, (1ull << 40) + i * 64));
    const uint64_t taken = fill_rows(&store, 20, 1000, 5000000);
    print_message("%lu objects before, %lu of 1000 stacks after\n", (unsigned long)count, (unsigned long)taken);
    assert_true(taken >= 100);
    empty_rows(&store, 1000, 5000000);
    assert_int_equal(fill_rows(&store, 20, 100, 6000000), 100);
    const struct ledger_sums sums = sum_ledger(&store);
    assert_int_equal(sums.alloc.objects - sums.freed.objects, 100);
    free_store(&store);
}

/* All rows live: what is refused must be refused at once. */
static void gives_up_soon_where_all_is_live(void **state)
{
    struct hp_store store = make_store(1 << 20, 128, 4096);
    const uint64_t taken = fill_rows(&store, 4, 20000, 0);
    const uint64_t hand = store.ledger->fold.hand;
    assert_true(taken > 1000 && taken < 20000);
    assert_int_equal(fill_rows(&store, 4, 1000, 1 << 30), 0);
    assert_true(store.ledger->fold.hand - hand < 1000 * 100); /* chains */
    empty_rows(&store, taken, 0);                             /* and it notices that it is not so any more */
    assert_true(fill_rows(&store, 4, 1000, 1 << 29) > 500);
    free_store(&store);
}

/* What a reader sees. */
struct seen {
    struct hp_tally alloc, live;
    uint64_t rows;
    bool torn; /* an entry whose bytes can't be of so many objects */
};

enum { SIZE = 4321 };

static struct seen read_as_others_do(const struct hp_store *store)
{
    struct seen seen = {.torn = false};
    struct hp_ledger_view view;
    assert_int_equal(hp_ledger_view_open(&view, store->ledger, store->chunks, store->ledger->size), 0);
    struct hp_entry_row *rows = NULL;
    for (uint64_t most = hp_ledger_view_row_count(&view); !rows || seen.rows == most; most *= 2) {
        rows = realloc(rows, most * sizeof *rows);
        assert_non_null(rows);
        seen.rows = hp_rows_collect(&view, rows, most);
    }
    for (uint64_t i = 0; i < seen.rows; i++) {
        const struct hp_counts *drawn = &rows[i].drawn;
        seen.alloc.objects += drawn->alloc_objects, seen.alloc.bytes += drawn->alloc_bytes;
        seen.live.objects += drawn->live_objects, seen.live.bytes += drawn->live_bytes;
        seen.torn |=
            drawn->live_bytes != drawn->live_objects * SIZE || drawn->alloc_bytes != drawn->alloc_objects * SIZE;
    }
    free(rows);
    return seen;
}

/* A ledger in which one fold is at a chosen point: a dead row of 5 objects, and the fold row, which has 7. */
struct half_done {
    struct hp_store store;
    struct hp_key key, fold_key;
    uint64_t frames[3];
    hp_offset row, fold_row;
};

enum point { FROZEN, ADDING, ADDING_ALLOC, ADDING_BOTH, ADDED, ADDED_UNLINKED, UNLINKED, POINTS };

static void make_half_done(struct half_done *half, enum point point)
{
    half->store = make_store(BUDGET, 128, 1);
    struct hp_store *store = &half->store;
    half->frames[0] = 10, half->frames[1] = 20, half->frames[2] = 30;
    half->key = make_key(store, half->frames, 3, 0);
    half->fold_key = make_key(store, half->frames, 1, 0);
    half->fold_key.folded = true;
    half->fold_key.hash = hp_key_hash(&half->fold_key);
    for (unsigned i = 0; i < 5; i++)
        half->row = count_object(store, &half->key, SIZE, 1);
    for (unsigned i = 0; i < 7; i++)
        half->fold_row = count_object(store, &half->fold_key, SIZE, 1);
    store->ledger->fold.rows = 1;
    /* Others, of which some are live. */
    for (uint64_t i = 1; i <= 20; i++) {
        const struct hp_key other = make_key(store, &i, 1, 0);
        assert_true(add_object(store, &other, i * 64, SIZE));
    }
    struct hp_ledger_row *row = hp_row_at(store, half->row), *to = hp_row_at(store, half->fold_row);
    hp_tally_add(&row->freed, 5, 5 * SIZE);
    hp_tally_add(&to->freed, 7, 7 * SIZE);
    struct hp_folding *fold = &store->ledger->fold;
    fold->count = 1;
    fold->lock = 4711ull << 32 | 0x1000;
    fold->since_ms = 1;
    row->alloc.objects |= HP_ROW_DEAD;
    if (point == FROZEN)
        return;
    fold->journal = (struct hp_journal){.row = half->row,
                                        .fold_row = half->fold_row,
                                        .before_alloc = {7, 7 * SIZE},
                                        .before_freed = {7, 7 * SIZE},
                                        .state = point >= ADDED ? HP_JOURNAL_ADDED : HP_JOURNAL_ADDING};
    if (point >= ADDING_ALLOC) {
        to->alloc.objects += 5;
        to->alloc.bytes += 5 * SIZE;
    }
    if (point >= ADDING_BOTH)
        to->freed = (struct hp_tally){12, 12 * SIZE};
    if (point >= ADDED_UNLINKED) {
        for (uint64_t i = 0; i < store->ledger->buckets[0].count; i++) {
            hp_offset *at = (hp_offset *)hp_store_at(store, store->ledger->buckets[0].at) + i;
            while (*at && *at != half->row)
                at = &hp_row_at(store, *at)->next;
            if (*at)
                *at = row->next;
        }
        store->ledger->row_count--;
    }
    if (point == UNLINKED)
        fold->journal.state = HP_JOURNAL_NONE;
}

static void assert_seen(const struct hp_store *store)
{
    const struct seen seen = read_as_others_do(store);
    assert_int_equal(seen.alloc.objects, 32);
    assert_int_equal(seen.live.objects, 20);
    assert_false(seen.torn);
    struct hp_ledger_view view;
    assert_int_equal(hp_ledger_view_open(&view, store->ledger, store->chunks, store->ledger->size), 0);
    const struct hp_ledger_estimate estimate = hp_ledger_view_estimate(&view);
    assert_true(estimate.alloc == 32 * SIZE && estimate.live == 20 * SIZE);
}

static void readers_see_each_object_once(void **state)
{
    for (enum point point = 0; point < POINTS; point++) {
        struct half_done half;
        make_half_done(&half, point);
        assert_seen(&half.store);
        free_store(&half.store);
    }
}

static uint32_t clock_ms;
static bool holder_is_gone;

static uint32_t tell_clock(const struct hp_ledger *ledger)
{
    return clock_ms;
}

static bool tell_gone(uint32_t tid)
{
    assert_int_equal(tid, 4711);
    return holder_is_gone;
}

static const void *place(uint64_t sixteens)
{
    return (const void *)(uintptr_t)(sixteens * 16);
}

static void others_take_over_where_the_holder_is_gone(void **state)
{
    struct way {
        uint32_t tid, place, clock_ms;
        bool gone, takes_over;
    };
    static const struct way ways[] = {
        {4711, 0x1001, 2, false, true},                                      /* the same thread, above its frame */
        {4711, 0x1000, 2, false, false},                                     /* in it, or below */
        {4711, 0x0fff, 2, false, false},    {4712, 0x2000, 2, false, false}, /* another thread, wherever it is */
        {4712, 0x2000, 900, true, false},                                    /* it is asked only after a while */
        {4712, 0x2000, 1100, true, true},   {4712, 0x2000, 50000, false, false},
        {4712, 0x2000, 70000, false, true}, /* long gone */
    };
    for (enum point point = 0; point < POINTS; point++) {
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            struct half_done half;
            make_half_done(&half, point);
            struct hp_store *store = &half.store;
            struct hp_folding *fold = &store->ledger->fold;
            store->ways.now_ms = tell_clock;
            store->ways.is_gone = tell_gone;
            clock_ms = ways[i].clock_ms;
            holder_is_gone = ways[i].gone;
            fold->hand = 0;
            const struct hp_journal before = fold->journal;
            assert_int_equal(hp_fold(store, 0, ways[i].tid, place(ways[i].place)), ways[i].takes_over);
            assert_seen(store);
            if (!ways[i].takes_over) {
                assert_true(fold->lock == (4711ull << 32 | 0x1000) && fold->count == 1);
                assert_memory_equal(&fold->journal, &before, sizeof before);
            } else {
                assert_true(fold->lock == 0 && fold->count % 2 == 0);
                assert_int_equal(fold->journal.state, HP_JOURNAL_NONE);
                assert_int_equal(hp_row_find(store, &half.key), 0);
                assert_int_equal(hp_row_find(store, &half.fold_key), half.fold_row);
                assert_int_equal(hp_row_at(store, half.fold_row)->freed.objects, point == FROZEN ? 7 : 12);
                /* The stack may come back, and everything goes on. */
                half.row = count_object(store, &half.key, SIZE, 1);
                assert_int_not_equal(half.row, 0);
                hp_tally_add(&hp_row_at(store, half.row)->freed, 1, SIZE);
                go_around(store, 64);
                go_around(store, 64);
                assert_int_equal(read_as_others_do(store).alloc.objects, 33);
            }
            free_store(store);
        }
    }
}

enum { THREADS = 8, OWN = 40 };

/* What one thread has begun and done. */
struct progress {
    uint64_t allocs_begun, allocs_done, frees_begun, frees_done, lost;
} __attribute__((aligned(64)));

struct worker {
    const struct hp_store *store;
    struct progress *progress;
    uint64_t number, rounds; /* 0: for ever */
    bool paced;              /* some 100,000 samples a second */
};

static void count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_SEQ_CST);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct progress *progress = worker->progress;
    const struct hp_store *store = worker->store;
    uint64_t random = worker->number + 1, frames[24] = {0};
    bool live[OWN] = {false};
    for (uint64_t round = 0; !worker->rounds || round < worker->rounds; round++) {
        const uint64_t slot = test_random(&random) % OWN, address = (slot * THREADS + worker->number + 1) * 64;
        if (!(test_random(&random) & 511))
            sched_yield();
        if (worker->paced && !(round & 15))
            usleep(1000);
        if (live[slot]) {
            count(&progress->frees_begun);
            if (!remove_object(store, address))
                abort();
            count(&progress->frees_done);
        }
        frames[0] = test_random(&random) % 30;
        /* Half of the stacks are among a few, the others ever new. */
        frames[1] = test_random(&random) & 1 ? round << 8 | worker->number : test_random(&random) % 100;
        const struct hp_key key = make_key(store, frames, 2 + frames[1] % 23, (uint16_t)(frames[1] % 3));
        count(&progress->allocs_begun);
        live[slot] = add_object_by(store, &key, address, SIZE, (uint32_t)worker->number + 1);
        count(live[slot] ? &progress->allocs_done : &progress->lost);
    }
    return NULL;
}

static struct progress sum_progress(const struct progress *progress)
{
    struct progress sum = {0};
    for (unsigned i = 0; i < THREADS; i++) {
        sum.allocs_begun += progress[i].allocs_begun, sum.allocs_done += progress[i].allocs_done;
        sum.frees_begun += progress[i].frees_begun, sum.frees_done += progress[i].frees_done;
        sum.lost += progress[i].lost;
    }
    return sum;
}

/* A thread that finds nothing but another one that folds, and that has lost its processor, loses its sample; so at a
 * million new stacks a second some are lost, and counted. At what a target may do in an extreme case, none. */
static void threads_count_exactly_in_little_memory(void **state)
{
    static const struct way {
        uint64_t budget, rounds;
        bool paced;
    } ways[] = {{1 << 20, 100000, false}, {4 << 20, 100000, false}, {16 << 20, 100000, false}, {16 << 20, 20000, true}};
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        const uint64_t budget = ways[k].budget;
        struct hp_store store = make_store(budget, 128, 1);
        struct progress progress[THREADS] = {{0}};
        struct worker workers[THREADS];
        pthread_t threads[THREADS];
        for (unsigned i = 0; i < THREADS; i++) {
            workers[i] = (struct worker){.store = &store,
                                         .progress = &progress[i],
                                         .number = i,
                                         .rounds = ways[k].rounds,
                                         .paced = ways[k].paced};
            assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        const struct progress done = sum_progress(progress);
        const struct ledger_sums sums = sum_ledger(&store);
        print_message("%lu MiB%s: %lu objects, %lu lost, %lu rows folded, %lu there\n", (unsigned long)budget >> 20,
                      ways[k].paced ? ", paced" : "", (unsigned long)done.allocs_done, (unsigned long)done.lost,
                      (unsigned long)store.ledger->audit.folded, (unsigned long)sums.rows);
        assert_int_equal(sums.alloc.objects, done.allocs_done);
        assert_int_equal(sums.alloc.bytes, done.allocs_done * SIZE);
        assert_int_equal(sums.freed.objects, done.frees_done);
        assert_int_equal(sums.freed.bytes, done.frees_done * SIZE);
        assert_int_equal(sum_live(&store).objects, done.allocs_done - done.frees_done);
        assert_true(store.ledger->audit.folded > 1000);
        if (ways[k].paced)
            assert_int_equal(done.lost, 0);
        free_store(&store);
    }
}

/* A process that is killed at any moment while it folds: off by no more than the samples that were under way. */
static void a_kill_leaves_what_was_done(void **state)
{
    enum { KILLS = 400 };
    struct progress *progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t random = 5, states[3] = {0}, odd = 0, folded = 0, lost = 0, all = 0;
    assert_true(progress != MAP_FAILED && sizeof *progress * THREADS <= 4096);
    for (unsigned kill_number = 0; kill_number < KILLS; kill_number++) {
        struct hp_store store = make_store_in(1 << 20, 128, 1, MAP_SHARED);
        memset(progress, 0, 4096);
        pid_t child = fork();
        if (child == 0) {
            static struct worker workers[THREADS];
            for (unsigned i = 0; i < THREADS; i++) {
                pthread_t thread;
                workers[i] = (struct worker){.store = &store, .progress = &progress[i], .number = i};
                pthread_create(&thread, NULL, work, &workers[i]);
            }
            pause();
        }
        usleep(4000 + (unsigned)(test_random(&random) % 12000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        const struct progress done = sum_progress(progress);
        const struct seen seen = read_as_others_do(&store);
        states[store.ledger->fold.journal.state]++;
        odd += store.ledger->fold.count % 2;
        folded += store.ledger->audit.folded;
        lost += done.lost;
        all += done.allocs_begun;
        assert_false(seen.torn);
        assert_in_range(seen.alloc.objects, done.allocs_done, done.allocs_begun - done.lost);
        assert_in_range(seen.live.objects, done.allocs_done - done.frees_begun,
                        done.allocs_begun - done.lost - done.frees_done);
        free_store(&store);
    }
    print_message("%u kills: %lu in a fold, %lu adding, %lu added; %lu rows folded, %lu of %lu samples lost\n", KILLS,
                  (unsigned long)odd, (unsigned long)states[1], (unsigned long)states[2], (unsigned long)folded,
                  (unsigned long)lost, (unsigned long)all);
    assert_true(odd > 0 && folded > KILLS);
    munmap(progress, 4096);
}

/* A reader while rows are folded: what lives is there, each time, and no free slot counts. */
static void readers_see_what_lives_while_rows_are_folded(void **state)
{
    struct hp_store store = make_store(4 << 20, 128, 1);
    struct progress progress[THREADS] = {{0}};
    struct worker workers[2];
    pthread_t threads[2];
    enum { KEPT = 1000 };
    for (uint64_t i = 0; i < KEPT; i++) {
        const uint64_t frames[] = {i, 99};
        const struct hp_key key = make_key(&store, frames, 2, 9);
        assert_true(add_object(&store, &key, (1ull << 40) + i * 64, SIZE));
    }
    for (unsigned i = 0; i < 2; i++) {
        workers[i] = (struct worker){.store = &store, .progress = &progress[i], .number = i, .rounds = 400000};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    unsigned passes = 0, off = 0;
    double worst = 0;
    for (; __atomic_load_n(&progress[0].allocs_begun, __ATOMIC_RELAXED) < 400000 &&
           __atomic_load_n(&progress[1].allocs_begun, __ATOMIC_RELAXED) < 400000;
         passes++) {
        const struct progress before = sum_progress(progress);
        const struct seen seen = read_as_others_do(&store);
        const struct progress after = sum_progress(progress);
        /* What came and went meanwhile may be seen, or not. */
        assert_in_range(seen.live.objects, KEPT, KEPT + 2 * OWN + after.allocs_begun - before.allocs_done);
        assert_false(seen.torn);
        /* What was ever allocated may be off by what was folded in between. */
        const double allocated = (double)seen.alloc.objects, least = (double)(KEPT + before.allocs_done),
                     most = (double)(KEPT + after.allocs_begun), size = most - least + 2;
        const double error = allocated < least ? least - allocated : allocated > most ? allocated - most : 0;
        off += error > 0;
        worst = error / size > worst ? error / size : worst;
        assert_true(error <= 50 * size);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    print_message("%u passes, %u off, by %.2f of what was allocated meanwhile at the most\n", passes, off, worst);
    assert_true(passes > 3);
    free_store(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_totals_and_what_is_live),
        cmocka_unit_test(folds_by_frame_class_and_interval),
        cmocka_unit_test(folds_fold_rows_too),
        cmocka_unit_test(reuses_slots_by_class),
        cmocka_unit_test(truncates_where_slots_are_too_small),
        cmocka_unit_test(a_flood_of_stacks_loses_nothing),
        cmocka_unit_test(recovers_from_full_memory),
        cmocka_unit_test(gives_up_soon_where_all_is_live),
        cmocka_unit_test(readers_see_each_object_once),
        cmocka_unit_test(others_take_over_where_the_holder_is_gone),
        cmocka_unit_test(threads_count_exactly_in_little_memory),
        cmocka_unit_test(a_kill_leaves_what_was_done),
        cmocka_unit_test(readers_see_what_lives_while_rows_are_folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
