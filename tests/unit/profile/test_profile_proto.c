/* profile.proto: that text survives the way through it, what foreign writers leave out, and damaged
 * files. */
#include <zlib.h>

#include "profile/proto.h"
#include "profile_help.h"

static void assert_survives(const char *text)
{
    struct hp_profile *profile = read_string(text);
    struct memory before = text_of(profile, false), proto = proto_of(profile);
    struct hp_profile *again = read_bytes(proto.data, proto.size);
    struct memory after = text_of(again, false), proto_again = proto_of(again);
    assert_false(again->prescaled);
    assert_string_equal(before.data, after.data);
    assert_int_equal(proto.size, proto_again.size);
    assert_memory_equal(proto.data, proto_again.data, proto.size);
    for (int type = 0; type < HP_SAMPLE_TYPES; type++)
        assert_true(total(profile, type) == total(again, type));
    assert_true(again->time_ns == profile->time_ns);
    hp_profile_free(profile);
    hp_profile_free(again);
    free(before.data);
    free(after.data);
    free(proto.data);
    free(proto_again.data);
}

static void test_text_survives(void **state)
{
    assert_survives(DUMP);
    assert_survives("heap profile: 1: 2 [3: 4] @ heapprofile\n1: 0 [2: 8] @ 0x1 0x2\n");
    assert_survives("heap profile: 1: 2 [3: 4] @ heap_v2/0\n1: 7 [2: 8] @ 0x1 0x2\n");
    assert_survives("heap profile: 1: 2 [3: 4] @ heap_v2/1\n1: 7 [2: 8] @ 0x1 0x2\n");
    assert_survives("heap profile: 0: 0 [0: 0] @ heap_v2/524288\n");
    /* two entries of one stack, each size class on its own */
    assert_survives("heap profile: 1: 2 [3: 4] @ heap_v2/524288\n"
                    "1: 700000 [1: 700000] @ 0x1 0x2\n1: 7 [2: 14] @ 0x1 0x2\n");
}

static void test_main_module_first(void **state)
{
    struct hp_profile *profile = read_string("heap profile: 0: 0 [0: 0] @ heapprofile\n"
                                             "1: 8 [1: 8] @ 0x1001 0x2001 0x3001 0x9001\n"
                                             "# heapprof: exe=/bin/x\n"
                                             "MAPPED_LIBRARIES:\n"
                                             "1000-2000 r-xp 00000000 00:00 0 /lib/a\n"
                                             "2000-3000 r-xp 00000000 00:00 0 /lib/b\n"
                                             "3000-4000 r-xp 00000000 00:00 0 /bin/x\n");
    struct memory proto = proto_of(profile);
    struct hp_profile *again = read_bytes(proto.data, proto.size);
    static const char *const order[] = {"/bin/x", "/lib/a", "/lib/b"};
    assert_int_equal(again->module_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(again->modules[i].path, order[i]);
    assert_string_equal(again->modules[frame(again, 0, 0)->module].path, "/lib/a");
    assert_string_equal(again->modules[frame(again, 0, 2)->module].path, "/bin/x");
    assert_int_equal(frame(again, 0, 3)->module, HP_NO_MODULE);
    hp_profile_free(profile);
    hp_profile_free(again);
    free(proto.data);
}

/* Mixed sizes within an entry, where rounding loses the sampled bytes. */
static void test_any_counters_survive(void **state)
{
    uint64_t seed = 12345;
    for (int i = 0; i < 300; i++) {
        uint64_t numbers[4];
        for (int k = 0; k < 4; k++) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            numbers[k] = seed >> 33;
        }
        unsigned live = 1 + numbers[0] % 40, alloc = live + numbers[1] % 1000;
        unsigned bytes = live + (unsigned)(numbers[2] >> numbers[0] % 30);
        unsigned long all = bytes + (numbers[3] >> numbers[1] % 30);
        char text[200];
        snprintf(text, sizeof text, "heap profile: 0: 0 [0: 0] @ heap_v2/%u\n%u: %u [%u: %lu] @ 0x9\n",
                 1U << numbers[2] % 24, live, bytes, alloc, all);
        assert_survives(text);
    }
}

