/* A ledger as a profile: what was put in comes out again through the reader, intervals are converted without bias, and
 * a damaged ledger gives an error or a profile, but never a crash or an endless loop. */
#include "../profile/profile_help.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "ledger/chain.h"
#include "ledger/snapshot.h"
#include "ledger_help.h"

#define BUDGET (4ull << 20)
#define INTERVAL 524288

static char *scratch;
static uint64_t scratch_room;

static int write_out(const struct hp_store *store, struct memory *text)
{
    static char buffer[HP_TEXT_BUFFER];
    const struct hp_moment moment = {.time_ns = 1700000000ull * 1000000000, .clock_ns = 5, .sequence = 3};
    struct hp_text writer;
    struct hp_ledger_view view;
    text->size = 0;
    int error = hp_ledger_view_open(&view, store->ledger, NULL, hp_ledger_size(BUDGET));
    if (error)
        return error;
    uint64_t size = hp_snapshot_scratch_size(&view);
    assert_true(size < 1 << 30);
    if (size > scratch_room) {
        scratch = realloc(scratch, size);
        scratch_room = size;
    }
    hp_text_init(&writer, append, text, buffer);
    return hp_snapshot_write(&view, &moment, &writer, scratch, size);
}

static uint64_t store_text(const struct hp_store *store, const char *text)
{
    uint64_t at = hp_ledger_allocate(store, strlen(text) + 1);
    memcpy(hp_store_at(store, at), text, strlen(text) + 1);
    return at;
}

static void add_module(const struct hp_store *store, uint64_t base, const char *path, uint8_t id)
{
    uint32_t index = store->ledger->module_count++;
    uint64_t *page = &store->ledger->modules_at[index / HP_MODULE_PAGE];
    if (!*page)
        *page = hp_ledger_allocate(store, HP_MODULE_PAGE * sizeof(struct hp_ledger_module));
    assert_true(*page);
    struct hp_ledger_module *module = (struct hp_ledger_module *)hp_store_at(store, *page) + index % HP_MODULE_PAGE;
    *module = (struct hp_ledger_module){.base = base,
                                        .start = base,
                                        .limit = base + 0x10000,
                                        .path_at = store_text(store, path),
                                        .build_id_size = id ? 20 : 0,
                                        .segment_count = 1,
                                        .segments = {{.address = 0x1000, .size = 0x8000, .offset = 0x1000}}};
    memset(module->build_id, id, sizeof module->build_id);
    module->state = HP_MODULE_LOADED;
}

static uint64_t frame_in(unsigned module, uint64_t offset)
{
    return (uint64_t)(module + 1) << HP_FRAME_MODULE_SHIFT | offset;
}

static struct hp_store make_small(void)
{
    struct hp_store store = make_store(BUDGET, 128, INTERVAL);
    struct hp_ledger *ledger = store.ledger;
    ledger->pid = 42;
    ledger->start_time_ns = 1600000000ull * 1000000000;
    strcpy(ledger->exe, "/usr/bin/an app");
    strcpy(ledger->allocator, "glibc 2.36");
    add_module(&store, 0x400000, "/usr/bin/an app", 0xab);
    add_module(&store, 0x7f0000000000, "/lib/libc.so.6", 0xcd);
    return store;
}

static struct hp_key key_for(const struct hp_store *store, const uint64_t *frames, size_t depth, uint64_t size)
{
    return make_key(store, frames, depth, hp_size_class(size));
}

static hp_offset row_of(const struct hp_store *store, const struct hp_key *key)
{
    bool truncated;
    hp_offset row = hp_row_add(store, key, true, 1, NULL, &truncated);
    assert_int_not_equal(row, 0);
    return row;
}

