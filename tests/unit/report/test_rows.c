#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "report/core/rows.h"

enum { MALLOC, STRING_NEW, STRING_NEW_2, DICT_ADD, READ_QUERY, RECURSE, MAIN, NAMELESS, OPERATOR_NEW, PLACES };

static const struct {
    uint64_t address;
    struct hp_line lines[2];
    size_t count;
} places[PLACES] = {
    {0x1010, {{"malloc", "", "", 0}}, 1},
    {0x1101, {{"string_new", "", "/src/string.c", 103}}, 1},
    {0x1120, {{"string_new", "", "/src/string.c", 120}}, 1},
    {0x1301, {{"hash", "", "/src/dict.h", 12}, {"dict_add", "", "/src/dict.c", 55}}, 2},
    {0x1401, {{"read_query", "", "/src/net.c", 900}}, 1},
    {0x1501, {{"recurse", "", "/src/rec.c", 7}}, 1},
    {0x1601, {{"main", "", "/src/main.c", 42}}, 1},
    {0x1701, {{0}}, 0},
    {0x1801, {{"operator new(unsigned long)", "", "", 0}}, 1},
};

/* `slide` moves all addresses, as another run does. */
static struct hp_profile *new_profile(double interval, uint64_t slide, const char *pid)
{
    struct hp_profile *profile = hp_profile_new("test");
    profile->interval = interval;
    hp_profile_add_module(profile, &(struct hp_module){slide + 0x1000, slide + 0x2000, 0, "/bin/target", "abcdef"});
    for (size_t i = 0; i < PLACES; i++) {
        uint32_t location = hp_profile_add_location(profile, slide + places[i].address);
        assert_int_equal(location, i);
        if (places[i].count)
            hp_profile_set_lines(profile, location, places[i].lines, places[i].count);
    }
    hp_profile_resolve_modules(profile);
    hp_profile_add_fact(profile, "heapprof.pid", pid);
    hp_profile_add_fact(profile, "heapprof.start", "77");
    hp_profile_add_fact(profile, "heapprof.exe", "/bin/target");
    return profile;
}

static void add(struct hp_profile *profile, uint64_t live, uint64_t allocated, uint64_t size, size_t depth,
                const uint32_t *stack)
{
    const struct hp_counts counts = {live, live * size, allocated, allocated * size};
    hp_profile_add_sample(profile, stack, depth, &counts);
}

#define ADD(profile, live, allocated, size, ...)                                                                       \
    add(profile, live, allocated, size, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), (uint32_t[]){__VA_ARGS__})

static const struct hp_report_row *find(const struct hp_rows *rows, const char *label)
{
    for (size_t i = 0; i < rows->count; i++)
        if (!strcmp(rows->rows[i].place->label, label))
            return &rows->rows[i];
    return NULL;
}

static void check(const struct hp_rows *rows, const char *label, double flat, double cum)
{
    const struct hp_report_row *row = find(rows, label);
    print_message("%s\n", label);
    assert_non_null(row);
    assert_true(row->flat.growth.value == flat);
    assert_true(row->cum.growth.value == cum);
}

static struct hp_profile *sample_profile(void)
{
    struct hp_profile *profile = new_profile(1, 0, "1");
    ADD(profile, 10, 10, 100, MALLOC, STRING_NEW, READ_QUERY, MAIN);
    ADD(profile, 30, 40, 100, MALLOC, STRING_NEW_2, READ_QUERY, MAIN);
    ADD(profile, 5, 5, 10, OPERATOR_NEW, DICT_ADD, MAIN);
    ADD(profile, 1, 1, 7, MALLOC, RECURSE, RECURSE, RECURSE, MAIN);
    ADD(profile, 2, 2, 3, NAMELESS, MAIN);
    ADD(profile, 1, 1, 1, OPERATOR_NEW, MALLOC);
    return profile;
}

