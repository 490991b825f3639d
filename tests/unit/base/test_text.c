/* The text writer: each kind of line, names that want to break one, the limit on lines, and failing sinks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_writer.h"

struct output {
    char *data;
    size_t size;
    size_t fail_after; /* bytes; 0: never */
    unsigned calls;
};

static struct output output;
static struct {
    char buffer[HP_TEXT_BUFFER], guard[32];
} memory;

static int take(void *state, const void *data, size_t size)
{
    struct output *to = state;
    assert_true(size > 0 && size <= HP_TEXT_BUFFER);
    to->calls++;
    if (to->fail_after && to->size + size > to->fail_after)
        return to->calls == 1 ? -ENOSPC : -EIO;
    to->data = realloc(to->data, to->size + size + 1);
    memcpy(to->data + to->size, data, size);
    to->size += size;
    to->data[to->size] = '\0';
    return 0;
}

static struct hp_text begin(void)
{
    struct hp_text text;
    free(output.data);
    output = (struct output){0};
    hp_text_init(&text, take, &output, memory.buffer);
    return text;
}

static char *repeat(char c, size_t size)
{
    char *string = malloc(size + 1);
    memset(string, c, size);
    string[size] = '\0';
    return string;
}

static void expect(struct hp_text *text, const char *wanted)
{
    assert_int_equal(hp_text_end(text), 0);
    assert_string_equal(output.data ? output.data : "", wanted);
    *text = begin();
}

static int forget_output(void **state)
{
    free(output.data);
    output = (struct output){0};
    return 0;
}

static void writes_headers(void **state)
{
    struct hp_text text = begin();
    const struct hp_counts some = {13, 1065160, 2815614, 125248125936}, same = {2, 100, 2, 100}, none = {0};
    hp_text_header(&text, &some, 524288);
    expect(&text, "heap profile: 13: 1065160 [2815614: 125248125936] @ heap_v2/524288\n");
    hp_text_header(&text, &some, 1);
    expect(&text, "heap profile: 13: 1065160 [2815614: 125248125936] @ heapprofile\n");
    hp_text_header(&text, &same, 4096);
    expect(&text, "heap profile: 2: 100 [2: 101] @ heap_v2/4096\n");
    hp_text_header(&text, &none, 4096);
    expect(&text, "heap profile: 0: 0 [0: 1] @ heap_v2/4096\n");
}

static void writes_entries(void **state)
{
    struct hp_text text = begin();
    const struct hp_counts counts = {4, 425984, 2677, 285089792};
    const struct hp_counts huge = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    const uint64_t addresses[] = {0x55d0c0a01332, 0x55d0c0a00d25, UINT64_MAX, 0};
    hp_text_entry(&text, &counts, addresses, 2);
    expect(&text, "4: 425984 [2677: 285089792] @ 0x55d0c0a01332 0x55d0c0a00d25\n");
    hp_text_entry(&text, &huge, addresses, 4);
    expect(&text, "18446744073709551615: 18446744073709551615 [18446744073709551615: 18446744073709551615] @"
                  " 0x55d0c0a01332 0x55d0c0a00d25 0xffffffffffffffff 0x0\n");
    hp_text_entry(&text, &counts, NULL, 0);
    expect(&text, "4: 425984 [2677: 285089792] @\n");
}

/* Of 1 to 16 digits, and every digit at every place. */
static void writes_all_addresses(void **state)
{
    const struct hp_counts counts = {1, 2, 3, 4};
    struct hp_text text = begin();
    for (uint64_t digit = 0; digit < 16; digit++)
        for (unsigned place = 0; place < 16; place++) {
            char wanted[64];
            const uint64_t address = digit << (4 * place) | (place ? 0x7edcba9876543210 >> (64 - 4 * place) : 0);
            snprintf(wanted, sizeof wanted, "1: 2 [3: 4] @ 0x%llx\n", (unsigned long long)address);
            hp_text_entry(&text, &counts, &address, 1);
            expect(&text, wanted);
        }
}

