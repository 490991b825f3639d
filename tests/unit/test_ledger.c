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

#include "ledger_help.h"

#define BUDGET (64ull << 20)

static void lays_parts_out_apart(void **state)
{
    for (uint64_t budget = 1 << 20; budget <= 1 << 30; budget += budget / 3) {
        const struct hp_layout layout = hp_ledger_layout(budget);
        uint64_t at = (uint64_t)hp_ledger_header_blocks() * HP_BLOCK;
        assert_int_equal(layout.modules_at, at);
        at += HP_MODULES * sizeof(struct hp_ledger_module);
        for (unsigned i = 0; i < HP_BUCKET_LEVELS; i++) {
            assert_true(layout.buckets[i].at >= at && layout.buckets[i].at % HP_BLOCK == 0);
            at = layout.buckets[i].at + layout.buckets[i].count * sizeof(hp_offset);
        }
        assert_true(layout.live[0].groups);
        for (unsigned i = 0; i < HP_LIVE_LEVELS && layout.live[i].groups; i++) {
            assert_true(layout.live[i].groups_at >= at);
            at = layout.live[i].groups_at + layout.live[i].groups * sizeof(struct hp_live_group);
            assert_true(layout.live[i].data_at >= at);
            at = layout.live[i].data_at + layout.live[i].groups * HP_LIVE_SLOTS * sizeof(struct hp_live_data);
        }
        assert_true(layout.arena_at >= at);
        assert_true(layout.arena_limit - layout.arena_at >= budget);
        assert_true(layout.size >= layout.arena_limit);
        assert_true(layout.size / HP_BLOCK <= HP_BLOCK_MAX);
        assert_true(layout.size / 16 <= UINT32_MAX); /* hp_offset reaches all of it */
    }
}

static void keeps_stacks_once(void **state)
{
    struct hp_ledger *ledger = make_ledger(BUDGET, 128);
    uint64_t frames[HP_DEPTH_MAX];
    for (unsigned i = 0; i < HP_DEPTH_MAX; i++)
        frames[i] = 1ull << HP_FRAME_MODULE_SHIFT | (i * 16 + 5);
    hp_offset offsets[HP_DEPTH_MAX + 1];
    for (size_t depth = 0; depth <= HP_DEPTH_MAX; depth++) {
        assert_int_equal(hp_ledger_find_stack(ledger, frames, depth, hp_hash_frames(frames, depth)), 0);
        assert_int_not_equal(offsets[depth] = add_stack(ledger, frames, depth), 0);
    }
    for (size_t depth = 0; depth <= HP_DEPTH_MAX; depth++) {
        const struct hp_stack *stack = hp_ledger_at(ledger, offsets[depth]);
        assert_int_equal(add_stack(ledger, frames, depth), offsets[depth]);
        assert_int_equal(stack->record.depth, depth);
        assert_memory_equal(stack->frames, frames, depth * sizeof frames[0]);
        /* A second maker of the same stack gets the first one's. */
        assert_int_equal(hp_ledger_add_stack(ledger, frames, depth, hp_hash_frames(frames, depth)), offsets[depth]);
    }
    assert_int_equal(ledger->stack_count, HP_DEPTH_MAX + 1);
    /* Equal hashes do not make equal stacks. */
    frames[0]++;
    hp_offset other = hp_ledger_add_stack(ledger, frames, 9, hp_hash_frames(frames, 7));
    frames[0]--;
    assert_int_not_equal(other, hp_ledger_add_stack(ledger, frames, 9, hp_hash_frames(frames, 7)));
    free_ledger(ledger);
}

static void keeps_entries_apart(void **state)
{
    struct hp_ledger *ledger = make_ledger(BUDGET, 128);
    const uint64_t frames[] = {1, 2};
    hp_offset stacks[] = {add_stack(ledger, frames, 1), add_stack(ledger, frames, 2)}, all[2][3][3];
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < 3; j++)
            for (unsigned k = 0; k < 3; k++)
                all[i][j][k] = hp_ledger_entry(ledger, stacks[i], (uint16_t)(j * 1000), (uint16_t)k);
    for (unsigned i = 0; i < 18; i++)
        for (unsigned j = 0; j < 18; j++)
            assert_true((i == j) == ((&all[0][0][0])[i] == (&all[0][0][0])[j]));
    assert_int_equal(all[1][2][1], hp_ledger_entry(ledger, stacks[1], 2000, 1));
    assert_int_equal(ledger->entry_count, 18);
    const struct hp_entry *entry = hp_ledger_at(ledger, all[1][2][1]);
    assert_int_equal(entry->stack, stacks[1]);
    assert_int_equal(entry->size_class, 2000);
    assert_int_equal(entry->epoch, 1);
    free_ledger(ledger);
}

