/* What a forked child takes along: exactly what is live, as its first allocations; not what its parent ever recorded.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/inherit.h"
#include "ledger/ledger_view.h"
#include "ledger/region.h"
#include "ledger_help.h"

#define BUDGET (16ull << 20)

static void add_module(const struct hp_store *store, uint32_t index, const char *path)
{
    uint64_t *page = &store->ledger->modules_at[index / HP_MODULE_PAGE];
    if (!*page)
        *page = hp_ledger_allocate(store, HP_MODULE_PAGE * sizeof(struct hp_ledger_module));
    struct hp_ledger_module *module = (struct hp_ledger_module *)hp_store_at(store, *page) + index % HP_MODULE_PAGE;
    *module = (struct hp_ledger_module){
        .base = index * 0x100000, .key = index + 1, .state = index % 2 ? HP_MODULE_LOADED : HP_MODULE_UNLOADED};
    module->path_at = hp_ledger_allocate(store, strlen(path) + 1);
    memcpy(hp_store_at(store, module->path_at), path, strlen(path) + 1);
    store->ledger->module_count = index + 1;
}

enum { STACKS = 2000, EACH = 5, MODULES = 150 };

/* Of each stack EACH objects of which the first i % EACH are live, of its two intervals and several classes. */
static struct hp_key nth_key(const struct hp_store *store, uint64_t i, uint64_t frames[HP_DEPTH_MAX])
{
    for (uint64_t k = 0; k < HP_DEPTH_MAX; k++)
        frames[k] = (k + 1) << HP_FRAME_MODULE_SHIFT | (i * 7 + k);
    struct hp_key key = make_key(store, frames, i % 130, (uint16_t)(i % 6));
    key.interval = i % 3 ? 524288 : 1;
    key.hash = hp_key_hash(&key);
    return key;
}

static uint64_t nth_address(uint64_t i, uint64_t k)
{
    return (i * EACH + k + 1) * 4096;
}

static struct hp_store make_parent(void)
{
    struct hp_store store = make_store(BUDGET, 512, 4096);
    uint64_t frames[HP_DEPTH_MAX];
    char path[100];
    for (uint64_t i = 0; i < STACKS; i++) {
        const struct hp_key key = nth_key(&store, i, frames);
        for (uint64_t k = 0; k < EACH; k++)
            assert_true(add_object(&store, &key, nth_address(i, k), i + k + 1));
        for (uint64_t k = i % EACH; k < EACH; k++)
            assert_true(remove_object(&store, nth_address(i, k)));
    }
    for (uint32_t i = 0; i < MODULES; i++) {
        snprintf(path, sizeof path, "/lib/module %u.so", i);
        add_module(&store, i, path);
    }
    return store;
}

static bool keep_even(uint64_t address)
{
    return address / 4096 % 2 == 0;
}

static void assert_inherited(const struct hp_store *child, bool (*keep)(uint64_t address))
{
    uint64_t frames[HP_DEPTH_MAX], rows = 0;
    struct hp_tally all = {0, 0};
    for (uint64_t i = 0; i < STACKS; i++) {
        const struct hp_key key = nth_key(child, i, frames);
        struct hp_tally live = {0, 0};
        for (uint64_t k = 0; k < i % EACH; k++) {
            struct hp_live_ref ref;
            const bool is_kept = !keep || keep(nth_address(i, k));
            assert_int_equal(hp_live_take(child, nth_address(i, k), &ref), is_kept);
            if (!is_kept)
                continue;
            assert_int_equal(ref.data->size, i + k + 1);
            assert_int_equal(ref.data->thread, 0); /* the parent's threads have no numbers here */
            assert_int_equal(ref.data->row, hp_row_find(child, &key));
            live = (struct hp_tally){live.objects + 1, live.bytes + i + k + 1};
            hp_live_restore(&ref);
        }
        for (uint64_t k = i % EACH; k < EACH; k++) {
            struct hp_live_ref ref;
            assert_false(hp_live_take(child, nth_address(i, k), &ref));
        }
        const hp_offset at = hp_row_find(child, &key);
        assert_int_equal(at != 0, live.objects != 0);
        rows += at != 0;
        all = (struct hp_tally){all.objects + live.objects, all.bytes + live.bytes};
        if (!at)
            continue;
        const struct hp_ledger_row *row = hp_row_at(child, at);
        const struct hp_tally alloc = hp_row_counted(row->alloc);
        assert_memory_equal(&alloc, &live, sizeof live);
        assert_int_equal(row->freed.objects, 0);
    }
    const struct ledger_sums sums = sum_ledger(child);
    assert_memory_equal(&sums.alloc, &all, sizeof all);
    assert_int_equal(sums.rows, rows);
}