/* With dead rows among others, a fold row, and a fold that was under way. */
static struct hp_store make_full(void)
{
    struct hp_store store = make_small();
    hp_offset dead = 0, fold_row = 0;
    for (uint64_t i = 0; i < 60; i++) {
        const uint64_t frames[] = {frame_in(1, 0x2000 + i), frame_in(0, 0x1100 + i % 7), frame_in(0, 0x1200),
                                   0xffff00000000 + i};
        struct hp_key key = key_for(&store, frames, 1 + i % 4, 100 * (i + 1));
        key.folded = i == 40;
        key.hash = hp_key_hash(&key);
        for (uint64_t k = 0; k <= i; k++)
            assert_true(add_object(&store, &key, (i * 100 + k + 1) * 4096, 100 * (i + 1)));
        for (uint64_t k = 0; k < (i % 10 ? i / 2 : i + 1); k++)
            assert_true(remove_object(&store, (i * 100 + k + 1) * 4096));
        dead = i == 50 ? hp_row_find(&store, &key) : dead;
        fold_row = i == 40 ? hp_row_find(&store, &key) : fold_row;
    }
    const struct hp_ledger_row *to = hp_row_at(&store, fold_row);
    store.ledger->fold.journal = (struct hp_journal){.state = HP_JOURNAL_ADDING,
                                                     .row = dead,
                                                     .fold_row = fold_row,
                                                     .before_alloc = hp_row_counted(to->alloc),
                                                     .before_freed = to->freed};
    store.ledger->fold.count = 1;
    hp_row_at(&store, dead)->alloc.objects |= HP_ROW_DEAD;
    assert_int_equal(hp_thread_number(&store, 4711), 1);
    return store;
}

static void reads_back_what_was_recorded(void **state)
{
    struct hp_store store = make_small();
    struct hp_ledger *ledger = store.ledger;
    const uint64_t one[] = {frame_in(1, 0x2345), frame_in(0, 0x1111)}, two[] = {0xabcdef, frame_in(0, 0x1222)};
    const struct hp_key first = key_for(&store, one, 2, 1000), second = key_for(&store, two, 2, 70000);
    for (uint64_t i = 1; i <= 5; i++)
        assert_true(add_object(&store, &first, i * 4096, 1000 + i));
    assert_true(add_object(&store, &second, 1 << 20, 70000));
    assert_true(remove_object(&store, 2 * 4096));
    ledger->audit = (struct hp_audit){.samples = 6, .lost = 7, .truncated = 8, .unmatched_frees = 9};
    ledger->figures = (struct hp_figures){.version = 2,
                                          .source = HP_FIGURES_ASKED,
                                          .time_ns = 3,
                                          .alloc = 100000,
                                          .inuse = 120000,
                                          .sys = 200000,
                                          .released = 5000,
                                          .released_known = 1};
    struct memory text = {0};
    assert_int_equal(write_out(&store, &text), 0);
    assert_non_null(strstr(text.data, "heap profile: 5: 74013 [6: 75015] @ heap_v2/524288\n"
                                      "1: 70000 [1: 70000] @ 0xabcdef 0x401222\n"
                                      "4: 4013 [5: 5015] @ 0x7f0000002345 0x401111\n"));
    struct hp_profile *profile = read_bytes(text.data, text.size);
    assert_true(profile->interval == INTERVAL);
    assert_int_equal(profile->sample_count, 2);
    const struct hp_sample *sample = &profile->samples[1];
    assert_int_equal(sample->depth, 2);
    assert_int_equal(sample->counts.live_objects, 4);
    assert_int_equal(sample->counts.live_bytes, 4013);
    assert_int_equal(sample->counts.alloc_objects, 5);
    assert_int_equal(sample->counts.alloc_bytes, 5015);
    const struct hp_location *location = &profile->locations[profile->frames[sample->first]];
    assert_int_equal(location->address, 0x7f0000002344);
    assert_int_equal(location->offset, 0x2344);
    assert_string_equal(profile->modules[location->module].path, "/lib/libc.so.6");
    assert_string_equal(profile->modules[location->module].build_id, "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd");
    assert_string_equal(hp_profile_fact(profile, "heapprof.exe"), "/usr/bin/an app");
    assert_string_equal(hp_profile_fact(profile, "heapprof.lost"), "7");
    assert_string_equal(hp_profile_fact(profile, "heapprof.unmatched_frees"), "9");
    assert_string_equal(hp_profile_fact(profile, "HeapInuse"), "120000");
    assert_string_equal(hp_profile_fact(profile, "HeapIdle"), "80000");
    assert_string_equal(hp_profile_fact(profile, "HeapReleased"), "5000");
    assert_int_equal(profile->time_ns, 1700000000ll * 1000000000);
    hp_profile_free(profile);
    free(text.data);
    free_store(&store);
}

