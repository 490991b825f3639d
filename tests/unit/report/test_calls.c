/* The call tree and the call graph: what each function counts, also in recursions and differences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/calls.h"
#include "report/core/trie.h"

/* main calls leaf, and loop, which calls itself by way of back. */
static const char before_text[] = "heap profile: 6: 60 [6: 60] @ heapprofile\n"
                                  "1: 10 [1: 10] @ 0x2 0x11\n"
                                  "#\t0x1\tleaf+0x1\t/a.c:1\n#\t0x10\tmain+0x1\t/a.c:9\n\n"
                                  "2: 20 [2: 20] @ 0x21 0x31 0x21 0x31 0x21 0x11\n"
                                  "#\t0x20\tloop+0x1\t/a.c:2\n#\t0x30\tback+0x1\t/a.c:3\n\n"
                                  "3: 30 [3: 30] @ 0x21 0x11\n\n";
static const char after_text[] = "heap profile: 6: 150 [6: 150] @ heapprofile\n"
                                 "1: 100 [1: 100] @ 0x2 0x11\n"
                                 "#\t0x1\tleaf+0x1\t/a.c:1\n#\t0x10\tmain+0x1\t/a.c:9\n\n"
                                 "2: 20 [2: 20] @ 0x21 0x31 0x21 0x31 0x21 0x11\n"
                                 "#\t0x20\tloop+0x1\t/a.c:2\n#\t0x30\tback+0x1\t/a.c:3\n\n"
                                 "3: 30 [3: 30] @ 0x21 0x11\n\n";

static struct hp_profile *read_text(const char *text)
{
    struct hp_profile *profile;
    struct hp_error error = {""};
    if (hp_profile_read_memory("text", text, strlen(text), &profile, &error))
        fail_msg("%s", error.text);
    return profile;
}

struct fixture {
    struct hp_profile *before, *after;
    struct hp_stacks stacks;
};

static void build(struct fixture *fixture, bool difference, const char *hide)
{
    fixture->before = difference ? read_text(before_text) : NULL;
    fixture->after = read_text(difference ? after_text : before_text);
    const struct hp_report_input input = {.before = fixture->before, .profile = fixture->after};
    const struct hp_report_options options = {.view = {.hide = hide}};
    struct hp_error error = {""};
    assert_int_equal(hp_stacks_build(&input, &options, &fixture->stacks, &error), 0);
}

static void clear(struct fixture *fixture)
{
    hp_stacks_free(&fixture->stacks);
    hp_profile_free(fixture->before);
    hp_profile_free(fixture->after);
}

static const char *name_of(const struct fixture *fixture, uint32_t row)
{
    return fixture->stacks.places.rows[row].label;
}

/* "name cum flat" of each node, one after the other, with its depth in front. */
static void check_tree(const struct fixture *fixture, enum hp_trie_order order, const char *wanted)
{
    struct hp_trie trie;
    hp_trie_build(&fixture->stacks, order, &trie);
    char got[512] = "";
    size_t depth = 0;
    uint32_t node = 0;
    while ((node = hp_trie_next(&trie, node, true, &depth)))
        sprintf(got + strlen(got), "%zu %s %.0f %.0f;", depth, name_of(fixture, trie.nodes[node].row),
                trie.nodes[node].cum.value, trie.nodes[node].flat.growth.value);
    assert_string_equal(got, wanted);
    for (size_t i = 0; i < trie.count; i++) {
        double sum = trie.nodes[i].flat.growth.value;
        for (uint32_t child = trie.nodes[i].child; child; child = trie.nodes[child].sibling) {
            assert_int_equal(trie.nodes[child].parent, i);
            sum += trie.nodes[child].cum.value;
        }
        assert_true(fabs(sum - trie.nodes[i].cum.value) < 1e-6);
    }
    hp_trie_free(&trie);
}

