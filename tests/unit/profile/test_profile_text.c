/* The text formats: what is read, what is refused, and that writing gives back what was read. */
#include <zlib.h>

#include "profile_help.h"

static void test_own_dump(void **state)
{
    struct hp_profile *profile = read_string(DUMP);
    assert_true(profile->interval == 524288);
    assert_false(profile->prescaled);
    assert_int_equal(profile->sample_count, 4);
    assert_int_equal(profile->samples[1].counts.live_bytes, 301);
    assert_int_equal(profile->samples[1].counts.alloc_objects, 4);
    assert_int_equal(profile->samples[3].depth, 0);
    assert_int_equal(profile->location_count, 5);
    assert_int_equal(profile->time_ns, 1700000000000000000);
    assert_string_equal(hp_profile_fact(profile, "heapprof.exe"), "/opt/a b/server");
    assert_string_equal(hp_profile_fact(profile, "heapprof.own_ns"), "99");
    assert_string_equal(hp_profile_fact(profile, "heapprof.allocator"), "glibc 2.36 (age 12 ms)");
    assert_string_equal(hp_profile_fact(profile, "HeapInuse"), "10559488");
    assert_null(hp_profile_fact(profile, "heapprof.module"));

    const struct hp_location *location = frame(profile, 0, 0);
    assert_int_equal(location->address, 0x401234);
    assert_int_equal(location->offset, 0x2234);
    assert_int_equal(location->module, 0);
    assert_string_equal(profile->modules[0].path, "/opt/a b/server");
    assert_string_equal(profile->modules[0].build_id, "00112233445566778899aabbccddeeff00112233");
    assert_int_equal(frame(profile, 2, 0)->offset, 0x262ff);
    assert_ptr_equal(frame(profile, 2, 1), frame(profile, 0, 1));
    assert_string_equal(profile->modules[2].path, "/tmp/new\nline\\.so");
    assert_string_equal(profile->modules[2].build_id, "");
    assert_int_equal(profile->modules[2].offset, 0x100000000);
    hp_profile_free(profile);
}

static void assert_rewritten(const char *text, const char *expected)
{
    struct hp_profile *profile = read_string(text);
    struct memory written = text_of(profile, false);
    assert_string_equal(written.data, expected);
    free(written.data);
    hp_profile_free(profile);
}

static void test_text_to_text(void **state)
{
    assert_rewritten(DUMP, DUMP);
    const char *exact = "heap profile: 1: 8 [1: 9] @ heapprofile\n"
                        "1: 8 [1: 8] @ 0x1000\n"
                        "MAPPED_LIBRARIES:\n";
    assert_rewritten(exact, exact);
    /* sorted by live, then allocated bytes; equal entries keep their order */
    assert_rewritten("heap profile: 0: 0 [0: 0] @ heap/1024\n"
                     "1: 8 [1: 8] @ 0x3\n1: 8 [1: 8] @ 0x4\n1: 8 [2: 16] @ 0x2\n2: 9 [2: 9] @ 0x1",
                     "heap profile: 5: 33 [6: 41] @ heap_v2/512\n"
                     "2: 9 [2: 9] @ 0x1\n1: 8 [2: 16] @ 0x2\n1: 8 [1: 8] @ 0x3\n1: 8 [1: 8] @ 0x4\n"
                     "MAPPED_LIBRARIES:\n");
}

static void test_front(void **state)
{
    /* The library's own frame goes, the fact that names it too; elsewhere in a stack the address
     * stays. */
    assert_rewritten(DUMP_HEADER DUMP_ENTRIES(" 0x7f0000010011") DUMP_FACTS
                     "# heapprof.front = 0x7f0000010011\n" DUMP_STATS DUMP_MAPS,
                     DUMP);
    struct hp_profile *profile = read_string("heap profile: 1: 8 [1: 8] @ heapprofile\n"
                                             "1: 8 [1: 8] @ 0x50 0x60 0x50\n2: 8 [2: 8] @ 0x60\n3: 8 [3: 8] @ 0x50\n"
                                             "# heapprof.front = 0x50\n");
    assert_int_equal(profile->samples[0].depth, 2);
    assert_int_equal(frame(profile, 0, 0)->address, 0x5f);
    assert_int_equal(frame(profile, 0, 1)->address, 0x4f);
    assert_int_equal(frame(profile, 1, 0)->address, 0x5f);
    assert_int_equal(profile->samples[2].depth, 0);
    assert_int_equal(profile->frame_count, 3);
    hp_profile_free(profile);
}

