/* A ledger as a profile: what was put in comes out again through the reader, intervals are converted without bias, and
 * a damaged ledger gives an error or a profile, but never a crash or an endless loop. */
#include "profile_help.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "ledger/rows.h"
#include "ledger/snapshot.h"
#include "ledger_help.h"

#define BUDGET (4ull << 20)
#define INTERVAL 524288

static char *scratch;
static uint64_t scratch_room;

static int write_out(const struct hp_ledger *ledger, struct memory *text)
{
    static char buffer[HP_TEXT_BUFFER];
    const struct hp_moment moment = {
        .time_ns = 1700000000ull * 1000000000, .clock_ns = 5, .sequence = 3};
    struct hp_text writer;
    struct hp_ledger_view view;
    text->size = 0;
    int error = hp_ledger_view_open(&view, ledger, hp_ledger_layout(BUDGET).size);
    if (error)
        return error;
    uint64_t size = hp_ledger_view_scratch_size(&view);
    assert_true(size < 1 << 30);
    if (size > scratch_room) {
        scratch = realloc(scratch, size);
        scratch_room = size;
    }
    hp_text_init(&writer, append, text, buffer);
    return hp_ledger_view_write(&view, &moment, &writer, scratch, size);
}

static uint64_t store_text(struct hp_ledger *ledger, const char *text)
{
    uint64_t at = hp_ledger_allocate(ledger, strlen(text) + 1);
    memcpy((char *)ledger + at, text, strlen(text) + 1);
    return at;
}