static void assert_has(const struct hp_store *store, const char *line)
{
    struct memory text = {0};
    assert_int_equal(write_out(store, &text), 0);
    if (!strstr(text.data, line))
        fail_msg("no '%s' in\n%s", line, strstr(text.data, "# runtime"));
    free(text.data);
}

/* Each figure with its source and age; the invariants hold whatever the allocator says. `moment.clock_ns` is 5 ns. */
static void figures_have_sources(void **state)
{
    struct hp_store store = make_small();
    struct hp_ledger *ledger = store.ledger;
    const uint64_t frames[] = {frame_in(0, 0x1100)};
    ledger->interval = ledger->armed_interval = 1;
    const struct hp_key key = make_key(&store, frames, 1, 0);
    assert_true(add_object(&store, &key, 4096, 1000));
    ledger->live_estimate = 1000;
    /* Nothing is known of the allocator. */
    assert_has(&store,
               "# HeapAlloc = 1000\n# HeapSys = 1000\n# HeapIdle = 0\n# HeapInuse = 1000\n# HeapReleased = 0\n");
    assert_has(&store, "# heapprof.allocator = glibc 2.36 (age 0 ms; estimated)\n");
    /* HeapSys as samples read it. */
    ledger->heap = (struct hp_heap_now){.sys = 5000, .mapped = 500, .time_ns = 4};
    assert_has(&store,
               "# HeapAlloc = 1000\n# HeapSys = 5000\n# HeapIdle = 4000\n# HeapInuse = 1000\n# HeapReleased = 0\n");
    assert_has(&store, "# heapprof.sources = HeapAlloc=estimated,0ms HeapInuse=estimated,0ms HeapSys=loaded,0ms "
                       "HeapReleased=not known\n");
    /* An estimate above what the system gave. */
    ledger->heap.sys = 800;
    assert_has(&store,
               "# HeapAlloc = 1000\n# HeapSys = 1000\n# HeapIdle = 0\n# HeapInuse = 1000\n# HeapReleased = 0\n");
    /* A walk that is hardly older than that, and one that is too old to stand beside it. */
    ledger->figures = (struct hp_figures){.version = 2,
                                          .source = HP_FIGURES_SAMPLED,
                                          .time_ns = 4,
                                          .alloc = 2000,
                                          .inuse = 2000,
                                          .sys = 6000,
                                          .released = 500,
                                          .error = 77,
                                          .lost = 9,
                                          .live = 1000};
    ledger->heap = (struct hp_heap_now){.sys = 5000, .mapped = 500, .time_ns = 5};
    assert_has(&store, "# HeapAlloc = 2000\n# HeapSys = 6000\n# HeapIdle = 4000\n# HeapInuse = 2000\n");
    assert_has(&store,
               "# heapprof.allocator = glibc 2.36 (age 0 ms; sampled, HeapInuse +- 77, bytes changed meanwhile: 9)\n");
    ledger->heap.time_ns = 2000000000;
    assert_has(&store, "# HeapAlloc = 1000\n# HeapSys = 5000\n# HeapIdle = 4000\n# HeapInuse = 1000\n");
    /* Not all of one moment: HeapAlloc is above HeapInuse, and that above HeapSys. */
    ledger->heap.time_ns = 0;
    ledger->figures = (struct hp_figures){.version = 2,
                                          .source = HP_FIGURES_ASKED,
                                          .time_ns = 4,
                                          .alloc = 3000,
                                          .inuse = 2000,
                                          .sys = 2500,
                                          .released = 5000,
                                          .released_known = 1,
                                          .live = 1000};
    assert_has(&store,
               "# HeapAlloc = 3000\n# HeapSys = 3000\n# HeapIdle = 0\n# HeapInuse = 3000\n# HeapReleased = 0\n");
    assert_has(&store, "# heapprof.sources = HeapAlloc=asked,0ms HeapInuse=raised_to_HeapAlloc,0ms HeapSys=asked,0ms "
                       "HeapReleased=asked,0ms\n");
    free_store(&store);
}

