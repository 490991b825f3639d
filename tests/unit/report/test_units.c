#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "report/core/units.h"

static void shortens(const char *name, size_t width, const char *expected)
{
    char *text = hp_shorten_function(name, width);
    assert_string_equal(text, expected);
    assert_true(hp_text_width(text) <= width);
    free(text);
}

static const char reserve[] = "std::vector<std::pair<unsigned long, std::string>, "
                              "std::allocator<int> >::reserve(unsigned long)";

static void names_lose_what_tells_least_first(void **state)
{
    shortens("short", 10, "short");
    shortens(reserve, 200, reserve);
    shortens(reserve, 90, "std::vector<std::pair<unsigned long, std::string>, std::allocator<int> >::reserve(…)");
    shortens(reserve, 30, "std::vector<…>::reserve(…)");
    shortens(reserve, 25, "…::vector<…>::reserve(…)");
    shortens(reserve, 13, "…::reserve(…)");
    shortens(reserve, 12, "std::…rve(…)");
    shortens("alloc::raw_vec::RawVec<T,A>::grow_one", 16, "…::grow_one");
}

static void operators_and_plain_names_keep_their_sense(void **state)
{
    shortens("ns::operator<(ns::a const&, ns::b const&)", 20, "ns::operator<(…)");
    shortens("std::string std::operator+<char, std::traits<char> >(char const*, std::string&&)", 40,
             "std::string std::operator+<…>(…)");
    shortens("std::ostream& std::operator<< <char>(std::ostream&, char)", 38, "std::ostream& std::operator<< <…>(…)");
    shortens("a_function_of_c_with_a_long_name", 11, "a_fun…_name");
    shortens("(anonymous namespace)::make(int, int, int)", 31, "(anonymous namespace)::make(…)");
}

static void source_is_cut_at_the_right(void **state)
{
    char *text = hp_cut("    return strdup(key);", 12);
    assert_string_equal(text, "    return …");
    free(text);
    text = hp_cut("whole", 5);
    assert_string_equal(text, "whole");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lose_what_tells_least_first),
        cmocka_unit_test(operators_and_plain_names_keep_their_sense),
        cmocka_unit_test(source_is_cut_at_the_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
