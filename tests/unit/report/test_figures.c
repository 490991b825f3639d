#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "report/core/units.h"

static void writes_figures(void **state)
{
    static const struct {
        double value;
        bool bytes;
        const char *text;
    } cases[] = {
        {0, true, "0 B"},
        {0.4, true, "0 B"},
        {-0.4, true, "0 B"},
        {1023, true, "1023 B"},
        {1023.6, true, "1.0 KiB"},
        {1024, true, "1.0 KiB"},
        {1048575, true, "1.0 MiB"},
        {12582912, true, "12.0 MiB"},
        {-12582912, true, "-12.0 MiB"},
        {1e30, true, "8.7e+11 EiB"},
        {12345678, false, "12345678"},
        {-3, false, "-3"},
    };
    char text[HP_FIGURE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(hp_figure(text, cases[i].value, cases[i].bytes), cases[i].text);
    assert_string_equal(hp_signed_figure(text, 2048, true), "+2.0 KiB");
    assert_string_equal(hp_signed_figure(text, -2048, true), "-2.0 KiB");
    assert_string_equal(hp_signed_figure(text, 0, true), "0 B");
    assert_string_equal(hp_percent(text, 1, 3), "33.3%");
    assert_string_equal(hp_percent(text, 1, 0), "-");
}

static void cleans_and_shortens(void **state)
{
    static const struct {
        const char *dirty, *clean;
    } cases[] = {
        {"plain", "plain"},         {"a\033[31mb\n", "a?[31mb?"}, {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"bad \xff\xc3", "bad ??"}, {"\xc0\xaf", "??"},           {"\xed\xa0\x80", "???"},
        {"\xc2\x9b", "?"},          {"\xf4\x90\x80\x80", "????"}, {"\xe2\x82", "??"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *clean = hp_clean(cases[i].dirty);
        assert_string_equal(clean, cases[i].clean);
        free(clean);
    }
    for (size_t width = 0; width < 12; width++) {
        char *shorter = hp_shorten("gr\xc3\xbc\xc3\x9f Gott", width);
        assert_true(hp_text_width(shorter) <= width);
        free(shorter);
    }
    static const struct {
        const char *name;
        size_t width;
        const char *shorter;
    } functions[] = {
        {"f(int, long)", 12, "f(int, long)"},
        {"f(int, long)", 11, "f(…)"},
        {"main()", 5, "ma…()"},
        {"a<b<c>, d>::f<int>(g<h> const&)", 22, "a<b<c>, d>::f<int>(…)"},
        {"a<b<c>, d>::f<int>(g<h> const&)", 20, "a<…>::f<…>(…)"},
        {"(anonymous namespace)::f(int, long)", 30, "(anonymous namespace)::f(…)"},
        {"operator<< <char>(std::ostream&)", 19, "operator<< <…>(…)"},
        {"x::operator()(int, long, int) const", 25, "x::operator()(…) const"},
        {"<T as alloc::Trait<u8, u16>>::grow", 28, "<T as alloc::Trait<…>>::grow"},
        {"broken<((", 6, "br…<(("},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        char *got = hp_shorten_function(functions[i].name, functions[i].width);
        print_message("%s\n", got);
        assert_string_equal(got, functions[i].shorter);
        free(got);
    }
    char *shorter = hp_shorten("abcdefghij", 7);
    assert_string_equal(shorter, "abc…hij");
    free(shorter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_figures),
        cmocka_unit_test(cleans_and_shortens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