static void sums_and_order_hold(void **state)
{
    struct hp_store store = make_full();
    struct ledger_sums sums = sum_ledger(&store);
    struct memory text = {0};
    assert_int_equal(write_out(&store, &text), 0);
    struct hp_profile *profile = read_bytes(text.data, text.size);
    struct hp_counts total = {0};
    assert_int_equal(profile->sample_count, 59); /* one is being folded */
    for (size_t i = 0; i < profile->sample_count; i++) {
        const struct hp_counts *counts = &profile->samples[i].counts;
        total.live_objects += counts->live_objects, total.live_bytes += counts->live_bytes;
        total.alloc_objects += counts->alloc_objects, total.alloc_bytes += counts->alloc_bytes;
        assert_true(!i || profile->samples[i - 1].counts.live_bytes >= counts->live_bytes);
    }
    assert_int_equal(total.alloc_objects, sums.alloc.objects);
    assert_int_equal(total.alloc_bytes, sums.alloc.bytes);
    assert_int_equal(total.live_objects, sums.alloc.objects - sums.freed.objects);
    assert_int_equal(total.live_bytes, sums.alloc.bytes - sums.freed.bytes);
    hp_profile_free(profile);
    free(text.data);
    free_store(&store);
}

static bool in_order(const struct hp_entry_row *a, const struct hp_entry_row *b)
{
    if (a->counts.live_bytes != b->counts.live_bytes)
        return a->counts.live_bytes > b->counts.live_bytes;
    if (a->counts.alloc_bytes != b->counts.alloc_bytes)
        return a->counts.alloc_bytes > b->counts.alloc_bytes;
    return a->hash < b->hash;
}

/* All counts up to some levels of the heap, and a large one; each row is there once. */
static void sorts_rows(void **state)
{
    static struct hp_entry_row rows[5000];
    static bool seen[5000];
    uint64_t random = 1;
    for (uint64_t count = 0; count <= 5000; count = count < 100 ? count + 1 : count * 50) {
        for (uint64_t i = 0; i < count; i++)
            rows[i] = (struct hp_entry_row){.counts.live_bytes = test_random(&random) % 10,
                                            .counts.alloc_bytes = test_random(&random) % 10,
                                            .hash = i * 7919 % count};
        memset(seen, 0, sizeof seen);
        hp_rows_sort(rows, count);
        for (uint64_t i = 0; i < count; i++) {
            assert_true(!i || in_order(&rows[i - 1], &rows[i]));
            assert_false(seen[rows[i].hash]);
            seen[rows[i].hash] = true;
        }
    }
}

static void exact_profiles_say_so(void **state)
{
    struct hp_store store = make_small();
    struct hp_ledger *ledger = store.ledger;
    const uint64_t frames[] = {frame_in(0, 0x1100)};
    ledger->interval = ledger->armed_interval = 1;
    const struct hp_key key = make_key(&store, frames, 1, 0);
    assert_true(add_object(&store, &key, 4096, 10));
    struct memory text = {0};
    assert_int_equal(write_out(&store, &text), 0);
    assert_non_null(strstr(text.data, "heap profile: 1: 10 [1: 11] @ heapprofile\n"));
    assert_non_null(strstr(text.data, "\n# heapprof.exact = every allocation was recorded"));
    assert_non_null(strstr(text.data, "# TotalAlloc = 10\n# Mallocs = 1\n# Frees = 0\n"));
    free(text.data);
    free_store(&store);
}