static const char go_text[] = "heap profile: 2: 300 [3: 400] @ heap/1048576\n"
                              "1: 200 [2: 300] @ 0x401101 0x401201 0x401300\n"
                              "#\t0x401100\tmain.inner+0x20\t\t\t\t/src/a.go:10\n"
                              "#\t0x401100\tmain.(*T).outer+0x40\t\t\t/src/b c.go:20\n"
                              "#\t0x401200\tstd::map<int, x<y> >::at(int const&)+0x1f  /src/c:d.cc:7\n"
                              "#\t0x401300\truntime.mstart+0x0\t\t/src/proc.go:1146\n"
                              "\n"
                              "1: 100 [1: 100] @ 0x401101 0x401999\n"
                              "#\t0x401100\tmain.inner+0x20\t/src/a.go:10\n"
                              "#\t0x401998\n"
                              "\n\n"
                              "# runtime.MemStats\n"
                              "# HeapIdle = 60088320\n"
                              "# PauseNs = [1 2 3]\n";

static void test_go_debug1(void **state)
{
    struct hp_profile *profile = read_string(go_text);
    assert_true(profile->interval == 524288);
    const struct hp_location *location = frame(profile, 0, 0);
    assert_int_equal(location->line_count, 2);
    assert_string_equal(location->lines[0].function, "main.inner");
    assert_int_equal(location->lines[0].entry_offset, 0x20);
    assert_string_equal(location->lines[1].function, "main.(*T).outer");
    assert_string_equal(location->lines[1].file, "/src/b c.go");
    assert_int_equal(location->lines[1].line, 20);
    location = frame(profile, 0, 1);
    assert_string_equal(location->lines[0].function, "std::map<int, x<y> >::at(int const&)");
    assert_string_equal(location->lines[0].file, "/src/c:d.cc");
    location = frame(profile, 0, 2); /* printed with its own address: no call in front of it */
    assert_string_equal(location->lines[0].function, "runtime.mstart");
    assert_false(frame(profile, 1, 1)->symbolized);
    assert_int_equal(profile->module_count, 0);
    assert_string_equal(hp_profile_fact(profile, "HeapIdle"), "60088320");
    assert_string_equal(hp_profile_fact(profile, "PauseNs"), "[1 2 3]");
    hp_profile_free(profile);
}

static void test_lines_round_trip(void **state)
{
    struct hp_profile *profile = read_string(go_text);
    struct memory once = text_of(profile, true);
    hp_profile_free(profile);
    profile = read_string(once.data);
    struct memory twice = text_of(profile, true);
    assert_string_equal(once.data, twice.data);
    assert_non_null(strstr(once.data, "@ 0x401101 0x401999\n"
                                      "#\t0x401100\tmain.inner+0x20\t/src/a.go:10\n"
                                      "#\t0x401100\tmain.(*T).outer+0x40\t/src/b c.go:20\n\n"));
    hp_profile_free(profile);
    free(once.data);
    free(twice.data);
}

/* A function that calls itself from one place: its lines come once for each call. */
static void test_direct_recursion(void **state)
{
    (void)state;
    static const char text[] = "heap profile: 1: 64 [1: 65] @ heapprofile\n"
                               "1: 64 [1: 64] @ 0x1001 0x2001 0x2001 0x2001 0x3001\n"
                               "#\t0x1000\tleaf+0x10\ta.c:1\n"
                               "#\t0x2000\tinlined+0x20\ta.c:2\n#\t0x2000\trec+0x20\ta.c:3\n"
                               "#\t0x2000\tinlined+0x20\ta.c:2\n#\t0x2000\trec+0x20\ta.c:3\n"
                               "#\t0x2000\tinlined+0x20\ta.c:2\n#\t0x2000\trec+0x20\ta.c:3\n"
                               "#\t0x3000\tmain+0x30\ta.c:4\n\n";
    struct hp_profile *profile = read_bytes(text, strlen(text));
    const struct hp_location *rec = &profile->locations[profile->frames[profile->samples[0].first + 1]];
    assert_int_equal(profile->samples[0].depth, 5);
    assert_int_equal(rec->line_count, 2);
    assert_string_equal(rec->lines[0].function, "inlined");
    assert_string_equal(rec->lines[1].function, "rec");
    hp_profile_free(profile);
}

