/* What the symbolizer is built on: its strings and names, and its nested address ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "symbolize/intervals.h"
#include "symbolize/strings.h"

static void equal_strings_are_one(void **state)
{
    struct hp_strings strings = {0};
    const char *first = hp_strings_intern(&strings, "name 7");
    for (int i = 0; i < 5000; i++) {
        char text[32];
        int length = snprintf(text, sizeof text, "name %d", i);
        const char *interned = hp_strings_intern(&strings, text);
        assert_string_equal(interned, text);
        assert_ptr_equal(interned, hp_strings_intern_bytes(&strings, text, (size_t)length));
    }
    assert_ptr_equal(first, hp_strings_intern(&strings, "name 7"));
    assert_string_equal(hp_strings_intern(&strings, ""), "");
    hp_strings_free(&strings);
}

static void paths(void **state)
{
    static const struct {
        const char *directory, *path, *wanted;
    } cases[] = {
        {"/build", "a.c", "/build/a.c"},
        {"/build", "../src/a.c", "/src/a.c"},
        {"/build", "/usr/include/x.h", "/usr/include/x.h"},
        {"/build/", "./x/./y//a.c", "/build/x/y/a.c"},
        {NULL, "a.c", "a.c"},
        {NULL, "./a.c", "a.c"},
        {NULL, "x/../a.c", "a.c"},
        {NULL, "../../a.c", "../../a.c"},
        {NULL, "../x/../a.c", "../a.c"},
        {"/", "../../a.c", "/a.c"},
        {"/usr/lib/gcc/12", "../../../include/c++/12/map", "/usr/include/c++/12/map"},
        {"", "a.c", "a.c"},
        {NULL, "", ""},
        {"/x", "..a/...", "/x/..a/..."},
    };
    struct hp_strings strings = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(hp_strings_path(&strings, cases[i].directory, cases[i].path), cases[i].wanted);
    hp_strings_free(&strings);
}

static void demangled_names(void **state)
{
    static const char *const cases[][2] = {
        {"_Z3fooi", "foo(int)"},
        {"_Znwm", "operator new(unsigned long)"},
        {"_ZN12_GLOBAL__N_13fooEv", "(anonymous namespace)::foo()"},
        {"_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place"},
        {"_RNvC4main3run", "main::run"},
        {"_Z3fooi.part.0", "foo(int) [clone .part.0]"},
        {"main", "main"},
        {"_start", "_start"},
        {"_Z", "_Z"},
        {"_ZN", "_ZN"},
        {"", ""},
    };
    struct hp_strings strings = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int again = 0; again < 2; again++)
            assert_string_equal(hp_strings_demangle(&strings, cases[i][0]), cases[i][1]);
    assert_ptr_equal(hp_strings_demangle(&strings, "main"), hp_strings_intern(&strings, "main"));
    hp_strings_free(&strings);
}

/* Each parameter is a pair of the one before it: the demangled name would have 2^60 parts. */
static void name_that_explodes(void **state)
{
    char name[4096] = "_Z1f1aIiiE";
    size_t used = strlen(name);
    for (int i = 0; i < 60; i++) {
        /* S_, S0_, ... S9_, SA_, ...: the substitutions so far, the last of them twice */
        char last[8] = "S_";
        if (i > 0)
            snprintf(last, sizeof last, i <= 36 ? "S%c_" : "S1%c_",
                     "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(i - 1) % 36]);
        used += (size_t)snprintf(name + used, sizeof name - used, "S_I%s%sE", last, last);
    }
    struct hp_strings strings = {0};
    const char *result = hp_strings_demangle(&strings, name);
    assert_true(strlen(result) <= 32 * 1024);
    hp_strings_free(&strings);
}

static void check_find(const struct hp_intervals *intervals, uint64_t address, int wanted)
{
    const struct hp_interval *found = hp_intervals_find(intervals, address);
    assert_int_equal(found ? (int)found->value : -1, wanted);
}

static void nested_ranges(void **state)
{
    struct hp_intervals intervals = {0};
    check_find(&intervals, 0, -1);
    hp_intervals_flatten(&intervals);
    hp_intervals_add(&intervals, 100, 200, 0, 0);
    hp_intervals_add(&intervals, 120, 180, 1, 1);
    hp_intervals_add(&intervals, 120, 180, 2, 2); /* an inlined call that is all of another */
    hp_intervals_add(&intervals, 130, 140, 3, 3);
    hp_intervals_add(&intervals, 150, 160, 3, 3);
    hp_intervals_add(&intervals, 300, 310, 4, 0);
    hp_intervals_add(&intervals, 305, 320, 5, 0); /* overlaps, without nesting */
    hp_intervals_add(&intervals, 400, 400, 6, 0); /* empty */
    hp_intervals_add(&intervals, UINT64_MAX - 1, UINT64_MAX, 7, 0);
    hp_intervals_flatten(&intervals);
    static const int wanted[][2] = {{99, -1},  {100, 0}, {119, 0}, {120, 2}, {129, 2},  {130, 3},
                                    {139, 3},  {140, 2}, {155, 3}, {160, 2}, {180, 0},  {199, 0},
                                    {200, -1}, {304, 4}, {305, 5}, {319, 5}, {320, -1}, {400, -1}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        check_find(&intervals, (uint64_t)wanted[i][0], wanted[i][1]);
    check_find(&intervals, UINT64_MAX - 1, 7);
    check_find(&intervals, UINT64_MAX, -1);
    for (size_t i = 1; i < intervals.count; i++)
        assert_true(intervals.items[i - 1].high <= intervals.items[i].low);
    hp_intervals_free(&intervals);
}

/* Against a search through all, the innermost being the one that begins last. */
static void random_nested_ranges(void **state)
{
    struct hp_intervals intervals = {0};
    uint8_t innermost[1024] = {0};
    uint32_t random = 99;
    uint64_t low = 0, high = 0;
    for (uint32_t value = 1; value < 200; value++) {
        random = random * 1664525 + 1013904223;
        uint64_t size = high - low;
        if (size < 8) {
            low = (random >> 8) % 8 * 128; /* a fresh nest, where none is yet */
            high = innermost[low] ? low : low + 128;
        } else {
            low += (random >> 8) % (size / 4);
            high -= (random >> 20) % (size / 4);
        }
        hp_intervals_add(&intervals, low, high, value, value);
        memset(innermost + low, (int)value, high - low);
    }
    hp_intervals_flatten(&intervals);
    for (uint64_t at = 0; at < sizeof innermost; at++)
        check_find(&intervals, at, innermost[at] ? innermost[at] : -1);
    hp_intervals_free(&intervals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_strings_are_one), cmocka_unit_test(paths),
        cmocka_unit_test(demangled_names),       cmocka_unit_test(name_that_explodes),
        cmocka_unit_test(nested_ranges),         cmocka_unit_test(random_nested_ranges),
    };
    return cmocka_run_group_tests_name("symbol tables", tests, NULL, NULL);
}