/* Every live sample counts for its thread, also the last that has a number of its own. */
static void lists_threads(void **state)
{
    struct hp_store store = make_small();
    const uint64_t frames[] = {frame_in(0, 0x1100)};
    const struct hp_key small = key_for(&store, frames, 1, 1000), large = key_for(&store, frames, 1, 4000000);
    const hp_offset small_row = row_of(&store, &small), large_row = row_of(&store, &large);
    uint64_t bytes[3] = {0};
    for (uint64_t i = 1; i <= 3000; i++) {
        const struct hp_live_data data = {
            .size = i % 100 ? 1000 : 4000000, .row = i % 100 ? small_row : large_row, .thread = i % 3 ? 1 : HP_THREADS};
        assert_true(hp_live_insert(&store, i * 4096, &data));
        bytes[i % 3 != 0] += data.size;
    }
    for (uint32_t i = 1; i <= HP_THREADS; i++)
        assert_int_equal(hp_thread_number(&store, 4711 + i), i);
    hp_thread_of(&store, 1)->tid = 0; /* not known */
    struct memory text = {0};
    char one[200], other[200];
    assert_int_equal(write_out(&store, &text), 0);
    snprintf(one, sizeof one, "# heapprof.thread = 1 samples=2000 sampled_bytes=%lu bytes=", (unsigned long)bytes[1]);
    snprintf(other, sizeof other, "# heapprof.thread = %u tid=%u samples=1000 sampled_bytes=%lu bytes=", HP_THREADS,
             4711 + HP_THREADS, (unsigned long)bytes[0]);
    assert_non_null(strstr(text.data, one));
    assert_non_null(strstr(text.data, other));
    assert_true(strstr(text.data, one) < strstr(text.data, other)); /* the one with more bytes first */
    free(text.data);
    free_store(&store);
}

/* However late a thread came: the one that holds nearly all comes first. */
static void sums_up_threads_beyond_the_first(void **state)
{
    struct hp_store store = make_small();
    const uint64_t frames[] = {frame_in(0, 0x1100)};
    const struct hp_key key = key_for(&store, frames, 1, 1000000);
    const hp_offset row = row_of(&store, &key);
    for (uint64_t thread = 1; thread <= 5000; thread++) {
        const struct hp_live_data data = {.size = 1000000 + thread, .row = row, .thread = (uint32_t)thread};
        assert_int_equal(hp_thread_number(&store, 4711 + (uint32_t)thread), thread);
        if (thread == 151) { /* fewer than are summed one by one */
            struct memory text = {0};
            assert_int_equal(write_out(&store, &text), 0);
            assert_non_null(strstr(text.data, "# heapprof.thread = 150 tid=4861 samples=1 "));
            assert_null(strstr(text.data, "# heapprof.thread = 50 tid=4761 samples=1 "));
            const char *others = strstr(text.data, "# heapprof.thread = 0 samples=50 ");
            assert_non_null(others);
            assert_non_null(strstr(others, " threads=50\n"));
            free(text.data);
        }
        assert_true(hp_live_insert(&store, thread * 4096, &data));
    }
    struct memory text = {0};
    assert_int_equal(write_out(&store, &text), 0);
    assert_non_null(strstr(text.data, "# heapprof.thread = 0 samples=4900 "));
    unsigned lines = 0;
    for (const char *at = text.data; (at = strstr(at, "# heapprof.thread = ")); at++)
        lines++;
    assert_int_equal(lines, 101);
    struct hp_profile *profile = read_bytes(text.data, text.size), *merged;
    const struct hp_profile *const both[] = {profile, profile};
    assert_non_null(hp_profile_fact(profile, "heapprof.thread"));
    assert_int_equal(hp_profile_merge(both, 2, &merged, NULL), 0);
    assert_null(hp_profile_fact(merged, "heapprof.thread")); /* threads of several processes have nothing in common */
    hp_profile_free(merged);
    hp_profile_free(profile);
    free(text.data);
    free_store(&store);
}