static void test_lines_survive(void **state)
{
    struct hp_profile *profile = read_string(DUMP);
    const struct hp_line lines[] = {
        {.function = "inner(int)", .linkage = "_Z5inneri", .file = "a.cc", .line = 3, .start_line = 1},
        {.function = "outer", .linkage = "", .file = "b.cc", .line = 7},
    };
    uint32_t location = profile->frames[profile->samples[0].first];
    hp_profile_set_lines(profile, location, lines, 2);
    struct memory proto = proto_of(profile);
    struct hp_profile *again = read_bytes(proto.data, proto.size);
    const struct hp_location *read = frame(again, 0, 0);
    assert_int_equal(read->line_count, 2);
    assert_string_equal(read->lines[0].function, "inner(int)");
    assert_string_equal(read->lines[0].linkage, "_Z5inneri");
    assert_string_equal(read->lines[0].file, "a.cc");
    assert_int_equal(read->lines[0].line, 3);
    assert_int_equal(read->lines[0].start_line, 1);
    assert_string_equal(read->lines[1].linkage, "");
    assert_true(read->symbolized);
    assert_false(frame(again, 0, 1)->symbolized);
    hp_profile_free(profile);
    hp_profile_free(again);
    free(proto.data);
}

/* ---------------------------------------------------------------- files made by hand */

struct maker {
    struct hp_buffer file;
    uint64_t strings;
};

static uint64_t string(struct maker *maker, const char *text)
{
    hp_put_bytes(&maker->file, HP_PROFILE_STRING, text, strlen(text));
    return maker->strings++;
}

/* `name`: with its unit, "NAME/UNIT", or without. */
static void value_type(struct maker *maker, unsigned field, const char *name)
{
    struct hp_buffer type = {0};
    char copy[64];
    snprintf(copy, sizeof copy, "%s", name);
    char *unit = strchr(copy, '/');
    if (unit)
        *unit++ = '\0';
    hp_put_number(&type, HP_VALUE_TYPE, string(maker, copy));
    if (unit)
        hp_put_number(&type, HP_VALUE_UNIT, string(maker, unit));
    hp_put_message(&maker->file, field, &type);
    free(type.data);
}

static void message(struct maker *maker, unsigned field, size_t count, const uint64_t (*numbers)[2])
{
    struct hp_buffer message = {0};
    for (size_t i = 0; i < count; i++)
        hp_put_number(&message, (unsigned)numbers[i][0], numbers[i][1]);
    hp_put_message(&maker->file, field, &message);
    free(message.data);
}

static void label(struct hp_buffer *sample, uint64_t key, uint64_t number)
{
    struct hp_buffer label = {0};
    hp_put_number(&label, HP_LABEL_KEY, key);
    hp_put_number(&label, HP_LABEL_NUMBER, number);
    hp_put_message(sample, HP_SAMPLE_LABEL, &label);
    free(label.data);
}

/* Go's order of the file: samples come before what they refer to; numbers are not packed; no
 * mapping. */
static struct maker foreign(const char *const *types, size_t count, const uint64_t *values)
{
    struct maker maker = {0};
    string(&maker, "");
    uint64_t bytes = string(&maker, "bytes"), name = string(&maker, "work");
    for (size_t i = 0; i < count; i++)
        value_type(&maker, HP_PROFILE_SAMPLE_TYPE, types[i]);
    struct hp_buffer sample = {0};
    hp_put_number(&sample, HP_SAMPLE_LOCATION, 900);
    for (size_t i = 0; i < count; i++)
        hp_put_number(&sample, HP_SAMPLE_VALUE, values[i]);
    label(&sample, bytes, 1024);
    hp_put_message(&maker.file, HP_PROFILE_SAMPLE, &sample);
    sample.size = 0;
    struct hp_buffer line = {0};
    hp_put_number(&line, HP_LINE_FUNCTION, 77);
    hp_put_number(&line, HP_LINE_LINE, 12);
    hp_put_number(&sample, HP_LOCATION_ID, 900);
    hp_put_number(&sample, HP_LOCATION_ADDRESS, 0x1234);
    hp_put_message(&sample, HP_LOCATION_LINE, &line);
    hp_put_message(&maker.file, HP_PROFILE_LOCATION, &sample);
    message(&maker, HP_PROFILE_FUNCTION, 2, (const uint64_t[][2]){{HP_FUNCTION_ID, 77}, {HP_FUNCTION_NAME, name}});
    hp_put_number(&maker.file, HP_PROFILE_PERIOD, 524288);
    hp_put_number(&maker.file, HP_PROFILE_TIME_NANOS, 5);
    hp_put_number(&maker.file, HP_PROFILE_DEFAULT_TYPE, 3);
    hp_put_number(&maker.file, HP_PROFILE_COMMENT, string(&maker, "free text"));
    free(sample.data);
    free(line.data);
    return maker;
}