static void test_gperftools(void **state)
{
    struct hp_profile *profile =
        read_string("heap profile:      2:     1048 [     9:     4096] @ heapprofile\n"
                    "     1:     1024 [     1:     1024] @ 0x55700010 0x55700020\n"
                    "     1:       24 [     8:     3072] @ 0x7f0010 0x55800001\n"
                    "\n"
                    "MAPPED_LIBRARIES:\n"
                    "build=/opt/build\n"
                    "55600000-55700000 r--p 00000000 08:01 1234      /usr/bin/git\n"
                    "55700000-55800000 r-xp 00100000 08:01 1234      $build/bin/git (deleted)\n"
                    "007f0000-007f1000: /lib/ld.so (@2000)\n"
                    "7ffd0000-7ffe0000 rw-p 00000000 00:00 0         [stack]\n");
    assert_true(profile->interval == 1);
    assert_int_equal(profile->module_count, 2);
    assert_string_equal(profile->modules[0].path, "/opt/build/bin/git");
    assert_int_equal(frame(profile, 0, 0)->offset, 0x10000f);
    assert_string_equal(profile->modules[1].path, "/lib/ld.so");
    assert_int_equal(frame(profile, 1, 0)->offset, 0x200f);
    assert_int_equal(frame(profile, 1, 1)->module, HP_NO_MODULE); /* the first byte behind git */
    hp_profile_free(profile);
}

static void test_jemalloc(void **state)
{
    struct hp_profile *profile = read_string("heap_v2/524288\n"
                                             "  t*: 14: 6784 [20: 9000]\n"
                                             "  t0: 14: 6784 [0: 0]\n"
                                             "@ 0x5f86da8 0x5f5a1dc\n"
                                             "  t*: 13: 6688 [0: 0]\n"
                                             "  t0: 12: 6656 [0: 0] worker\n"
                                             "  t3: 1: 32 [0: 0]\n"
                                             "@ 0x5f86da8\n"
                                             "  t*: 1: 96 [5: 480]\n"
                                             "\n"
                                             "MAPPED_LIBRARIES:\n"
                                             "05f00000-06000000 r-xp 00000000 08:01 9 /bin/x\n");
    assert_true(profile->interval == 524288);
    assert_int_equal(profile->sample_count, 2);
    assert_int_equal(profile->samples[0].counts.live_bytes, 6688);
    assert_int_equal(profile->samples[0].counts.alloc_bytes, 6688);
    assert_int_equal(profile->samples[1].counts.alloc_objects, 5);
    assert_int_equal(frame(profile, 1, 0)->offset, 0x86da7);
    hp_profile_free(profile);
}

#define HEADER "heap profile: 0: 0 [0: 0] @ heap_v2/4096\n"