enum { MODULES_MOST = 300, PLACES = 400 };

/* Modules of several lengths at random places, of which many share some: those and only those that a later one took a
 * part from have addresses of their own. */
static void tells_which_places_were_taken(void **state)
{
    uint64_t random = 77;
    for (unsigned round = 0; round < 50; round++) {
        struct hp_store store = make_store(BUDGET, 128, INTERVAL);
        const unsigned count = 1 + (unsigned)(test_random(&random) % MODULES_MOST);
        struct memory text = {0};
        for (unsigned i = 0; i < count; i++) {
            char path[32];
            snprintf(path, sizeof path, "/m%u", i);
            add_module(&store, 0x10000000 + test_random(&random) % PLACES * 0x10000, path, 0);
            hp_module_at(&store, i)->limit += test_random(&random) % 4 * 0x8000;
        }
        assert_int_equal(write_out(&store, &text), 0);
        for (unsigned i = 0; i < count; i++) {
            const struct hp_ledger_module *module = hp_module_at(&store, i);
            bool is_taken = false;
            for (unsigned later = i + 1; later < count; later++)
                is_taken |= hp_module_at(&store, later)->start < module->limit &&
                            module->start < hp_module_at(&store, later)->limit;
            char line[128];
            const uint64_t start = (is_taken ? 0x100000000000ull + ((uint64_t)i << 32) : module->base) + 0x1000;
            snprintf(line, sizeof line, "\n%lx-%lx r-xp 00001000 00:00 0 /m%u\n", (unsigned long)start,
                     (unsigned long)start + 0x8000, i);
            if (!strstr(text.data, line))
                fail_msg("no '%s'", line);
        }
        free(text.data);
        free_store(&store);
    }
}

static void gives_modules_that_share_a_place_their_own(void **state)
{
    struct hp_store store = make_small();
    add_module(&store, 0x7f0000000000, "/lib/plugin\n.so", 0);
    const uint64_t frames[] = {frame_in(1, 0x2000), frame_in(2, 0x2000), frame_in(77, 5)};
    const struct hp_key key = key_for(&store, frames, 3, 10);
    assert_true(add_object(&store, &key, 4096, 10));
    struct memory text = {0};
    assert_int_equal(write_out(&store, &text), 0);
    struct hp_profile *profile = read_bytes(text.data, text.size);
    const char *paths[3];
    for (unsigned i = 0; i < 3; i++) {
        uint32_t module = profile->locations[profile->frames[profile->samples[0].first + i]].module;
        paths[i] = module == HP_NO_MODULE ? NULL : profile->modules[module].path;
    }
    assert_string_equal(paths[0], "/lib/libc.so.6");
    assert_string_equal(paths[1], "/lib/plugin\n.so");
    assert_null(paths[2]);
    hp_profile_free(profile);
    free(text.data);
    free_store(&store);
}

/* Objects of several sizes sampled at one interval, given at another: the estimates of readers that go by the converted
 * entries must agree in the mean; ours goes by what was sampled, and must agree with that. */