static void test_foreign(void **state)
{
    /* three objects of 1 KiB were drawn: 3 / p = 1537.5 */
    struct maker maker = foreign((const char *[]){"inuse_space", "alloc_objects", "inuse_objects", "alloc_space"}, 4,
                                 (const uint64_t[]){1574401, 3075, 1537, 3148802});
    struct hp_profile *profile = read_bytes(maker.file.data, maker.file.size);
    assert_true(profile->prescaled);
    assert_true(profile->interval == 524288);
    assert_true(profile->time_ns == 5);
    assert_string_equal(profile->default_type, "inuse_space");
    assert_string_equal(hp_profile_fact(profile, "comment"), "free text");
    assert_true(total(profile, HP_INUSE_SPACE) == 1574401);
    assert_true(total(profile, HP_INUSE_OBJECTS) == 1537);
    assert_true(total(profile, HP_ALLOC_SPACE) == 3148802);
    assert_true(total(profile, HP_ALLOC_OBJECTS) == 3075);
    assert_int_equal(profile->samples[0].counts.live_objects, 3);
    assert_int_equal(profile->samples[0].counts.alloc_objects, 6);
    struct hp_estimate e = hp_sample_estimate(profile, profile->samples, HP_INUSE_SPACE, false);
    assert_int_equal(e.samples, 3);
    assert_true(fabs(e.variance / (3 * 524800.0 * 524800.0) - 1) < 0.01);
    assert_string_equal(frame(profile, 0, 0)->lines[0].function, "work");
    assert_int_equal(frame(profile, 0, 0)->module, HP_NO_MODULE);

    /* as text: exact, with its own figures, which then stay */
    struct memory text = text_of(profile, true);
    assert_non_null(strstr(text.data, "1537: 1574401 [3075: 3148802] @ 0x1235\n"
                                      "#\t0x1234\twork+0x0\t"));
    assert_non_null(strstr(text.data, "heapprofile\n"));
    free(text.data);
    hp_profile_free(profile);
    free(maker.file.data);
}

static void assert_types(const char *const types[4])
{
    struct maker maker = foreign(types, 4, (const uint64_t[]){10, 5000, 2, 1000});
    struct hp_profile *profile = read_bytes(maker.file.data, maker.file.size);
    assert_true(total(profile, HP_ALLOC_OBJECTS) == 10);
    assert_true(total(profile, HP_ALLOC_SPACE) == 5000);
    assert_true(total(profile, HP_INUSE_OBJECTS) == 2);
    assert_true(total(profile, HP_INUSE_SPACE) == 1000);
    assert_int_equal(hp_profile_default_type(profile), HP_ALLOC_OBJECTS); /* the first is the file's wish */
    hp_profile_free(profile);
    free(maker.file.data);
}

static void test_types_of_others(void **state)
{
    assert_types((const char *[]){"alloc_objects", "alloc_space", "inuse_objects", "inuse_space"});
    assert_types((const char *[]){"alloc-samples", "alloc-space", "inuse-objects", "inuse-space"});
    assert_types((const char *[]){"Total malloc count", "Total malloc size", "Unreleased malloc count",
                                  "Unreleased malloc size"});
    /* of names that nobody knows the units count */
    struct maker maker =
        foreign((const char *[]){"time/nanoseconds", "chunks/count", "held/bytes"}, 3, (const uint64_t[]){7, 3, 44});
    struct hp_profile *profile = read_bytes(maker.file.data, maker.file.size);
    assert_true(total(profile, HP_INUSE_SPACE) == 44);
    assert_true(total(profile, HP_INUSE_OBJECTS) == 3);
    assert_int_equal(hp_profile_default_type(profile), HP_INUSE_SPACE);
    hp_profile_free(profile);
    free(maker.file.data);
    maker = foreign((const char *[]){"samples/count", "cpu/nanoseconds"}, 2, (const uint64_t[]){3, 44});
    struct hp_error error;
    assert_int_not_equal(read_cut(maker.file.data, maker.file.size, &error), 0);
    assert_non_null(strstr(error.text, "samples, cpu"));
    free(maker.file.data);
}