static void add_module(struct hp_ledger *ledger, uint64_t base, const char *path, uint8_t id)
{
    uint32_t index = ledger->module_count++;
    uint64_t at = ledger->layout.modules_at + index * sizeof(struct hp_ledger_module);
    assert_true(hp_ledger_reserve(ledger, at, sizeof(struct hp_ledger_module)));
    struct hp_ledger_module *module = (struct hp_ledger_module *)((char *)ledger + at);
    *module = (struct hp_ledger_module){.base = base,
                                        .start = base,
                                        .limit = base + 0x10000,
                                        .path_at = store_text(ledger, path),
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

static struct hp_ledger *make_small(void)
{
    struct hp_ledger *ledger = make_ledger(BUDGET, 128);
    ledger->pid = 42;
    ledger->intervals[0] = INTERVAL;
    ledger->epoch_count = 1;
    ledger->start_time_ns = 1600000000ull * 1000000000;
    strcpy(ledger->exe, "/usr/bin/an app");
    strcpy(ledger->allocator, "glibc 2.36");
    add_module(ledger, 0x400000, "/usr/bin/an app", 0xab);
    add_module(ledger, 0x7f0000000000, "/lib/libc.so.6", 0xcd);
    return ledger;
}

static hp_offset entry_for(struct hp_ledger *ledger, const uint64_t *frames, size_t depth, uint64_t size)
{
    hp_offset entry = hp_ledger_entry(ledger, add_stack(ledger, frames, depth), hp_size_class(size), 0);
    assert_int_not_equal(entry, 0);
    return entry;
}

static struct hp_ledger *make_full(void)
{
    struct hp_ledger *ledger = make_small();
    for (uint64_t i = 0; i < 60; i++) {
        const uint64_t frames[] = {frame_in(1, 0x2000 + i), frame_in(0, 0x1100 + i % 7), frame_in(0, 0x1200),
                                   0xffff00000000 + i};
        hp_offset entry = entry_for(ledger, frames, 1 + i % 4, 100 * (i + 1));
        for (uint64_t k = 0; k <= i; k++)
            assert_true(add_object(ledger, entry, (i * 100 + k + 1) * 4096, 100 * (i + 1)));
        for (uint64_t k = 0; k < i / 2; k++)
            assert_true(remove_object(ledger, (i * 100 + k + 1) * 4096));
    }
    return ledger;
}

static void reads_back_what_was_recorded(void **state)
{
    struct hp_ledger *ledger = make_small();
    const uint64_t one[] = {frame_in(1, 0x2345), frame_in(0, 0x1111)}, two[] = {0xabcdef, frame_in(0, 0x1222)};
    hp_offset first = entry_for(ledger, one, 2, 1000), second = entry_for(ledger, two, 2, 70000);
    for (uint64_t i = 1; i <= 5; i++)
        assert_true(add_object(ledger, first, i * 4096, 1000 + i));
    assert_true(add_object(ledger, second, 1 << 20, 70000));
    assert_true(remove_object(ledger, 2 * 4096));
    ledger->audit = (struct hp_audit){.samples = 6, .lost = 7, .truncated = 8, .unmatched_frees = 9};
    ledger->figures = (struct hp_figures){
        .version = 2, .source = HP_FIGURES_ASKED, .time_ns = 3, .alloc = 100000, .inuse = 120000, .sys = 200000, .released = 5000, .released_known = 1};
    struct memory text = {0};
    assert_int_equal(write_out(ledger, &text), 0);
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
    free_ledger(ledger);
}

static void assert_has(const struct hp_ledger *ledger, const char *line)
{
    struct memory text = {0};
    assert_int_equal(write_out(ledger, &text), 0);
    if (!strstr(text.data, line))
        fail_msg("no '%s' in\n%s", line, strstr(text.data, "# runtime"));
    free(text.data);
}

/* Each figure with its source and age; the invariants hold whatever the allocator says. `moment.clock_ns` is 5 ns. */
static void figures_have_sources(void **state)
{
    struct hp_ledger *ledger = make_small();
    const uint64_t frames[] = {frame_in(0, 0x1100)};
    ledger->intervals[0] = 1;
    assert_true(add_object(ledger, entry_for(ledger, frames, 1, 1000), 4096, 1000));
    ledger->live_estimate = 1000;
    /* Nothing is known of the allocator. */
    assert_has(ledger, "# HeapAlloc = 1000\n# HeapSys = 1000\n# HeapIdle = 0\n# HeapInuse = 1000\n# HeapReleased = 0\n");
    assert_has(ledger, "# heapprof.allocator = glibc 2.36 (age 0 ms; estimated)\n");
    /* HeapSys as samples read it. */
    ledger->heap = (struct hp_heap_now){.sys = 5000, .mapped = 500, .time_ns = 4};
    assert_has(ledger, "# HeapAlloc = 1000\n# HeapSys = 5000\n# HeapIdle = 4000\n# HeapInuse = 1000\n# HeapReleased = 0\n");
    assert_has(ledger, "# heapprof.sources = HeapAlloc=estimated,0ms HeapInuse=estimated,0ms HeapSys=loaded,0ms HeapReleased=not known\n");
    /* An estimate above what the system gave. */
    ledger->heap.sys = 800;
    assert_has(ledger, "# HeapAlloc = 1000\n# HeapSys = 1000\n# HeapIdle = 0\n# HeapInuse = 1000\n# HeapReleased = 0\n");
    /* A walk that is hardly older than that, and one that is too old to stand beside it. */
    ledger->figures = (struct hp_figures){.version = 2, .source = HP_FIGURES_SAMPLED, .time_ns = 4, .alloc = 2000,
        .inuse = 2000, .sys = 6000, .released = 500, .error = 77, .lost = 9, .live = 1000};
    ledger->heap = (struct hp_heap_now){.sys = 5000, .mapped = 500, .time_ns = 5};
    assert_has(ledger, "# HeapAlloc = 2000\n# HeapSys = 6000\n# HeapIdle = 4000\n# HeapInuse = 2000\n");
    assert_has(ledger, "# heapprof.allocator = glibc 2.36 (age 0 ms; sampled, HeapInuse +- 77, bytes changed meanwhile: 9)\n");
    ledger->heap.time_ns = 2000000000;
    assert_has(ledger, "# HeapAlloc = 1000\n# HeapSys = 5000\n# HeapIdle = 4000\n# HeapInuse = 1000\n");
    /* Not all of one moment: HeapAlloc is above HeapInuse, and that above HeapSys. */
    ledger->heap.time_ns = 0;
    ledger->figures = (struct hp_figures){.version = 2, .source = HP_FIGURES_ASKED, .time_ns = 4, .alloc = 3000,
        .inuse = 2000, .sys = 2500, .released = 5000, .released_known = 1, .live = 1000};
    assert_has(ledger, "# HeapAlloc = 3000\n# HeapSys = 3000\n# HeapIdle = 0\n# HeapInuse = 3000\n# HeapReleased = 0\n");
    assert_has(ledger, "# heapprof.sources = HeapAlloc=asked,0ms HeapInuse=raised_to_HeapAlloc,0ms HeapSys=asked,0ms HeapReleased=asked,0ms\n");
    free_ledger(ledger);
}

static void sums_and_order_hold(void **state)
{
    struct hp_ledger *ledger = make_full();
    struct ledger_sums sums = sum_ledger(ledger);
    struct memory text = {0};
    assert_int_equal(write_out(ledger, &text), 0);
    struct hp_profile *profile = read_bytes(text.data, text.size);
    struct hp_counts total = {0};
    assert_int_equal(profile->sample_count, 60);
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
    free_ledger(ledger);
}

static bool in_order(const struct hp_entry_row *a, const struct hp_entry_row *b)
{
    if (a->counts.live_bytes != b->counts.live_bytes)
        return a->counts.live_bytes > b->counts.live_bytes;
    if (a->counts.alloc_bytes != b->counts.alloc_bytes)
        return a->counts.alloc_bytes > b->counts.alloc_bytes;
    return a->stack < b->stack;
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
                                            .stack = (hp_offset)(i * 7919 % count)};
        memset(seen, 0, sizeof seen);
        hp_rows_sort(rows, count);
        for (uint64_t i = 0; i < count; i++) {
            assert_true(!i || in_order(&rows[i - 1], &rows[i]));
            assert_false(seen[rows[i].stack]);
            seen[rows[i].stack] = true;
        }
    }
}