static void grows_a_second_level_of_buckets(void **state)
{
    struct hp_ledger *ledger = make_ledger(BUDGET, 128);
    enum { COUNT = 100000 };
    hp_offset *offsets = malloc(COUNT * sizeof *offsets);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_not_equal(offsets[i] = add_stack(ledger, &i, 1), 0);
    assert_int_equal(ledger->bucket_levels, HP_BUCKET_LEVELS);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(add_stack(ledger, &i, 1), offsets[i]);
    assert_int_equal(ledger->stack_count, COUNT);
    assert_int_equal(sum_ledger(ledger).stacks, COUNT);
    free(offsets);
    free_ledger(ledger);
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
    struct hp_pair pair = {0, UINT64_MAX - 10};
    hp_pair_add(&pair, 1, 10);
    assert_int_equal(pair.objects, 1);
    assert_int_equal(pair.bytes, UINT64_MAX);
    hp_pair_add(&pair, 2, 1);
    struct hp_pair read = hp_pair_read(&pair);
    assert_int_equal(read.objects, 3);
    assert_int_equal(read.bytes, 0); /* wraps, and does not run over into the objects */
}

static void takes_drops_and_restores(void **state)
{
    struct hp_ledger *ledger = make_ledger(BUDGET, 128);
    const struct hp_live_data data = {.size = 100, .entry = 7, .time_ms = 5, .thread = 3};
    struct hp_live_ref ref, second;
    assert_false(hp_live_take(ledger, 0x1000, &ref));
    assert_true(hp_live_insert(ledger, 0x1000, &data));
    assert_false(hp_live_take(ledger, 0x2000, &ref));
    assert_true(hp_live_take(ledger, 0x1000, &ref));
    assert_memory_equal(ref.data, &data, sizeof data);
    assert_false(hp_live_take(ledger, 0x1000, &second)); /* out of sight */
    assert_int_equal(sum_live(ledger).objects, 0);
    hp_live_restore(&ref);
    assert_int_equal(sum_live(ledger).bytes, 100);
    assert_true(hp_live_take(ledger, 0x1000, &ref));
    hp_live_drop(&ref);
    assert_false(hp_live_take(ledger, 0x1000, &ref));
    assert_int_equal(sum_live(ledger).objects, 0);
    free_ledger(ledger);
}

/* Many more objects than the first level has slots; then all of them away, and again: nothing may be left behind. */
static void overflows_to_later_groups_and_levels(void **state)
{
    enum { COUNT = 200000 };
    struct hp_ledger *ledger = make_ledger(BUDGET, 128);
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t i = 1; i <= COUNT; i++) {
            const struct hp_live_data data = {.size = i};
            assert_true(hp_live_insert(ledger, i * 1024 + round * 16, &data));
        }
        assert_true(ledger->live_levels >= 3);
        assert_int_equal(sum_live(ledger).objects, COUNT);
        assert_int_equal(sum_live(ledger).bytes, (uint64_t)COUNT * (COUNT + 1) / 2);
        for (uint64_t i = COUNT; i >= 1; i--) {
            struct hp_live_ref ref;
            uint64_t k = i * 77777 % (COUNT + 1); /* in another order; coprime, and 0 for no i */
            assert_true(hp_live_take(ledger, k * 1024 + round * 16, &ref));
            assert_int_equal(ref.data->size, k);
            hp_live_drop(&ref);
        }
        assert_int_equal(sum_live(ledger).objects, 0);
    }
    for (unsigned level = 0; level < HP_LIVE_LEVELS; level++) {
        const struct hp_live_level *live = &ledger->layout.live[level];
        const struct hp_live_group *groups = (const struct hp_live_group *)((char *)ledger + live->groups_at);
        for (uint64_t i = 0; i < live->groups; i++)
            assert_int_equal(groups[i].overflow, 0);
    }
    free_ledger(ledger);
}

static void says_no_when_memory_is_out(void **state)
{
    struct hp_ledger *ledger = make_ledger(1 << 20, 128);
    uint64_t objects = 0, stacks = 0, refused = 0;
    hp_offset entry = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t frames[64] = {i};
        hp_offset stack = add_stack(ledger, frames, 1 + i % 64);
        hp_offset made = stack ? hp_ledger_entry(ledger, stack, 1, 0) : 0;
        stacks += stack != 0;
        entry = made ? made : entry;
        bool there = add_object(ledger, entry, (i + 1) * 4096, 10);
        objects += there;
        refused += !there;
    }
    assert_true(stacks > 100 && stacks < 100000);
    assert_true(objects > 100 && refused > 0);
    assert_true(ledger->reserved <= 1 << 20);
    assert_int_equal(sum_live(ledger).objects, objects);
    assert_int_equal(sum_ledger(ledger).alloc.objects, objects);
    assert_int_equal(hp_ledger_allocate(ledger, 1 << 20), 0);
    /* What is there can still be found, and goes. */
    uint64_t found = 0;
    for (uint64_t i = 0; i < 100000; i++)
        found += remove_object(ledger, (i + 1) * 4096);
    assert_int_equal(found, objects);
    free_ledger(ledger);
}

static unsigned reserve_calls;

static int refuse(struct hp_ledger *ledger, uint64_t offset, uint64_t size)
{
    assert_int_equal(offset % HP_BLOCK, 0);
    return ++reserve_calls > 3 ? -ENOSPC : 0;
}