static void test_some_types(void **state)
{
    struct maker maker = foreign((const char *[]){"other", "inuse_space"}, 2, (const uint64_t[]){9, 1574401});
    struct hp_profile *profile = read_bytes(maker.file.data, maker.file.size);
    assert_true(total(profile, HP_INUSE_SPACE) == 1574401);
    assert_true(total(profile, HP_INUSE_OBJECTS) == 1537); /* by the label */
    assert_true(total(profile, HP_ALLOC_SPACE) == 1574401);
    hp_profile_free(profile);
    free(maker.file.data);

    maker = foreign((const char *[]){"objects", "space"}, 2, (const uint64_t[]){3, 44});
    profile = read_bytes(maker.file.data, maker.file.size);
    assert_true(total(profile, HP_INUSE_SPACE) == 44);
    assert_true(total(profile, HP_INUSE_OBJECTS) == 3);
    hp_profile_free(profile);
    free(maker.file.data);

    struct hp_error error;
    maker = foreign((const char *[]){"samples", "cpu"}, 2, (const uint64_t[]){3, 44});
    assert_int_not_equal(read_cut(maker.file.data, maker.file.size, &error), 0);
    assert_non_null(strstr(error.text, "samples, cpu"));
    free(maker.file.data);

    maker = foreign((const char *[]){"inuse_space"}, 1, (const uint64_t[]){(uint64_t)-5});
    assert_int_not_equal(read_cut(maker.file.data, maker.file.size, &error), 0);
    assert_non_null(strstr(error.text, "negative"));
    free(maker.file.data);
}