static struct hp_rows build(const struct hp_profile *profile, struct hp_rows_options options)
{
    struct hp_rows rows;
    struct hp_error error = {""};
    assert_int_equal(hp_rows_build(NULL, profile, &options, &rows, &error), 0);
    return rows;
}

static void adds_up_functions(void **state)
{
    struct hp_profile *profile = sample_profile();
    struct hp_rows rows = build(profile, (struct hp_rows_options){0});
    assert_true(rows.total.growth.value == 4064);
    check(&rows, "string_new", 4000, 4000);
    check(&rows, "hash", 50, 50);
    check(&rows, "dict_add", 0, 50);
    check(&rows, "recurse", 7, 7); /* once, though three times on the stack */
    check(&rows, "main", 0, 4063);
    check(&rows, "target+0x701", 6, 6);
    check(&rows, "malloc", 1, 1); /* there is nothing else on that stack */
    assert_null(find(&rows, "operator new(unsigned long)"));
    assert_string_equal(rows.rows[0].place->label, "string_new");
    assert_int_equal(rows.rows[0].place->line, 120); /* the line that allocates most */
    assert_int_equal(rows.rows[0].flat.growth.samples, 40);
    hp_rows_free(&rows);
    rows = build(profile, (struct hp_rows_options){.type = HP_ALLOC_OBJECTS, .by_cum = true});
    assert_string_equal(rows.rows[0].place->label, "main");
    check(&rows, "string_new", 50, 50);
    hp_rows_free(&rows);
    hp_profile_free(profile);
}

static void adds_up_by_granularity(void **state)
{
    struct hp_profile *profile = sample_profile();
    struct hp_rows rows = build(profile, (struct hp_rows_options){.view = {.granularity = HP_BY_FILE}});
    check(&rows, "/src/string.c", 4000, 4000);
    check(&rows, "/bin/target", 7, 7);
    hp_rows_free(&rows);
    rows = build(profile, (struct hp_rows_options){.view = {.granularity = HP_BY_LINE}});
    assert_string_equal(rows.rows[0].place->label, "string_new");
    assert_true(rows.rows[0].flat.growth.value == 3000);
    assert_true(rows.rows[2].flat.growth.value == 50 || rows.rows[1].flat.growth.value == 1000);
    hp_rows_free(&rows);
    rows = build(profile, (struct hp_rows_options){.view = {.granularity = HP_BY_ADDRESS}});
    check(&rows, "target+0x101 string_new", 1000, 1000);
    check(&rows, "target+0x701", 6, 6);
    hp_rows_free(&rows);
    hp_profile_free(profile);
}

static void filters_as_pprof_does(void **state)
{
    struct hp_profile *profile = sample_profile();
    struct hp_rows rows = build(profile, (struct hp_rows_options){.view = {.focus = "read_q"}});
    assert_int_equal(rows.count, 3);
    assert_true(rows.total.growth.value == 4064); /* percentages stay those of the whole */
    check(&rows, "main", 0, 4000);
    hp_rows_free(&rows);
    rows = build(profile, (struct hp_rows_options){.view = {.focus = "net\\.c$"}}); /* by file */
    check(&rows, "main", 0, 4000);
    hp_rows_free(&rows);
    rows = build(profile, (struct hp_rows_options){.view = {.ignore = "string_new|recurse"}});
    check(&rows, "main", 0, 56);
    hp_rows_free(&rows);
    rows = build(profile, (struct hp_rows_options){.view = {.hide = "^string_new$"}});
    check(&rows, "read_query", 4000, 4000);
    assert_null(find(&rows, "string_new"));
    hp_rows_free(&rows);
    rows = build(profile, (struct hp_rows_options){.view = {.show = "^(main|malloc)$"}});
    check(&rows, "malloc", 4008, 4008); /* asked for */
    check(&rows, "main", 56, 4063);
    hp_rows_free(&rows);
    struct hp_rows_options bad = {.view = {.hide = "(("}};
    struct hp_error error = {""};
    assert_int_equal(hp_rows_build(NULL, profile, &bad, &rows, &error), -EINVAL);
    assert_non_null(strstr(error.text, "--hide"));
    hp_profile_free(profile);
}