static void test_malformed(void **state)
{
    static const struct {
        const char *text, *error; /* what the message must say */
    } cases[] = {
        {"", "empty"},
        {"\n \n", "no heap profile"},
        {"hello\n", "no heap profile"},
        {"heap profile:", "test.heap:1: "},
        {"heap profile: 1: 2 [3: 4 @ heap_v2/1\n", "test.heap:1: expected ']'"},
        {"heap profile: 1: 2 [3: 4] heap_v2/1\n", "expected '@"},
        {"heap profile: 1: 2 [3: 4] @ growthz\n", "type 'growthz'"},
        {"heap profile: 1: 2 [3: 4] @ heap_v2/x\n", "no interval"},
        {"heap profile: 1: 2 [3: 4] @ heap_v2/99999999999999999999\n", "no interval"},
        {"heap profile: 1: 2 [3: 4] @ heap_v2/1 and more\n", "unexpected text"},
        {HEADER "1: 2\n", "test.heap:2: expected '['"},
        {HEADER "\n\n1: 2 [3\n", "test.heap:4: expected ':'"},
        {HEADER "1: 2 [3: 4]\n", "expected '@'"},
        {HEADER "x: 2 [3: 4] @\n", "no counter"},
        {HEADER "1: 2 [3: 99999999999999999999] @\n", "no counter (or one over 2^63)"},
        {HEADER "-1: -8 [3: 40] @ 0x1\n", "negative"},
        {HEADER "0: 8 [3: 40] @ 0x1\n", "bytes without objects"},
        {HEADER "0: 0 [0: 40] @ 0x1\n", "bytes without objects"},
        {HEADER "4: 8 [3: 40] @ 0x1\n", "more is live"},
        {HEADER "1: 80 [3: 40] @ 0x1\n", "more is live"},
        {HEADER "1: 2 [3: 4] @ 0x1 0y2\n", "no address: 0y2"},
        {HEADER "1: 2 [3: 4] @ 0x1 0x\n", "no address"},
        {HEADER "1: 2 [3: 4] @ 0x12345678123456789\n", "no address"},
        {HEADER "1: 2 [3: 4] @ 0x1,0x2\n", "no address"},
        {HEADER "#\t0x1\tmain\t/a.c:1\n", "without function+0xoffset"},
        {HEADER "# heapprof.module = nonsense\n", "heapprof.module"},
        {HEADER "# heapprof.front = 12\n", "heapprof.front"},
        {HEADER "MAPPED_LIBRARIES:\nnonsense\n", "test.heap:3: not a line of a memory map"},
        {HEADER "MAPPED_LIBRARIES:\n2000-1000 r-xp 0 0:0 0 /a\n", "ends before it starts"},
        {HEADER "MAPPED_LIBRARIES:\n1000-2000 r-xp 0 0:0\n", "not a line of a memory map"},
        {"heap_v2/\n", "expected 'heap_v2/INTERVAL'"},
        {"heap_v2/4096\n@ 0x1\n", "before the last stack's t* line"},
        {"heap_v2/4096\n@ 0x1\n@ 0x2\n", "test.heap:3: the stack before has no t* line"},
        {"heap_v2/4096\n@ 0x1\n  t*: 1: 2 [0: 0]\n  t*: 1: 2 [0: 0]\n", "a second t* line"},
        {"heap_v2/4096\n  t*: 1 2\n", "expected ':'"},
        {"heap_v2/4096\nnonsense\n", "neither a stack nor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hp_error error;
        if (!read_cut(cases[i].text, strlen(cases[i].text), &error))
            fail_msg("was read: %s", cases[i].text);
        if (!strstr(error.text, cases[i].error))
            fail_msg("case %zu says '%s'", i, error.text);
    }
}

static void test_nul_and_long_lines(void **state)
{
    struct hp_error error;
    static const char nul[] = HEADER "1: 2 [3: 4] @ 0x1\0 0x2\n";
    assert_int_not_equal(read_cut(nul, sizeof nul - 1, &error), 0);
    assert_non_null(strstr(error.text, "NUL"));
    size_t size = 5 << 20;
    char *line = malloc(size);
    memset(line, ' ', size);
    memcpy(line, HEADER, sizeof HEADER - 1);
    assert_int_not_equal(read_cut(line, size, &error), 0);
    assert_non_null(strstr(error.text, "a line of more than"));
    free(line);
}

/* Everything up to any byte, and with any one byte damaged: an error or a valid profile. */
static void test_cut_and_damaged(void **state)
{
    static const char *const texts[] = {
        DUMP_HEADER DUMP_ENTRIES(" 0x7f0000010011") DUMP_FACTS
        "# heapprof.front = 0x7f0000010011\n" DUMP_STATS DUMP_MAPS,
        go_text, "heap_v2/4096\n@ 0x1 0x2\n  t*: 1: 2 [3: 4]\n\nMAPPED_LIBRARIES:\na=/b\n1-2: $a\n"};
    static const char bytes[] = {'\0', '\n', ' ', '0', '\\', '=', '\xff'};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct hp_error error;
        size_t size = strlen(texts[i]);
        char *copy = strdup(texts[i]);
        for (size_t k = 0; k <= size; k++)
            read_cut(copy, k, &error);
        for (size_t k = 0; k < size; k++) {
            for (size_t b = 0; b < sizeof bytes; b++) {
                copy[k] = bytes[b];
                read_cut(copy, size, &error);
            }
            copy[k] = texts[i][k];
        }
        free(copy);
    }
}