static void trees_add_up(void **state)
{
    struct fixture fixture;
    build(&fixture, false, NULL);
    check_tree(&fixture, HP_TRIE_BY_SIZE,
               "1 main 60 0;2 loop 50 30;3 back 20 0;4 loop 20 0;5 back 20 0;6 loop 20 20;"
               "2 leaf 10 10;");
    check_tree(&fixture, HP_TRIE_BY_NAME,
               "1 main 60 0;2 leaf 10 10;2 loop 50 30;3 back 20 0;4 loop 20 0;5 back 20 0;"
               "6 loop 20 20;");
    clear(&fixture);
    build(&fixture, true, "^main$");
    check_tree(&fixture, HP_TRIE_BY_NAME, "1 leaf 90 90;1 loop 0 0;2 back 0 0;3 loop 0 0;4 back 0 0;5 loop 0 0;");
    clear(&fixture);
}

static void an_empty_tree(void **state)
{
    struct fixture fixture;
    build(&fixture, false, ".");
    check_tree(&fixture, HP_TRIE_BY_SIZE, "");
    clear(&fixture);
}

static void recursion_counts_once(void **state)
{
    struct fixture fixture;
    struct hp_calls calls;
    build(&fixture, false, NULL);
    hp_calls_gather(&fixture.stacks, NULL, &calls);
    char got[512] = "";
    for (size_t i = 0; i < calls.edge_count; i++)
        sprintf(got + strlen(got), "%s>%s %.0f;", name_of(&fixture, calls.edges[i].caller),
                name_of(&fixture, calls.edges[i].callee), calls.edges[i].sum.value);
    assert_non_null(strstr(got, "main>loop 50;"));
    assert_non_null(strstr(got, "loop>back 20;"));
    assert_non_null(strstr(got, "back>loop 20;"));
    assert_non_null(strstr(got, "main>leaf 10;"));
    assert_int_equal(calls.edge_count, 4);
    uint32_t *rows;
    assert_int_equal(hp_calls_order(&calls, NULL, &rows), 4);
    assert_string_equal(name_of(&fixture, rows[0]), "main");
    assert_string_equal(name_of(&fixture, rows[1]), "loop");
    assert_true(fabs(calls.nodes[rows[1]].cum.value - 50) < 1e-6);
    free(rows);
    hp_calls_free(&calls);
    clear(&fixture);
}

static void what_is_left_out_is_bridged(void **state)
{
    struct fixture fixture;
    struct hp_calls calls;
    build(&fixture, false, NULL);
    char keep[16] = "";
    for (uint32_t row = 0; row < fixture.stacks.places.row_names.count; row++)
        keep[row] = !strcmp(name_of(&fixture, row), "main") || !strcmp(name_of(&fixture, row), "back");
    hp_calls_gather(&fixture.stacks, keep, &calls);
    assert_int_equal(calls.edge_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(calls.edges[i].indirect);
        assert_string_equal(name_of(&fixture, calls.edges[i].callee), "back");
        assert_true(fabs(calls.edges[i].sum.value - 20) < 1e-6);
    }
    hp_calls_free(&calls);
    clear(&fixture);
}

static void patterns_choose_rows(void **state)
{
    struct fixture fixture;
    struct hp_error error = {""};
    char *matched;
    build(&fixture, false, NULL);
    assert_int_equal(hp_stacks_match(&fixture.stacks, "^l", &matched, &error), 0);
    for (uint32_t row = 0; row < fixture.stacks.places.row_names.count; row++)
        assert_int_equal(matched[row], name_of(&fixture, row)[0] == 'l');
    free(matched);
    assert_int_equal(hp_stacks_match(&fixture.stacks, "nothing", &matched, &error), -ENOENT);
    assert_int_equal(hp_stacks_match(&fixture.stacks, "(", &matched, &error), -EINVAL);
    clear(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_add_up),          cmocka_unit_test(an_empty_tree),
        cmocka_unit_test(recursion_counts_once), cmocka_unit_test(what_is_left_out_is_bridged),
        cmocka_unit_test(patterns_choose_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