static void writes_addresses_at_the_end_of_the_buffer(void **state)
{
    const struct hp_counts counts = {1, 2, 3, 4};
    for (size_t before = HP_TEXT_BUFFER - 100; before < HP_TEXT_BUFFER; before++) {
        char *name = repeat('x', before), *end = NULL;
        const uint64_t addresses[] = {UINT64_MAX, 1, 0x55d0c0a01332, UINT64_MAX};
        struct hp_text text = begin();
        hp_text_put(&text, name);
        hp_text_entry(&text, &counts, addresses, 4);
        assert_true(asprintf(&end, "%s1: 2 [3: 4] @ 0xffffffffffffffff 0x1 0x55d0c0a01332 0xffffffffffffffff\n", name) >
                    0);
        expect(&text, end);
        free(end);
        free(name);
    }
    for (size_t i = 0; i < sizeof memory.guard; i++)
        assert_int_equal(memory.guard[i], 0);
}

static void writes_frames_and_facts(void **state)
{
    struct hp_text text = begin();
    hp_text_frame(&text, 0x55d0c0a01331, "fill", 0x42, "/src/a.c", 17);
    hp_text_frame(&text, 0x10, "bare", 0, NULL, 0);
    hp_text_blank(&text);
    expect(&text, "#\t0x55d0c0a01331\tfill+0x42\t/src/a.c:17\n#\t0x10\tbare+0x0\t\n\n");
    hp_text_fact(&text, "HeapInuse", 12);
    hp_text_fact_string(&text, "heapprof.allocator", "glibc 2.36");
    expect(&text, "# HeapInuse = 12\n# heapprof.allocator = glibc 2.36\n");
    hp_text_comment(&text);
    hp_text_put(&text, "a=");
    hp_text_put_dec(&text, UINT64_MAX);
    hp_text_put_hex(&text, UINT64_MAX);
    hp_text_line_end(&text);
    expect(&text, "# a=18446744073709551615ffffffffffffffff\n");
}

static void writes_maps(void **state)
{
    struct hp_text text = begin();
    hp_text_module(&text, 0x7f0000001000, "00ff");
    hp_text_maps_begin(&text);
    hp_text_map(&text, 0x7f0000001000, 0x7f0000002000, 0x1000, "/lib/x y.so");
    hp_text_map(&text, 0, 1, 0, "");
    hp_text_map(&text, 0x10, 0x20, 0x123456789, "/big");
    expect(&text, "# heapprof.module = 0x7f0000001000 00ff\n"
                  "MAPPED_LIBRARIES:\n"
                  "7f0000001000-7f0000002000 r-xp 00001000 00:00 0 /lib/x y.so\n"
                  "0-1 r-xp 00000000 00:00 0 \n"
                  "10-20 r-xp 123456789 00:00 0 /big\n");
}

static void escapes_what_breaks_lines(void **state)
{
    struct hp_text text = begin();
    hp_text_put_name(&text, "a\nb\tc\\d\177e\001f \303\244\"'#=");
    expect(&text, "a\\012b\\011c\\134d\\177e\\001f \303\244\"'#=");
    hp_text_frame(&text, 1, "f\ng", 0, "x\ny.c", 1);
    expect(&text, "#\t0x1\tf\\012g+0x0\tx\\012y.c:1\n");
    hp_text_map(&text, 0, 1, 0, "/tmp/\nMAPPED");
    expect(&text, "0-1 r-xp 00000000 00:00 0 /tmp/\\012MAPPED\n");
}

static size_t longest_line(void)
{
    size_t longest = 0;
    for (const char *line = output.data; *line;) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        if ((size_t)(end - line) + 1 > longest)
            longest = (size_t)(end - line) + 1;
        line = end + 1;
    }
    return longest;
}

static unsigned count(char wanted)
{
    unsigned n = 0;
    for (const char *p = output.data; *p; p++)
        n += *p == wanted;
    return n;
}