static void exact_profiles_say_so(void **state)
{
    struct hp_ledger *ledger = make_small();
    const uint64_t frames[] = {frame_in(0, 0x1100)};
    ledger->intervals[0] = 1;
    assert_true(add_object(ledger, entry_for(ledger, frames, 1, 10), 4096, 10));
    struct memory text = {0};
    assert_int_equal(write_out(ledger, &text), 0);
    assert_non_null(strstr(text.data, "heap profile: 1: 10 [1: 11] @ heapprofile\n"));
    assert_non_null(strstr(text.data, "\n# heapprof.exact = every allocation was recorded"));
    assert_non_null(strstr(text.data, "# TotalAlloc = 10\n# Mallocs = 1\n# Frees = 0\n"));
    free(text.data);
    free_ledger(ledger);
}

/* Every live sample counts for its thread, and only the tid that belongs to the number is given. */
static void lists_threads(void **state)
{
    struct hp_ledger *ledger = make_small();
    const uint64_t frames[] = {frame_in(0, 0x1100)};
    hp_offset small = entry_for(ledger, frames, 1, 1000), large = entry_for(ledger, frames, 1, 4000000);
    uint64_t bytes[3] = {0};
    for (uint64_t i = 1; i <= 3000; i++) {
        const struct hp_live_data data = {
            .size = i % 100 ? 1000 : 4000000, .entry = i % 100 ? small : large, .thread = i % 3 ? 1 : HP_THREADS + 1};
        assert_true(hp_live_insert(ledger, i * 4096, &data));
        bytes[i % 3 != 0] += data.size;
    }
    hp_ledger_set_thread(ledger, 1, 4711);
    hp_ledger_set_thread(ledger, HP_THREADS + 1, 4712); /* takes the first one's place */
    struct memory text = {0};
    char one[200], other[200];
    assert_int_equal(write_out(ledger, &text), 0);
    snprintf(one, sizeof one, "# heapprof.thread = 1 samples=2000 sampled_bytes=%lu bytes=", (unsigned long)bytes[1]);
    snprintf(other, sizeof other, "# heapprof.thread = %d tid=4712 samples=1000 sampled_bytes=%lu bytes=", HP_THREADS + 1,
             (unsigned long)bytes[0]);
    assert_non_null(strstr(text.data, one));
    assert_non_null(strstr(text.data, other));
    assert_true(strstr(text.data, one) < strstr(text.data, other)); /* the one with more bytes first */
    free(text.data);
    free_ledger(ledger);
}