static void carries_the_error(void **state)
{
    struct hp_profile *profile = new_profile(524288, 0, "1");
    ADD(profile, 16, 16, 64, MALLOC, STRING_NEW, MAIN);
    struct hp_rows rows = build(profile, (struct hp_rows_options){0});
    double weight = 64 / -expm1(-64.0 / 524288), p = -expm1(-64.0 / 524288);
    const struct hp_estimate *flat = &rows.rows[0].flat.growth;
    assert_true(fabs(flat->value / (16 * weight) - 1) < 1e-9);
    assert_true(fabs(flat->variance / (16 * weight * weight * (1 - p)) - 1) < 1e-9);
    hp_rows_free(&rows);
    rows = build(profile, (struct hp_rows_options){.raw = true});
    assert_true(rows.rows[0].flat.growth.value == 16 * 64 && rows.rows[0].flat.growth.variance == 0);
    hp_rows_free(&rows);
    hp_profile_free(profile);
}

/* 400 objects that stay, 4 freed, 25 new ones somewhere else, in `after` at other addresses if
 * `slide`. */
static struct hp_rows leak(uint64_t slide, const char *pid)
{
    struct hp_profile *before = new_profile(524288, 0, "1"), *after = new_profile(524288, slide, pid);
    ADD(before, 400, 500, 64, MALLOC, STRING_NEW, MAIN);
    ADD(after, 396, 500, 64, MALLOC, STRING_NEW, MAIN);
    ADD(before, 5, 5, 2048, MALLOC, DICT_ADD, MAIN);
    ADD(after, 30, 30, 2048, MALLOC, DICT_ADD, MAIN);
    /* Size classes of one stack: which is which is told by size, not by order. */
    ADD(before, 7, 9, 100, MALLOC, READ_QUERY, MAIN);
    ADD(before, 3, 4, 5000, MALLOC, READ_QUERY, MAIN);
    ADD(after, 3, 4, 5000, MALLOC, READ_QUERY, MAIN);
    ADD(after, 7, 9, 100, MALLOC, READ_QUERY, MAIN);
    ADD(after, 1, 1, 700, MALLOC, READ_QUERY, MAIN);
    struct hp_rows rows;
    struct hp_rows_options options = {.test = true};
    assert_int_equal(hp_rows_build(before, after, &options, &rows, NULL), 0);
    hp_profile_free(before);
    hp_profile_free(after);
    return rows;
}

static void survivors_cancel(void **state)
{
    struct hp_rows rows = leak(0, "1");
    assert_int_equal(find(&rows, "string_new")->flat.growth.samples, 4);
    assert_int_equal(find(&rows, "hash")->flat.growth.samples, 25);
    assert_int_equal(find(&rows, "read_query")->flat.growth.samples, 1);
    assert_string_equal(rows.rows[0].place->label, "hash");
    assert_true(rows.rows[0].significant && !rows.rows[1].significant);
    hp_rows_free(&rows);
}

static void what_was_allocated_before_cancels(void **state)
{
    struct hp_profile *before = new_profile(524288, 0, "1"), *after = new_profile(524288, 0, "1");
    ADD(before, 3, 500, 64, MALLOC, STRING_NEW, MAIN);
    ADD(after, 5, 520, 64, MALLOC, STRING_NEW, MAIN);
    struct hp_rows rows;
    struct hp_rows_options options = {.type = HP_ALLOC_SPACE, .test = true};
    assert_int_equal(hp_rows_build(before, after, &options, &rows, NULL), 0);
    assert_int_equal(find(&rows, "string_new")->flat.growth.samples, 20);
    assert_true(find(&rows, "string_new")->significant);
    hp_rows_free(&rows);
    hp_profile_free(before);
    hp_profile_free(after);
}