static void keeps_entries_within_a_line(void **state)
{
    enum { MANY = 20000 };
    static uint64_t addresses[MANY];
    const struct hp_counts huge = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    for (unsigned i = 0; i < MANY; i++)
        addresses[i] = UINT64_MAX - i;
    struct hp_text text = begin();
    hp_text_entry(&text, &huge, addresses, 512); /* the deepest stack of the library: all of it */
    assert_int_equal(hp_text_end(&text), 0);
    assert_int_equal(count('x'), 512);
    assert_true(longest_line() <= HP_TEXT_LINE_MAX);
    text = begin();
    hp_text_entry(&text, &huge, addresses, MANY); /* read from some file: its innermost frames */
    assert_int_equal(hp_text_end(&text), 0);
    assert_true(longest_line() <= HP_TEXT_LINE_MAX && longest_line() > HP_TEXT_LINE_MAX - 256);
    assert_non_null(strstr(output.data, "@ 0xffffffffffffffff 0xfffffffffffffffe"));
}

static void keeps_names_within_a_line(void **state)
{
    const char letters[] = {'n', '\n'};
    for (unsigned i = 0; i < 2; i++) {
        char *name = repeat(letters[i], 1 << 20);
        struct hp_text text = begin();
        hp_text_frame(&text, UINT64_MAX, name, UINT64_MAX, name, UINT32_MAX);
        hp_text_fact_string(&text, "name", name);
        hp_text_map(&text, UINT64_MAX, UINT64_MAX, UINT64_MAX, name);
        assert_int_equal(hp_text_end(&text), 0);
        assert_true(longest_line() <= HP_TEXT_LINE_MAX && longest_line() > HP_TEXT_LINE_MAX - 256);
        assert_int_equal(count('\n'), 3);
        assert_non_null(strstr(output.data, "...+0xffffffffffffffff\t"));
        assert_non_null(strstr(output.data, "...:4294967295\n"));
        free(name);
    }
    char *fits = repeat('f', HP_TEXT_NAME_MAX - 3);
    struct hp_text text = begin();
    hp_text_put_name(&text, fits);
    expect(&text, fits);
    free(fits);
}

static void writes_more_than_a_buffer(void **state)
{
    char *long_name = repeat('x', 3 * HP_TEXT_BUFFER + 17);
    struct hp_text text = begin();
    hp_text_put(&text, long_name);
    expect(&text, long_name);
    for (unsigned i = 0; i < HP_TEXT_BUFFER; i++)
        hp_text_put(&text, "y");
    assert_int_equal(output.calls, 0); /* a full buffer waits */
    hp_text_put(&text, "z");
    assert_int_equal(output.calls, 1);
    assert_int_equal(hp_text_end(&text), 0);
    assert_int_equal(output.size, HP_TEXT_BUFFER + 1);
    free(long_name);
}

static void keeps_the_first_error(void **state)
{
    char *long_name = repeat('x', HP_TEXT_BUFFER);
    struct hp_text text = begin();
    output.fail_after = 1;
    for (unsigned i = 0; i < 5; i++)
        hp_text_put(&text, long_name);
    hp_text_line_end(&text);
    assert_int_equal(text.error, -ENOSPC);
    assert_int_equal(hp_text_end(&text), -ENOSPC);
    assert_int_equal(output.calls, 1); /* nothing is tried after a failure */
    assert_int_equal(hp_text_end(&text), -ENOSPC);
    assert_int_equal(output.size, 0);
    free(long_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(writes_headers, forget_output),
        cmocka_unit_test_teardown(writes_entries, forget_output),
        cmocka_unit_test_teardown(writes_all_addresses, forget_output),
        cmocka_unit_test_teardown(writes_addresses_at_the_end_of_the_buffer, forget_output),
        cmocka_unit_test_teardown(writes_frames_and_facts, forget_output),
        cmocka_unit_test_teardown(writes_maps, forget_output),
        cmocka_unit_test_teardown(escapes_what_breaks_lines, forget_output),
        cmocka_unit_test_teardown(keeps_entries_within_a_line, forget_output),
        cmocka_unit_test_teardown(keeps_names_within_a_line, forget_output),
        cmocka_unit_test_teardown(writes_more_than_a_buffer, forget_output),
        cmocka_unit_test_teardown(keeps_the_first_error, forget_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