static void sums_up_threads_beyond_the_first(void **state)
{
    struct hp_ledger *ledger = make_small();
    const uint64_t frames[] = {frame_in(0, 0x1100)};
    hp_offset entry = entry_for(ledger, frames, 1, 1000000);
    for (uint64_t thread = 1; thread <= 5000; thread++) {
        const struct hp_live_data data = {.size = 1000000 + thread, .entry = entry, .thread = (uint32_t)thread};
        if (thread == 151) { /* fewer than are summed one by one */
            struct memory text = {0};
            assert_int_equal(write_out(ledger, &text), 0);
            assert_non_null(strstr(text.data, "# heapprof.thread = 150 samples=1 "));
            assert_null(strstr(text.data, "# heapprof.thread = 50 samples=1 "));
            const char *others = strstr(text.data, "# heapprof.thread = 0 samples=50 ");
            assert_non_null(others);
            assert_non_null(strstr(others, " threads=50\n"));
            free(text.data);
        }
        assert_true(hp_live_insert(ledger, thread * 4096, &data));
    }
    struct memory text = {0};
    assert_int_equal(write_out(ledger, &text), 0);
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
    free_ledger(ledger);
}

static void gives_modules_that_share_a_place_their_own(void **state)
{
    struct hp_ledger *ledger = make_small();
    add_module(ledger, 0x7f0000000000, "/lib/plugin\n.so", 0);
    const uint64_t frames[] = {frame_in(1, 0x2000), frame_in(2, 0x2000), frame_in(77, 5)};
    assert_true(add_object(ledger, entry_for(ledger, frames, 3, 10), 4096, 10));
    struct memory text = {0};
    assert_int_equal(write_out(ledger, &text), 0);
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
    free_ledger(ledger);
}

/* Objects of several sizes sampled at one interval, given at another: the estimates of readers that go by the converted
 * entries must agree in the mean; ours goes by what was sampled, and must agree with that. */
static void converts_intervals_without_bias(void **state)
{
    static const uint64_t intervals[][2] = {{1, 524288}, {4096, 524288}, {524288, 4096}, {65536, 100000}};
    for (unsigned k = 0; k < 4; k++) {
        struct hp_ledger *ledger = make_small();
        double from = (double)intervals[k][0], to = (double)intervals[k][1], truth = 0, variance = 0;
        ledger->intervals[0] = intervals[k][0];
        ledger->intervals[1] = intervals[k][1];
        ledger->epoch_count = 2;
        ledger->epoch = ledger->armed_epoch = 1;
        for (uint64_t i = 0; i < 8000; i++) {
            const uint64_t frames[] = {i};
            uint64_t size = 100 + i * 37 % 5000, count = 1 + i % 5;
            hp_offset at = hp_ledger_entry(ledger, add_stack(ledger, frames, 1), hp_size_class(size), 0);
            assert_int_not_equal(at, 0);
            hp_pair_add(&((struct hp_entry *)hp_ledger_at(ledger, at))->alloc, count, count * size);
            double p = from <= 1 ? 1 : -expm1(-(double)size / from), q = -expm1(-(double)size / to);
            double exact = (double)count * q / p, part = exact - floor(exact);
            truth += (double)(count * size) / p;
            variance += part * (1 - part) * ((double)size / q) * ((double)size / q);
        }
        struct memory text = {0};
        assert_int_equal(write_out(ledger, &text), 0);
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
        free_ledger(ledger);
    }
}