static void test_bad_references(void **state)
{
    static const struct {
        unsigned field;
        uint64_t numbers[2][2];
        const char *error;
    } cases[] = {
        {HP_PROFILE_SAMPLE, {{HP_SAMPLE_LOCATION, 901}, {HP_SAMPLE_VALUE, 1}}, "not there"},
        {HP_PROFILE_SAMPLE, {{HP_SAMPLE_LOCATION, 900}, {9, 1}}, "more or fewer values"},
        {HP_PROFILE_SAMPLE, {{HP_SAMPLE_VALUE, 1}, {HP_SAMPLE_VALUE, 1}}, "more or fewer values"},
        {HP_PROFILE_LOCATION, {{HP_LOCATION_ID, 900}, {9, 1}}, "location without an id"},
        {HP_PROFILE_LOCATION, {{HP_LOCATION_ADDRESS, 1}, {9, 1}}, "location without an id"},
        {HP_PROFILE_LOCATION, {{HP_LOCATION_ID, 5}, {HP_LOCATION_LINE, 1}}, "line was expected"},
        {HP_PROFILE_FUNCTION, {{HP_FUNCTION_ID, 77}, {9, 1}}, "function without an id"},
        {HP_PROFILE_FUNCTION, {{HP_FUNCTION_ID, 5}, {HP_FUNCTION_NAME, 99}}, "no such string"},
        {HP_PROFILE_MAPPING, {{HP_MAPPING_LIMIT, 5}, {9, 1}}, "mapping without an id"},
        {HP_PROFILE_MAPPING, {{HP_MAPPING_ID, 1}, {HP_MAPPING_FILE, 99}}, "no such string"},
        {HP_PROFILE_SAMPLE_TYPE, {{HP_VALUE_TYPE, 99}, {9, 1}}, "type without a name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct maker maker = foreign((const char *[]){"inuse_space"}, 1, (const uint64_t[]){5});
        message(&maker, cases[i].field, 2, cases[i].numbers);
        struct hp_error error;
        assert_int_not_equal(read_cut(maker.file.data, maker.file.size, &error), 0);
        if (!strstr(error.text, cases[i].error) || !strstr(error.text, "byte "))
            fail_msg("case %zu says '%s'", i, error.text);
        free(maker.file.data);
    }
    struct maker maker = foreign((const char *[]){"inuse_space"}, 1, (const uint64_t[]){5});
    hp_put_number(&maker.file, HP_PROFILE_COMMENT, 99);
    struct hp_error error;
    assert_int_not_equal(read_cut(maker.file.data, maker.file.size, &error), 0);
    maker.file.size -= 2;
    hp_put_number(&maker.file, HP_PROFILE_STRING, 99);
    assert_int_not_equal(read_cut(maker.file.data, maker.file.size, &error), 0);
    assert_non_null(strstr(error.text, "wrong type"));
    free(maker.file.data);
}

static struct memory unpack(const struct memory *packed)
{
    struct memory plain = {malloc(1 << 20), 0};
    z_stream stream = {0};
    assert_int_equal(inflateInit2(&stream, 31), Z_OK);
    stream.next_in = (void *)packed->data;
    stream.avail_in = (unsigned)packed->size;
    stream.next_out = (void *)plain.data;
    stream.avail_out = 1 << 20;
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    plain.size = stream.total_out;
    inflateEnd(&stream);
    return plain;
}

static void test_cut_and_damaged(void **state)
{
    struct hp_profile *profile = read_string(DUMP);
    const struct hp_line line = {.function = "f", .linkage = "", .file = "a.c", .line = 3};
    hp_profile_set_lines(profile, 0, &line, 1);
    struct memory packed = proto_of(profile), plain = unpack(&packed);
    struct hp_error error;
    for (size_t k = 0; k < packed.size; k++)
        assert_int_not_equal(read_cut(packed.data, k, &error), 0);
    for (size_t k = 0; k <= plain.size; k++)
        read_cut(plain.data, k, &error);
    static const unsigned char bytes[] = {0, 1, 2, 0x7f, 0x80, 0xff};
    for (size_t k = 0; k < plain.size; k++) {
        char kept = plain.data[k];
        for (size_t b = 0; b < sizeof bytes; b++) {
            plain.data[k] = (char)bytes[b];
            read_cut(plain.data, plain.size, &error);
        }
        plain.data[k] = kept;
    }
    assert_int_equal(read_cut(plain.data, plain.size, &error), 0);
    hp_profile_free(profile);
    free(packed.data);
    free(plain.data);
}

static void test_changed_by_others(void **state)
{
    /* Someone halves a value and keeps our comments: the figures in the file count, not the
     * comments. */
    struct hp_profile *profile = read_string("heap profile: 1: 2 [3: 4] @ heap_v2/4096\n3: 1000 [3: 1000] @ 0x1\n");
    struct memory packed = proto_of(profile), plain = unpack(&packed);
    const double inuse = total(profile, HP_INUSE_SPACE);
    struct hp_buffer value = {0};
    hp_put_varint(&value, (uint64_t)(inuse + 0.5));
    char *found = NULL, *at = plain.data;
    size_t left = plain.size;
    while ((at = memmem(at, left, value.data, value.size))) {
        found = at++; /* the last one is inuse_space */
        left = (size_t)(plain.data + plain.size - at);
    }
    assert_non_null(found);
    (*found)++;
    struct hp_profile *again = read_bytes(plain.data, plain.size);
    assert_true(again->prescaled);
    assert_true(fabs(total(again, HP_INUSE_SPACE) - inuse - 1) < 1);
    hp_profile_free(profile);
    hp_profile_free(again);
    free(value.data);
    free(packed.data);
    free(plain.data);
}

static int refuse(void *sink_state, const void *data, size_t size)
{
    return -28;
}

static void test_full_disk(void **state)
{
    struct hp_profile *profile = read_string(DUMP);
    assert_int_equal(hp_profile_write_proto(profile, refuse, NULL), -28);
    assert_int_equal(hp_profile_write_text(profile, false, refuse, NULL), -28);
    hp_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_survives),     cmocka_unit_test(test_any_counters_survive),
        cmocka_unit_test(test_lines_survive),     cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_some_types),        cmocka_unit_test(test_types_of_others),
        cmocka_unit_test(test_bad_references),    cmocka_unit_test(test_cut_and_damaged),
        cmocka_unit_test(test_changed_by_others), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_main_module_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