static void other_runs_share_rows_but_no_samples(void **state)
{
    struct hp_rows rows = leak(0x7f0000000000, "2");
    assert_int_equal(find(&rows, "string_new")->flat.growth.samples, 796);
    assert_int_equal(find(&rows, "hash")->flat.growth.samples, 35);
    assert_true(find(&rows, "hash")->significant && !find(&rows, "string_new")->significant);
    hp_rows_free(&rows);
    /* Another load address, another process: the bare address is still the same row. */
    struct hp_profile *before = new_profile(1, 0, "1"), *after = new_profile(1, 0x7f0000000000, "2");
    ADD(before, 2, 2, 8, NAMELESS, MAIN);
    ADD(after, 3, 3, 8, NAMELESS, MAIN);
    struct hp_rows_options options = {.view = {.granularity = HP_BY_ADDRESS}, .test = true};
    assert_int_equal(hp_rows_build(before, after, &options, &rows, NULL), 0);
    check(&rows, "target+0x701", 8, 8);
    assert_true(find(&rows, "target+0x701")->significant); /* exact */
    hp_rows_free(&rows);
    hp_profile_free(before);
    hp_profile_free(after);
}

/* 64 MiB where nothing was before, among small objects that waver; and the same where such buffers
 * come and go. */
static void one_large_buffer_is_enough(void **state)
{
    for (uint64_t freed = 0; freed < 2; freed++) {
        struct hp_profile *before = new_profile(524288, 0, "1"), *after = new_profile(524288, 0, "1");
        ADD(before, 10, 100, 64, MALLOC, STRING_NEW, MAIN);
        ADD(after, 12, 150, 64, MALLOC, STRING_NEW, MAIN);
        ADD(after, 1, 1 + freed, 67108864, MALLOC, READ_QUERY, MAIN);
        struct hp_rows rows;
        struct hp_rows_options options = {.test = true};
        assert_int_equal(hp_rows_build(before, after, &options, &rows, NULL), 0);
        assert_true(find(&rows, "read_query")->significant == !freed);
        assert_false(find(&rows, "string_new")->significant);
        hp_rows_free(&rows);
        hp_profile_free(before);
        hp_profile_free(after);
    }
}

/* A buffer more, of no size that matters in a diff as noisy as this one. */
static void one_small_buffer_is_not(void **state)
{
    struct hp_profile *before = new_profile(524288, 0, "1"), *after = new_profile(524288, 0, "1");
    ADD(before, 100, 100, 64, MALLOC, STRING_NEW, MAIN);
    ADD(after, 100, 300, 64, MALLOC, STRING_NEW, MAIN);
    ADD(after, 1, 1, 6291456, MALLOC, READ_QUERY, MAIN);
    struct hp_rows rows;
    struct hp_rows_options options = {.test = true};
    assert_int_equal(hp_rows_build(before, after, &options, &rows, NULL), 0);
    assert_false(find(&rows, "read_query")->significant);
    hp_rows_free(&rows);
    hp_profile_free(before);
    hp_profile_free(after);
}

static void nothing_gives_nothing(void **state)
{
    struct hp_profile *profile = new_profile(524288, 0, "1");
    struct hp_rows rows = build(profile, (struct hp_rows_options){.test = true});
    assert_int_equal(rows.count, 0);
    hp_rows_free(&rows);
    hp_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_up_functions),
        cmocka_unit_test(adds_up_by_granularity),
        cmocka_unit_test(filters_as_pprof_does),
        cmocka_unit_test(carries_the_error),
        cmocka_unit_test(what_was_allocated_before_cancels),
        cmocka_unit_test(survivors_cancel),
        cmocka_unit_test(other_runs_share_rows_but_no_samples),
        cmocka_unit_test(one_large_buffer_is_enough),
        cmocka_unit_test(one_small_buffer_is_not),
        cmocka_unit_test(nothing_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