static void assert_modules(const struct hp_store *child)
{
    struct hp_ledger_view view;
    assert_int_equal(hp_ledger_view_open(&view, child->ledger, child->chunks, child->ledger->size), 0);
    assert_int_equal(hp_ledger_view_module_count(&view), MODULES);
    for (uint32_t i = 0; i < MODULES; i++) {
        const struct hp_ledger_module *module = hp_ledger_view_module(&view, i);
        char path[100];
        assert_non_null(module);
        snprintf(path, sizeof path, "/lib/module %u.so", i);
        assert_string_equal(hp_store_at(child, module->path_at), path);
        assert_int_equal(module->base, i * 0x100000);
        assert_int_equal(module->key, i + 1);
    }
}

static void takes_exactly_what_is_live(void **state)
{
    struct hp_store parent = make_parent();
    struct ledger_sums before = sum_ledger(&parent);
    for (unsigned some = 0; some < 2; some++) {
        struct hp_heritage *heritage = hp_heritage_copy(&parent);
        struct hp_store child = make_store(BUDGET, 512, 4096);
        assert_non_null(heritage);
        assert_int_equal(hp_heritage_build(heritage, &child, some ? keep_even : NULL), 0);
        hp_heritage_free(heritage);
        assert_inherited(&child, some ? keep_even : NULL);
        assert_modules(&child);
        free_store(&child);
    }
    struct ledger_sums after = sum_ledger(&parent);
    assert_memory_equal(&before.alloc, &after.alloc, sizeof before.alloc); /* the parent's is its own */
    assert_memory_equal(&before.freed, &after.freed, sizeof before.freed);
    free_store(&parent);
}

static void takes_nothing_of_nothing(void **state)
{
    struct hp_store parent = make_store(BUDGET, 128, 4096);
    assert_null(hp_heritage_copy(&parent));
    const uint64_t frames[] = {1};
    const struct hp_key key = make_key(&parent, frames, 1, 0);
    assert_true(add_object(&parent, &key, 4096, 1) && remove_object(&parent, 4096));
    assert_null(hp_heritage_copy(&parent));
    hp_heritage_free(NULL);
    free_store(&parent);
}

/* Bytes mapped. */
static uint64_t address_space(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm || fscanf(statm, "%lu", &pages) != 1)
        abort();
    fclose(statm);
    return pages * 4096ull;
}

/* A stack that many objects have is copied once, and room is made for it once. */
static void takes_memory_for_what_is_live(void **state)
{
    struct hp_store parent = make_store(64 << 20, 512, 4096);
    uint64_t frames[HP_DEPTH_MAX] = {1};
    const struct hp_key key = make_key(&parent, frames, HP_DEPTH_MAX, 0);
    for (uint64_t i = 1; i <= 50000; i++)
        assert_true(add_object(&parent, &key, i * 64, 1));
    const uint64_t before = address_space();
    struct hp_heritage *heritage = hp_heritage_copy(&parent);
    assert_non_null(heritage);
    print_message("%lu KiB for 50000 objects\n", (unsigned long)(address_space() - before) >> 10);
    assert_true(address_space() - before < 8 << 20);
    hp_heritage_free(heritage);
    assert_int_equal(address_space(), before);
    free_store(&parent);
}

