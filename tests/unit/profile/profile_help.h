/* What the tests of src/profile share: profiles from and to memory. */
#ifndef HP_TESTS_PROFILE_HELP_H
#define HP_TESTS_PROFILE_HELP_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "profile/profile.h"

struct memory {
    char *data;
    size_t size;
};

static inline int append(void *state, const void *data, size_t size)
{
    struct memory *memory = state;
    memory->data = realloc(memory->data, memory->size + size + 1);
    memcpy(memory->data + memory->size, data, size);
    memory->size += size;
    memory->data[memory->size] = '\0';
    return 0;
}

static inline struct hp_profile *read_bytes(const void *data, size_t size)
{
    struct hp_profile *profile = NULL;
    struct hp_error error = {""};
    int status = hp_profile_read_memory("test.heap", data, size, &profile, &error);
    if (status)
        fail_msg("%s", error.text);
    return profile;
}

static inline struct hp_profile *read_string(const char *text)
{
    return read_bytes(text, strlen(text));
}

/* A copy of exactly this size, so that a sanitizer sees every byte read past the end. Returns the
 * status. */
static inline int read_cut(const void *data, size_t size, struct hp_error *error)
{
    char *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    struct hp_profile *profile = NULL;
    error->text[0] = '\0';
    int status = hp_profile_read_memory("test.heap", copy, size, &profile, error);
    free(copy);
    if (!status) {
        for (size_t i = 0; i < profile->sample_count; i++) {
            const struct hp_sample *sample = &profile->samples[i];
            assert_true(sample->first + sample->depth <= profile->frame_count);
            assert_true(sample->counts.live_objects <= sample->counts.alloc_objects);
            assert_true(sample->counts.live_bytes <= sample->counts.alloc_bytes);
        }
        for (size_t i = 0; i < profile->frame_count; i++)
            assert_true(profile->frames[i] < profile->location_count);
        for (size_t i = 0; i < profile->location_count; i++)
            assert_true(profile->locations[i].module == HP_NO_MODULE ||
                        profile->locations[i].module < profile->module_count);
        hp_profile_free(profile);
    } else {
        assert_true(status < 0);
        assert_true(*error->text);
        assert_null(strchr(error->text, '\n'));
    }
    return status;
}

static inline struct memory text_of(const struct hp_profile *profile, bool with_lines)
{
    struct memory memory = {0};
    assert_int_equal(hp_profile_write_text(profile, with_lines, append, &memory), 0);
    return memory;
}

static inline struct memory proto_of(const struct hp_profile *profile)
{
    struct memory memory = {0};
    assert_int_equal(hp_profile_write_proto(profile, append, &memory), 0);
    return memory;
}

static inline const struct hp_location *frame(const struct hp_profile *profile, size_t sample, size_t depth)
{
    assert_true(depth < profile->samples[sample].depth);
    return &profile->locations[profile->frames[profile->samples[sample].first + depth]];
}

static inline double total(const struct hp_profile *profile, enum hp_sample_type type)
{
    struct hp_estimate sum = {0};
    for (size_t i = 0; i < profile->sample_count; i++) {
        struct hp_estimate term = hp_sample_estimate(profile, &profile->samples[i], type, false);
        hp_estimate_add(&sum, &term);
    }
    return sum.value;
}

/* A dump as the library writes it. 0x7f0000010010 is the address in its own malloc. */
#define DUMP_ENTRIES(FRONT)                                                                                            \
    "2: 8192 [5: 20480] @" FRONT " 0x401235 0x401350 0x7f0000200100\n"                                                 \
    "3: 301 [4: 402] @" FRONT " 0x401250 0x401350\n"                                                                   \
    "1: 100 [7: 700] @" FRONT " 0x7f0000200300 0x401350\n"                                                             \
    "0: 0 [9: 1000] @" FRONT "\n"
#define DUMP_HEADER "heap profile: 6: 8593 [25: 22582] @ heap_v2/524288\n"
#define DUMP_FACTS                                                                                                     \
    "# heapprof: version=0.1.0 pid=4242 exe=/opt/a\\040b/server start=77 sequence=1 "                                  \
    "time=1700000000 interval=524288 depth=128\n"                                                                      \
    "# heapprof: samples=25 lost=1 truncated=2 unmatched_frees=3 own_bytes=4096 own_ns=99\n"
#define DUMP_STATS                                                                                                     \
    "# runtime.MemStats\n"                                                                                             \
    "# Alloc = 9000000\n"                                                                                              \
    "# TotalAlloc = 9100000\n"                                                                                         \
    "# HeapInuse = 10559488\n"                                                                                         \
    "# MaxRSS = 123456\n"                                                                                              \
    "# heapprof.allocator = glibc 2.36 (age 12 ms)\n"
#define DUMP_MAPS                                                                                                      \
    "# heapprof.module = 0x400000 00112233445566778899aabbccddeeff00112233\n"                                          \
    "# heapprof.module = 0x7f0000200000 ffee\n"                                                                        \
    "MAPPED_LIBRARIES:\n"                                                                                              \
    "400000-500000 r-xp 00001000 00:00 0 /opt/a b/server\n"                                                            \
    "7f0000200000-7f0000300000 r-xp 00026000 00:00 0 /usr/lib/libc.so.6\n"                                             \
    "7f0000400000-7f0000401000 r-xp 100000000 00:00 0 /tmp/new\\012line\\134.so\n"
#define DUMP DUMP_HEADER DUMP_ENTRIES("") DUMP_FACTS DUMP_STATS DUMP_MAPS

#endif
