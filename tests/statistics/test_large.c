/* A ledger of the largest size that is meant: what it takes in memory, how long a profile and a look-up take, and that
 * nothing is lost. In the long form 16 million live samples of a million stacks; else a sixteenth of that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../unit/ledger/ledger_help.h"
#include "ledger/inherit.h"
#include "ledger/snapshot.h"

enum { THREADS = 5000, MODULES = 300, LOOKUPS = 1000000, DEEPEST = 40 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void add_modules(const struct hp_store *store)
{
    for (uint32_t i = 0; i < MODULES; i++) {
        uint64_t *page = &store->ledger->modules_at[i / HP_MODULE_PAGE];
        char path[40];
        if (!*page)
            *page = hp_ledger_allocate(store, HP_MODULE_PAGE * sizeof(struct hp_ledger_module));
        struct hp_ledger_module *module = (struct hp_ledger_module *)hp_store_at(store, *page) + i % HP_MODULE_PAGE;
        const uint64_t base = 0x7f0000000000 + i * 0x1000000ull;
        *module = (struct hp_ledger_module){.state = HP_MODULE_LOADED,
                                            .base = base,
                                            .start = base,
                                            .limit = base + 0x800000,
                                            .path_at = hp_ledger_allocate(store, sizeof path),
                                            .segment_count = 1,
                                            .segments = {{.address = 0, .size = 0x800000}}};
        snprintf(path, sizeof path, "/usr/lib/libmodule%u.so", i);
        memcpy(hp_store_at(store, module->path_at), path, sizeof path);
        store->ledger->module_count = i + 1;
    }
}

static struct hp_key nth_key(const struct hp_store *store, uint64_t i, uint64_t frames[DEEPEST])
{
    uint64_t random = i, depth = 5 + test_random(&random) % (DEEPEST - 4);
    for (uint64_t k = 0; k < depth; k++)
        frames[k] = (1 + test_random(&random) % MODULES) << HP_FRAME_MODULE_SHIFT | (test_random(&random) & 0x7fffff);
    return make_key(store, frames, depth, (uint16_t)(80 + i % 3));
}

static uint64_t address_of(uint64_t i)
{
    return ((i * 0x9e3779b97f4a7c15ull & 0x3ffffffff) | 1ull << 36) << 4; /* each another: the factor is odd */
}

static int count_bytes(void *state, const void *data, size_t size)
{
    *(uint64_t *)state += size;
    return 0;
}

static void write_profile(const struct hp_store *store, uint64_t rows)
{
    static char buffer[HP_TEXT_BUFFER];
    const struct hp_moment moment = {.sequence = 1};
    struct hp_ledger_view view;
    struct hp_text text;
    uint64_t bytes = 0;
    assert_int_equal(hp_ledger_view_open(&view, store->ledger, NULL, store->ledger->size), 0);
    const uint64_t size = hp_snapshot_scratch_size(&view);
    void *scratch = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(scratch != MAP_FAILED);
    double start = now();
    hp_text_init(&text, count_bytes, &bytes, buffer);
    assert_int_equal(hp_snapshot_write(&view, &moment, &text, scratch, size), 0);
    print_message("a profile of %lu MiB in %.2f s, with %lu MiB of scratch memory\n", (unsigned long)bytes >> 20,
                  now() - start, (unsigned long)size >> 20);
    start = now();
    const struct hp_ledger_estimate estimate = hp_ledger_view_estimate(&view);
    print_message("an estimate in %.3f s: %.1f GiB\n", now() - start, estimate.live / (1 << 30));
    assert_true(bytes > rows * 40);
    munmap(scratch, size);
}

static void holds_what_a_large_target_has(void **state)
{
    const char *factor = getenv("LONG");
    const uint64_t part = factor && atoi(factor) > 1 ? 1 : 16;
    const uint64_t objects = (16u << 20) / part, stacks = (1u << 20) / part;
    struct hp_store store = make_store(HP_BUDGET_MOST, 128, 524288);
    uint64_t frames[DEEPEST], found = 0;
    add_modules(&store);
    for (uint32_t i = 1; i <= THREADS; i++)
        assert_int_equal(hp_thread_number(&store, 1000 + i), i);
    double start = now();
    for (uint64_t i = 0; i < objects; i++) {
        const struct hp_key key = nth_key(&store, i % stacks, frames);
        const struct hp_live_data data = {
            .size = 1000, .row = count_object(&store, &key, 1000, 1), .thread = (uint32_t)(i % THREADS) + 1};
        assert_true(data.row && hp_live_insert(&store, address_of(i), &data));
    }
    print_message("%lu live samples of %lu stacks: %lu MiB, %.0f bytes each; %.2f us to add one\n",
                  (unsigned long)objects, (unsigned long)stacks, (unsigned long)store.ledger->reserved >> 20,
                  (double)store.ledger->reserved / (double)objects, (now() - start) * 1e6 / (double)objects);
    assert_int_equal(store.ledger->row_count, stacks);
    assert_int_equal(sum_live(&store).objects, objects);
    start = now();
    for (uint64_t i = 0; i < LOOKUPS; i++) {
        struct hp_live_ref ref;
        const bool there = hp_live_take(&store, address_of(i * 7919 % objects), &ref);
        found += there;
        if (there)
            hp_live_restore(&ref);
    }
    print_message("%.3f us to find one\n", (now() - start) * 1e6 / LOOKUPS);
    assert_int_equal(found, LOOKUPS);
    start = now();
    for (uint64_t i = 0; i < LOOKUPS; i++) {
        struct hp_live_ref ref;
        assert_false(hp_live_take(&store, 8 + address_of(i), &ref));
    }
    print_message("%.3f us to find that one is not there\n", (now() - start) * 1e6 / LOOKUPS);
    write_profile(&store, stacks);
    start = now();
    struct hp_heritage *heritage = hp_heritage_copy(&store);
    assert_non_null(heritage);
    print_message("copied for a child in %.2f s\n", now() - start);
    hp_heritage_free(heritage);
    free_store(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(holds_what_a_large_target_has)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