/* Where the child has little memory: what there is none for is counted, and nothing else is lost. */
static void says_how_much_is_lost(void **state)
{
    struct hp_store parent = make_parent(), child = make_store(1 << 20, 512, 4096);
    struct hp_heritage *heritage = hp_heritage_copy(&parent);
    const uint64_t lost = hp_heritage_build(heritage, &child, NULL), live = sum_live(&parent).objects;
    const struct ledger_sums sums = sum_ledger(&child);
    assert_true(lost > 0 && lost < live);
    assert_int_equal(sum_live(&child).objects, live - lost);
    assert_int_equal(sums.alloc.objects - sums.freed.objects, live - lost);
    hp_heritage_free(heritage);
    free_store(&parent);
    free_store(&child);
}

static struct hp_region region;
static uint32_t stop;
enum { FIXED = 1000, WORKERS = 4 };

static void *mutate(void *state)
{
    uint64_t number = (uint64_t)(uintptr_t)state, random = number + 1;
    bool live[256] = {false};
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        const uint64_t slot = test_random(&random) % 256, address = (slot * WORKERS + number + 1) * 4096;
        if (live[slot] && !remove_object(&region.store, address))
            abort();
        uint64_t frames[20] = {test_random(&random) % 50000, 7};
        const struct hp_key key = make_key(&region.store, frames, 2 + frames[0] % 18, 1);
        live[slot] = add_object_by(&region.store, &key, address, 1 + slot, (uint32_t)number + 1);
    }
    return NULL;
}

static bool is_consistent(const struct hp_store *store)
{
    const struct ledger_sums sums = sum_ledger(store);
    const struct hp_tally live = sum_live(store);
    return sums.alloc.objects == live.objects && sums.alloc.bytes == live.bytes && sums.freed.objects == 0;
}

static bool check_child(const struct hp_heritage *heritage)
{
    int error;
    hp_region_leave(&region);
    if (hp_region_create(&region, "none", BUDGET, 128, 4096, &error))
        return false;
    const uint64_t lost = hp_heritage_build(heritage, &region.store, NULL), live = sum_live(&region.store).objects;
    bool good = lost == 0 && live >= FIXED && live <= FIXED + 256 * WORKERS && is_consistent(&region.store);
    for (uint64_t i = 1; good && i <= FIXED; i++)
        good = remove_object(&region.store, (1ull << 40) + i * 4096);
    for (uint64_t i = 1; good && i <= 2000; i++) {
        const struct hp_key key = make_key(&region.store, &i, 1, 0);
        good = add_object(&region.store, &key, (1ull << 41) + i * 4096, 5);
    }
    if (!good)
        print_message("%lu live, %lu lost\n", (unsigned long)live, (unsigned long)lost);
    return good;
}

static void forks_while_threads_go_on(void **state)
{
    int error;
    pthread_t threads[WORKERS];
    assert_int_equal(hp_region_create(&region, "none", 2 << 20, 128, 4096, &error), 0);
    for (uint64_t i = 1; i <= FIXED; i++) {
        const uint64_t frames[] = {i % 10, 3};
        const struct hp_key key = make_key(&region.store, frames, 2, 0);
        assert_true(add_object(&region.store, &key, (1ull << 40) + i * 4096, 3));
    }
    for (uintptr_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, mutate, (void *)i), 0);
    unsigned bad = 0; /* asserted when nobody works on the region any more */
    for (unsigned round = 0; round < 60; round++) {
        struct hp_heritage *heritage = hp_heritage_copy(&region.store);
        pid_t child = fork();
        if (child == 0) {
            alarm(30);
            _exit(heritage && check_child(heritage) ? 0 : 1);
        }
        hp_heritage_free(heritage);
        int status = -1;
        bad += waitpid(child, &status, 0) != child || status != 0;
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(bad, 0);
    const struct ledger_sums sums = sum_ledger(&region.store); /* the children changed nothing here */
    assert_int_equal(sums.alloc.objects - sums.freed.objects, sum_live(&region.store).objects);
    assert_true(region.store.ledger->audit.folded > 0);
    hp_region_leave(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_exactly_what_is_live),    cmocka_unit_test(takes_nothing_of_nothing),
        cmocka_unit_test(takes_memory_for_what_is_live), cmocka_unit_test(says_how_much_is_lost),
        cmocka_unit_test(forks_while_threads_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