static void converts_intervals_without_bias(void **state)
{
    static const uint64_t intervals[][2] = {{1, 524288}, {4096, 524288}, {524288, 4096}, {65536, 100000}};
    for (unsigned k = 0; k < 4; k++) {
        struct hp_store store = make_small();
        struct hp_ledger *ledger = store.ledger;
        double from = (double)intervals[k][0], to = (double)intervals[k][1], truth = 0, variance = 0;
        ledger->interval = intervals[k][0];
        for (uint64_t i = 0; i < 8000; i++) {
            const uint64_t frames[] = {i};
            uint64_t size = 100 + i * 37 % 5000, count = 1 + i % 5;
            const struct hp_key key = key_for(&store, frames, 1, size);
            hp_tally_add(&hp_row_at(&store, row_of(&store, &key))->alloc, count, count * size);
            double p = from <= 1 ? 1 : -expm1(-(double)size / from), q = -expm1(-(double)size / to);
            double exact = (double)count * q / p, part = exact - floor(exact);
            truth += (double)(count * size) / p;
            variance += part * (1 - part) * ((double)size / q) * ((double)size / q);
        }
        ledger->interval = ledger->armed_interval = intervals[k][1];
        struct memory text = {0};
        assert_int_equal(write_out(&store, &text), 0);
        struct hp_profile *profile = read_bytes(text.data, text.size);
        double sum = 0, own_sum = 0;
        assert_true(profile->interval == to && profile->mixed);
        for (size_t i = 0; i < profile->sample_count; i++) {
            const struct hp_sample *sample = &profile->samples[i];
            assert_true(sample->interval == from);
            own_sum += hp_sample_estimate(profile, sample, HP_INUSE_SPACE, false).value;
            if (sample->live_objects > 0)
                sum += sample->live_bytes / -expm1(-sample->live_bytes / sample->live_objects / to);
        }
        double sigma = (sum - truth) / sqrt(variance);
        print_message("%.0f to %.0f: %.0f for %.0f, off by %.2f sigma\n", from, to, sum, truth, sigma);
        assert_true(fabs(sigma) < 4);
        assert_true(fabs(own_sum / truth - 1) < 1e-9);
        hp_profile_free(profile);
        free(text.data);
        free_store(&store);
    }
}

static void refuses_what_is_no_ledger(void **state)
{
    struct hp_store store = make_full();
    struct hp_ledger *ledger = store.ledger;
    struct hp_ledger_view view;
    uint64_t size = ledger->size;
    assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, size), 0);
    assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, 0), -EINVAL);
    assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, sizeof *ledger - 1), -EINVAL);
    assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, sizeof *ledger), -EBADMSG);
    assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, size - 1), -EBADMSG);
    ledger->version++;
    assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, size), -EPROTONOSUPPORT);
    ledger->version--;
    ledger->header_size--;
    assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, size), -EPROTONOSUPPORT);
    ledger->header_size++;
    static const uint64_t sizes[] = {0, sizeof *ledger - 1, HP_CHUNKS * HP_CHUNK + 1, 1ull << 62, UINT64_MAX};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ledger->size = sizes[i];
        assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, size), -EBADMSG);
        assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, UINT64_MAX), -EBADMSG);
    }
    ledger->size = size;
    static const uint64_t budgets[] = {HP_BUDGET_MOST + 1, 1ull << 62, UINT64_MAX};
    for (unsigned i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        ledger->budget = budgets[i];
        assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, size), -EBADMSG);
    }
    ledger->magic++;
    assert_int_equal(hp_ledger_view_open(&view, ledger, NULL, size), -EINVAL);
    free_store(&store);
}

static void gives_up_circles(void **state)
{
    struct hp_store store = make_full();
    struct hp_ledger *ledger = store.ledger;
    struct memory text = {0};
    for (uint64_t i = 0; i < ledger->buckets[0].count; i++) {
        hp_offset *chain = (hp_offset *)((char *)ledger + ledger->buckets[0].at) + i;
        if (*chain)
            hp_row_at(&store, *chain)->next = *chain;
    }
    alarm(60);
    assert_int_equal(write_out(&store, &text), 0);
    struct hp_profile *profile = read_bytes(text.data, text.size);
    hp_profile_free(profile);
    alarm(0);
    free(text.data);
    free_store(&store);
}

