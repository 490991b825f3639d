/* Sizes, durations, numbers and patterns: what is one, and what is not and leaves the result alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/parse.h"

#define NONE UINT64_MAX /* it is refused */

struct parse_case {
    const char *text;
    uint64_t value;
};

static void check(bool (*parse)(const char *, uint64_t *), const struct parse_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 12345;
        print_message("'%s'\n", cases[i].text);
        assert_int_equal(parse(cases[i].text, &value), cases[i].value != NONE);
        assert_int_equal(value, cases[i].value == NONE ? 12345 : cases[i].value);
    }
}

static void reads_sizes(void **state)
{
    static const struct parse_case cases[] = {
        {"0", 0},
        {"1", 1},
        {"524288", 524288},
        {"007", 7},
        {"4096B", 4096},
        {"512K", 524288},
        {"512k", 524288},
        {"512KB", 524288},
        {"512kB", 524288},
        {"512KiB", 524288},
        {"512kiB", 524288},
        {"3M", 3 << 20},
        {"3MiB", 3 << 20},
        {"2G", 2ull << 30},
        {"1024G", HP_SIZE_MOST},
        {"1024GiB", HP_SIZE_MOST},
        {"1048576M", HP_SIZE_MOST},
        {"1099511627776", HP_SIZE_MOST},
        {HP_SIZE_MOST_TEXT, HP_SIZE_MOST},
        /* too large, also where the product or the sum would overflow to something small */
        {"1099511627777", NONE},
        {"1025G", NONE},
        {"99999999999G", NONE},
        {"17179869184G", NONE},
        {"17179869185G", NONE},
        {"18446744073709551615", NONE},
        {"18446744073709551616", NONE},
        {"18446744073709551617", NONE},
        {"340282366920938463463374607431768211457", NONE},
        /* other spellings */
        {"1T", NONE},
        {"64Kib", NONE},
        {"64KIB", NONE},
        {"4096b", NONE},
        {"1Kb", NONE},
        {"1Ki", NONE},
        {"1iB", NONE},
        {"1KK", NONE},
        {"1KBB", NONE},
        {"1KiBs", NONE},
        {"1BK", NONE},
        {"1X", NONE},
        {"1.5K", NONE},
        {"1,5K", NONE},
        {"1e6", NONE},
        {"0x10", NONE},
        {"1'000", NONE},
        {"K", NONE},
        {"B", NONE},
        {"many", NONE},
        {"1\xef\xbc\xab", NONE},
        /* signs, blanks, nothing */
        {"", NONE},
        {" ", NONE},
        {" 1", NONE},
        {"1 ", NONE},
        {"1 K", NONE},
        {"1\n", NONE},
        {"\t1", NONE},
        {"-1", NONE},
        {"+1", NONE},
        {"-1K", NONE},
    };
    check(hp_parse_size, cases, sizeof cases / sizeof *cases);
}

static void reads_durations(void **state)
{
    static const struct parse_case cases[] = {
        {"0s", 0},
        {"1ms", 1000000},
        {"500ms", 500000000},
        {"90s", 90000000000},
        {"5m", 300000000000},
        {"1h", 3600000000000},
        {"8784h", HP_DURATION_MOST},
        {HP_DURATION_MOST_TEXT, HP_DURATION_MOST},
        {"8785h", NONE},
        {"527041m", NONE},
        {"9999999999h", NONE},
        {"18446744073709551617s", NONE},
        {"5124096h", NONE},
        {"30", NONE},
        {"0", NONE},
        {"s", NONE},
        {"3d", NONE},
        {"3ss", NONE},
        {"3sec", NONE},
        {"3us", NONE},
        {"3S", NONE},
        {"3M", NONE},
        {"3H", NONE},
        {"3MS", NONE},
        {"3mss", NONE},
        {"1.5s", NONE},
        {"1h30m", NONE},
        {"", NONE},
        {" 3s", NONE},
        {"3 s", NONE},
        {"3s ", NONE},
        {"-3s", NONE},
        {"+3s", NONE},
    };
    check(hp_parse_duration, cases, sizeof cases / sizeof *cases);
}

static void reads_numbers_up_to_a_limit(void **state)
{
    static const struct {
        const char *text;
        uint64_t most;
        uint64_t value;
        const char *rest;
    } cases[] = {
        {"0", 0, 0, ""},
        {"1", 0, NONE, "1"},
        {"64x", 64, 64, "x"},
        {"65", 64, NONE, "65"},
        {"9", 5, NONE, "9"},
        {"10", 12, 10, ""},
        {"13", 12, NONE, "13"},
        {"x", 9, NONE, "x"},
        {"", 9, NONE, ""},
        {"-1", 9, NONE, "-1"},
        {"18446744073709551614", UINT64_MAX, UINT64_MAX - 1, ""},
        {"18446744073709551616", UINT64_MAX, NONE, "18446744073709551616"},
        {"99999999999999999999", UINT64_MAX, NONE, "99999999999999999999"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text;
        uint64_t value = 12345;
        print_message("'%s' up to %llu\n", text, (unsigned long long)cases[i].most);
        assert_int_equal(hp_parse_number(&text, cases[i].most, &value), cases[i].value != NONE);
        assert_int_equal(value, cases[i].value == NONE ? 12345 : cases[i].value);
        assert_string_equal(text, cases[i].rest);
    }
}

static void makes_patterns_absolute(void **state)
{
    static const struct {
        const char *text, *directory, *pattern; /* NULL: refused */
    } cases[] = {
        {"a.%n", "/start", "/start/a.%n"},
        {"/tmp/%e", "/start", "/tmp/%e"},
        {"%e%p%n%t%%", "/s", "/s/%e%p%n%t%%"},
        {"x", "/50%e/100%", "/50%%e/100%%/x"},
        {"x", "", "x"},
        {"", "/start", NULL},
        {"%", "/start", NULL},
        {"a%", "/start", NULL},
        {"%z", "/start", NULL},
        {"%%%", "/start", NULL},
        {"%E", "/start", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char pattern[64] = "as it was";
        print_message("'%s'\n", cases[i].text);
        assert_int_equal(hp_parse_pattern(cases[i].text, cases[i].directory, pattern, sizeof pattern),
                         !!cases[i].pattern);
        assert_string_equal(pattern, cases[i].pattern ? cases[i].pattern : "as it was");
        size_t needed = cases[i].pattern ? strlen(cases[i].pattern) + 1 : 1;
        pattern[needed - 1] = '!';
        assert_false(hp_parse_pattern(cases[i].text, cases[i].directory, pattern, needed - 1));
        assert_int_equal(pattern[needed - 1], '!');
        if (cases[i].pattern)
            assert_true(hp_parse_pattern(cases[i].text, cases[i].directory, pattern, needed));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_sizes),
        cmocka_unit_test(reads_durations),
        cmocka_unit_test(reads_numbers_up_to_a_limit),
        cmocka_unit_test(makes_patterns_absolute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