static struct memory pack(const void *data, size_t size)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    struct memory packed = {malloc(size + 1000), 0};
    stream.next_in = (void *)(uintptr_t)data;
    stream.avail_in = (unsigned)size;
    stream.next_out = (void *)packed.data;
    stream.avail_out = (unsigned)size + 1000;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    packed.size = stream.total_out;
    deflateEnd(&stream);
    return packed;
}

static void test_gzip(void **state)
{
    struct memory packed = pack(DUMP, sizeof DUMP - 1);
    struct hp_profile *profile = read_bytes(packed.data, packed.size);
    assert_int_equal(profile->sample_count, 4);
    hp_profile_free(profile);
    struct hp_error error;
    for (size_t k = 0; k < packed.size; k++)
        assert_int_not_equal(read_cut(packed.data, k, &error), 0);
    assert_non_null(strstr(error.text, "ends too early"));
    packed.data[packed.size - 6] ^= 1; /* the checksum */
    assert_int_not_equal(read_cut(packed.data, packed.size, &error), 0);
    free(packed.data);

    /* two members are one file */
    struct memory first = pack(HEADER, sizeof HEADER - 1);
    struct memory second = pack("1: 8 [1: 8] @ 0x1\n", 18);
    append(&first, second.data, second.size);
    profile = read_bytes(first.data, first.size);
    assert_int_equal(profile->sample_count, 1);
    hp_profile_free(profile);
    free(first.data);
    free(second.data);
}

static void test_bomb(void **state)
{
    /* A text of blanks packs 1:1030; 80 MiB of it is past what is unpacked without asking. */
    size_t size = 80 << 20;
    char *text = malloc(size);
    memset(text, ' ', size);
    for (size_t i = 0; i < size; i += 65536)
        text[i] = '\n';
    memcpy(text, HEADER, sizeof HEADER - 1);
    struct memory packed = pack(text, size);
    free(text);
    struct hp_error error;
    assert_int_not_equal(read_cut(packed.data, packed.size, &error), 0);
    assert_non_null(strstr(error.text, "unpacks to more than"));
    free(packed.data);
}

static void test_files(void **state)
{
    struct hp_profile *profile;
    struct hp_error error;
    assert_true(hp_profile_read("/nonexistent/x.heap", &profile, &error) < 0);
    assert_non_null(strstr(error.text, "/nonexistent/x.heap"));
    assert_true(hp_profile_read("/", &profile, &error) < 0);
    assert_non_null(strstr(error.text, "folder"));
}

static uint64_t missing(const char *text)
{
    struct hp_profile *profile = read_string(text);
    uint64_t objects = profile->missing_objects;
    hp_profile_free(profile);
    return objects;
}

static void test_missing_entries(void **state)
{
    assert_int_equal(missing(DUMP), 0);
    assert_int_equal(missing(go_text), 0);
    assert_int_equal(missing("heap profile: 3: 30 [8: 80] @ heap_v2/4096\n1: 10 [5: 50] @ 0x1\n"), 3);
    assert_int_equal(missing("heap profile: 3: 30 [0: 0] @ heapprofile\n1: 10 [0: 0] @ 0x1\n"), 2);
    assert_int_equal(missing("heap profile: 1: 10 [1: 10] @ heapprofile\n2: 20 [2: 20] @ 0x1\n"), 0);
}

static void test_same_process(void **state)
{
    struct hp_profile *a = read_string(DUMP), *b = read_string(DUMP), *c = read_string(go_text);
    assert_true(hp_profile_same_process(a, b));
    assert_false(hp_profile_same_process(a, c));
    assert_false(hp_profile_same_process(c, c));
    hp_profile_free(a);
    hp_profile_free(b);
    hp_profile_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_dump),
        cmocka_unit_test(test_text_to_text),
        cmocka_unit_test(test_front),
        cmocka_unit_test(test_go_debug1),
        cmocka_unit_test(test_lines_round_trip),
        cmocka_unit_test(test_direct_recursion),
        cmocka_unit_test(test_gperftools),
        cmocka_unit_test(test_jemalloc),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_nul_and_long_lines),
        cmocka_unit_test(test_cut_and_damaged),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_missing_entries),
        cmocka_unit_test(test_same_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