static uint64_t flip_place(const struct hp_ledger *made, uint64_t *random)
{
    const uint64_t rows = made->buckets[0].at + made->buckets[0].count * sizeof(hp_offset);
    uint64_t choice = test_random(random) % 18, at = test_random(random);
    if (choice < 3)
        return at % sizeof(struct hp_ledger);
    if (choice < 4)
        return offsetof(struct hp_ledger, block_map) + at % (made->size / HP_BLOCK / 8);
    if (choice < 6)
        return at % offsetof(struct hp_ledger, exe);
    if (choice < 8)
        return made->modules_at[0] + at % (2 * sizeof(struct hp_ledger_module));
    if (choice < 10)
        return made->buckets[0].at + at % (made->buckets[0].count * sizeof(hp_offset));
    if (choice < 12) /* where tables stand, and the fold under way */
        return offsetof(struct hp_ledger, buckets) +
               at % (offsetof(struct hp_ledger, audit) - offsetof(struct hp_ledger, buckets));
    if (choice < 13)
        return made->live[0].at + at % (made->live[0].groups * sizeof(struct hp_live_group));
    return rows + at % (made->end - rows);
}

enum { FLIPS = 20000, FLIPS_MOST = 64 };

static void survives_flipped_bytes(void **state)
{
    struct hp_store store = make_full();
    struct hp_ledger *ledger = store.ledger;
    uint64_t random = 2024, valid = 0, refused = 0;
    const struct hp_ledger made = *ledger;
    struct memory text = {0};
    for (unsigned round = 0; round < FLIPS; round++) {
        uint64_t places[FLIPS_MOST];
        unsigned char *bytes = (unsigned char *)ledger, kept[FLIPS_MOST];
        unsigned count = 1u << test_random(&random) % 7;
        for (unsigned i = 0; i < count; i++) {
            uint64_t value = test_random(&random);
            places[i] = flip_place(&made, &random);
            kept[i] = bytes[places[i]];
            bytes[places[i]] =
                value & 1 ? (unsigned char)(value >> 8) : kept[i] ^ (unsigned char)(1 << (value >> 8 & 7));
        }
        alarm(30);
        int error = write_out(&store, &text);
        if (error == 0) {
            struct hp_profile *profile = NULL;
            struct hp_error why = {""};
            assert_true(text.size > 0 && text.size < 64 << 20);
            if (hp_profile_read_memory("flipped", text.data, text.size, &profile, &why) == 0)
                valid++, hp_profile_free(profile);
            else
                assert_true(strlen(why.text) > 0);
        } else {
            refused++;
        }
        alarm(0);
        for (unsigned i = count; i-- > 0;)
            bytes[places[i]] = kept[i];
    }
    print_message("%lu readable, %lu refused of %u\n", (unsigned long)valid, (unsigned long)refused, FLIPS);
    assert_true(refused > 0 && valid > FLIPS / 2);
    assert_int_equal(write_out(&store, &text), 0); /* all flips were taken back */
    hp_profile_free(read_bytes(text.data, text.size));
    free(text.data);
    free_store(&store);
}

static int forget_scratch(void **state)
{
    free(scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_what_was_recorded),
        cmocka_unit_test(figures_have_sources),
        cmocka_unit_test(sums_and_order_hold),
        cmocka_unit_test(sorts_rows),
        cmocka_unit_test(exact_profiles_say_so),
        cmocka_unit_test(lists_threads),
        cmocka_unit_test(sums_up_threads_beyond_the_first),
        cmocka_unit_test(gives_modules_that_share_a_place_their_own),
        cmocka_unit_test(tells_which_places_were_taken),
        cmocka_unit_test(converts_intervals_without_bias),
        cmocka_unit_test(refuses_what_is_no_ledger),
        cmocka_unit_test(gives_up_circles),
        cmocka_unit_test(survives_flipped_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, forget_scratch);
}