static void touches_nothing_unreserved(void **state)
{
    struct hp_ledger *ledger = make_ledger(BUDGET, 128);
    const struct hp_live_data data = {.size = 1};
    uint64_t frames[] = {1};
    hp_ledger_set_reserve(refuse);
    for (uint64_t i = 1; i < 1000; i++) {
        frames[0] = i;
        hp_offset stack = add_stack(ledger, frames, 1);
        if (stack)
            hp_ledger_entry(ledger, stack, 1, 1);
        hp_live_insert(ledger, i * 4096, &data);
    }
    hp_ledger_set_reserve(NULL);
    assert_int_equal(ledger->reserved, 3 * HP_BLOCK);
    unsigned touched = 0;
    for (uint64_t at = (uint64_t)hp_ledger_header_blocks() * HP_BLOCK; at < ledger->layout.size; at += 4096) {
        unsigned char resident = 0;
        mincore((char *)ledger + at, 4096, &resident);
        touched += resident & 1;
        assert_true(!(resident & 1) || hp_ledger_is_reserved(ledger, at));
    }
    assert_true(touched > 0);
    free_ledger(ledger);
}

static void settles_what_a_fork_found_half_done(void **state)
{
    struct hp_ledger *ledger = make_ledger(BUDGET, 128);
    const uint64_t frames[] = {1};
    hp_offset entry_at = hp_ledger_entry(ledger, add_stack(ledger, frames, 1), 3, 0);
    struct hp_entry *entry = hp_ledger_at(ledger, entry_at);
    for (uint64_t i = 1; i <= 10; i++)
        assert_true(add_object(ledger, entry_at, i * 4096, 10));
    struct hp_live_ref ref;
    assert_true(hp_live_take(ledger, 4096, &ref)); /* being freed, not counted yet */
    assert_true(hp_live_take(ledger, 8192, &ref)); /* counted, not gone yet */
    hp_pair_add(&entry->freed, 1, 10);
    const struct hp_live_data data = {.size = 10, .entry = entry_at};
    assert_true(hp_live_insert(ledger, 1 << 20, &data)); /* visible, not counted yet */
    hp_ledger_settle(ledger);
    assert_int_equal(sum_live(ledger).objects, 9);
    assert_int_equal(entry->alloc.objects - entry->freed.objects, 9);
    assert_int_equal(entry->alloc.bytes - entry->freed.bytes, 90);
    /* The half-done ones are gone: their addresses are free for the next. */
    assert_true(add_object(ledger, entry_at, 4096, 10));
    assert_int_equal(sum_live(ledger).objects, 10);
    free_ledger(ledger);
}

enum { THREADS = 8, ROUNDS = 40000, OWN = 64 };

struct hammer {
    struct hp_ledger *ledger;
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
            if (!remove_object(h->ledger, live[slot]))
                return NULL;
            h->gone++;
            h->gone_bytes += sizes[slot];
            live[slot] = 0;
            continue;
        }
        uint64_t frames[] = {test_random(&random) % 300, 1, 2};
        uint64_t size = 1 + test_random(&random) % 10000;
        hp_offset stack = add_stack(h->ledger, frames, 3);
        hp_offset entry = stack ? hp_ledger_entry(h->ledger, stack, hp_size_class(size) / 16, 0) : 0;
        uint64_t address = ((uint64_t)slot * 4096 + round) * THREADS * 16 + h->number * 16 + (1 << 20);
        if (!entry || !add_object(h->ledger, entry, address, size))
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
    struct hp_ledger *ledger = make_ledger(BUDGET, 128);
    struct hammer hammers[THREADS];
    pthread_t threads[THREADS];
    struct hp_pair made = {0, 0}, gone = {0, 0}, kept = {0, 0};
    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){.ledger = ledger, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        sum_live(ledger); /* a reader among them */
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
    struct ledger_sums sums = sum_ledger(ledger);
    struct hp_pair live = sum_live(ledger);
    assert_int_equal(sums.stacks, 300);
    assert_int_equal(ledger->stack_count, sums.stacks);
    assert_int_equal(ledger->entry_count, sums.entries);
    assert_memory_equal(&sums.alloc, &made, sizeof made);
    assert_memory_equal(&sums.freed, &gone, sizeof gone);
    assert_memory_equal(&live, &kept, sizeof kept);
    free_ledger(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lays_parts_out_apart),
        cmocka_unit_test(keeps_stacks_once),
        cmocka_unit_test(keeps_entries_apart),
        cmocka_unit_test(grows_a_second_level_of_buckets),
        cmocka_unit_test(classes_sizes_finely),
        cmocka_unit_test(adds_pairs),
        cmocka_unit_test(takes_drops_and_restores),
        cmocka_unit_test(overflows_to_later_groups_and_levels),
        cmocka_unit_test(says_no_when_memory_is_out),
        cmocka_unit_test(touches_nothing_unreserved),
        cmocka_unit_test(settles_what_a_fork_found_half_done),
        cmocka_unit_test(sums_of_many_threads_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