static void refuses_what_is_no_ledger(void **state)
{
    struct hp_ledger *ledger = make_full();
    struct hp_ledger_view view;
    uint64_t size = ledger->layout.size;
    assert_int_equal(hp_ledger_view_open(&view, ledger, size), 0);
    assert_int_equal(hp_ledger_view_open(&view, ledger, 0), -EINVAL);
    assert_int_equal(hp_ledger_view_open(&view, ledger, sizeof *ledger - 1), -EINVAL);
    assert_int_equal(hp_ledger_view_open(&view, ledger, sizeof *ledger), -EBADMSG);
    assert_int_equal(hp_ledger_view_open(&view, ledger, size - 1), -EBADMSG);
    ledger->version++;
    assert_int_equal(hp_ledger_view_open(&view, ledger, size), -EPROTONOSUPPORT);
    ledger->version--;
    ledger->layout.arena_at -= 16;
    assert_int_equal(hp_ledger_view_open(&view, ledger, size), -EBADMSG);
    ledger->layout.arena_at += 16;
    static const uint64_t budgets[] = {0, BUDGET + HP_BLOCK, 1ull << 31, 1ull << 62, UINT64_MAX, UINT64_MAX - HP_BLOCK};
    for (unsigned i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        ledger->budget = budgets[i];
        ledger->layout = hp_ledger_layout(budgets[i]);
        if (budgets[i] >= BUDGET)
            assert_int_equal(hp_ledger_view_open(&view, ledger, size), -EBADMSG);
        if (budgets[i] >= BUDGET)
            assert_int_equal(hp_ledger_view_open(&view, ledger, 1ull << 63), budgets[i] <= BUDGET + HP_BLOCK ? 0 : -EBADMSG);
    }
    ledger->magic++;
    assert_int_equal(hp_ledger_view_open(&view, ledger, size), -EINVAL);
    munmap(ledger, size);
}

static void gives_up_circles(void **state)
{
    struct hp_ledger *ledger = make_full();
    struct memory text = {0};
    for (uint64_t i = 0; i < ledger->layout.buckets[0].count; i++) {
        hp_offset *bucket = (hp_offset *)((char *)ledger + ledger->layout.buckets[0].at) + i;
        if (*bucket)
            ((struct hp_record *)hp_ledger_at(ledger, *bucket))->next = *bucket;
    }
    alarm(60);
    assert_int_equal(write_out(ledger, &text), 0);
    struct hp_profile *profile = read_bytes(text.data, text.size);
    hp_profile_free(profile);
    alarm(0);
    free(text.data);
    free_ledger(ledger);
}

static uint64_t flip_place(const struct hp_layout *layout, uint64_t *random, uint64_t arena_used)
{
    uint64_t choice = test_random(random) % 16, at = test_random(random);
    if (choice < 3)
        return at % sizeof(struct hp_ledger);
    if (choice < 4)
        return offsetof(struct hp_ledger, block_map) + at % (layout->size / HP_BLOCK / 8);
    if (choice < 6)
        return at % offsetof(struct hp_ledger, exe);
    if (choice < 8)
        return layout->modules_at + at % (2 * sizeof(struct hp_ledger_module));
    if (choice < 10)
        return layout->buckets[0].at + at % (layout->buckets[0].count * sizeof(hp_offset));
    return layout->arena_at + at % arena_used;
}

enum { FLIPS = 20000, FLIPS_MOST = 64 };

static void survives_flipped_bytes(void **state)
{
    struct hp_ledger *ledger = make_full();
    uint64_t random = 2024, arena_used = ledger->arena_next - ledger->layout.arena_at, valid = 0, refused = 0;
    const struct hp_layout layout = ledger->layout;
    struct memory text = {0};
    for (unsigned round = 0; round < FLIPS; round++) {
        uint64_t places[FLIPS_MOST];
        unsigned char *bytes = (unsigned char *)ledger, kept[FLIPS_MOST];
        unsigned count = 1u << test_random(&random) % 7;
        for (unsigned i = 0; i < count; i++) {
            uint64_t value = test_random(&random);
            places[i] = flip_place(&layout, &random, arena_used);
            kept[i] = bytes[places[i]];
            bytes[places[i]] = value & 1 ? (unsigned char)(value >> 8) : kept[i] ^ (unsigned char)(1 << (value >> 8 & 7));
        }
        alarm(30);
        int error = write_out(ledger, &text);
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
    assert_int_equal(write_out(ledger, &text), 0); /* all flips were taken back */
    hp_profile_free(read_bytes(text.data, text.size));
    free(text.data);
    free_ledger(ledger);
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
        cmocka_unit_test(converts_intervals_without_bias),
        cmocka_unit_test(refuses_what_is_no_ledger),
        cmocka_unit_test(gives_up_circles),
        cmocka_unit_test(survives_flipped_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, forget_scratch);
}
