/* The difference of two profiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "profile/model.h"

static struct hp_profile *read_text(const char *text)
{
    struct hp_profile *profile;
    struct hp_error error = {""};
    if (hp_profile_read_memory("test", text, strlen(text), &profile, &error))
        fail_msg("%s", error.text);
    return profile;
}

static struct hp_profile *delta_of(const char *before_text, const char *after_text)
{
    struct hp_profile *before = read_text(before_text), *after = read_text(after_text), *delta;
    struct hp_error error = {""};
    before->time_ns = 5000000000;
    after->time_ns = 7500000000;
    assert_int_equal(hp_profile_delta(before, after, &delta, &error), 0);
    hp_profile_free(before);
    hp_profile_free(after);
    return delta;
}

/* The sample whose only frame is a call at `address`. */
static const struct hp_sample *sample_at(const struct hp_profile *profile, uint64_t address)
{
    for (size_t i = 0; i < profile->sample_count; i++)
        if (profile->locations[profile->frames[profile->samples[i].first]].address == address)
            return &profile->samples[i];
    return NULL;
}

#define BEFORE                                                                                                         \
    "heap profile: 6: 600 [9: 900] @ heapprofile\n"                                                                    \
    " 3: 300 [4: 400] @ 0x1001\n 1: 100 [1: 100] @ 0x2001\n 2: 200 [4: 400] @ 0x3001\n# HeapInuse = 5\n"
#define AFTER                                                                                                          \
    "heap profile: 7: 700 [14: 1400] @ heapprofile\n"                                                                  \
    " 1: 100 [4: 400] @ 0x1001\n 1: 100 [1: 100] @ 0x2001\n 4: 400 [8: 800] @ 0x3001\n"                                \
    " 1: 100 [1: 100] @ 0x4001\n# HeapInuse = 8\n"

static void tells_what_changed(void **state)
{
    struct hp_profile *delta = delta_of(BEFORE, AFTER);
    assert_true(delta->delta);
    assert_int_equal(delta->sample_count, 3);
    struct hp_counts shrunk = hp_scaled_counts(delta, sample_at(delta, 0x1000));
    assert_true((int64_t)shrunk.live_objects == -2 && (int64_t)shrunk.live_bytes == -200);
    assert_true(shrunk.alloc_objects == 0 && shrunk.alloc_bytes == 0);
    assert_null(sample_at(delta, 0x2000));
    struct hp_counts grown = hp_scaled_counts(delta, sample_at(delta, 0x3000));
    assert_true(grown.live_objects == 2 && grown.live_bytes == 200);
    assert_true(grown.alloc_objects == 4 && grown.alloc_bytes == 400);
    struct hp_counts fresh = hp_scaled_counts(delta, sample_at(delta, 0x4000));
    assert_true(fresh.live_objects == 1 && fresh.alloc_bytes == 100);
    hp_profile_free(delta);
}

static void knows_time_and_facts(void **state)
{
    struct hp_profile *delta = delta_of(BEFORE, AFTER);
    assert_true(delta->time_ns == 7500000000 && delta->duration_ns == 2500000000);
    assert_string_equal(hp_profile_fact(delta, "HeapInuse"), "8");
    hp_profile_free(delta);
}

static void cancels_what_survived(void **state)
{
    static const char text[] = "heap profile: 6: 600 [9: 900] @ heap_v2/1000\n 5: 333 [8: 633] @ 0x1001 0x2001\n"
                               " 1: 267 [1: 267] @ 0x1001\n";
    struct hp_profile *delta = delta_of(text, text);
    assert_int_equal(delta->sample_count, 0);
    hp_profile_free(delta);
}

static void scales(void **state)
{
    struct hp_profile *delta = delta_of("heap profile: 1: 10 [1: 10] @ heap_v2/1000000\n 1: 10 [1: 10] @ 0x1001\n",
                                        "heap profile: 0: 0 [1: 10] @ heap_v2/1000000\n 0: 0 [1: 10] @ 0x1001\n");
    struct hp_counts counts = hp_scaled_counts(delta, sample_at(delta, 0x1000));
    assert_true((int64_t)counts.live_bytes < -999000 && (int64_t)counts.live_bytes > -1001000);
    assert_true(counts.alloc_bytes == 0);
    hp_profile_free(delta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tells_what_changed), cmocka_unit_test(knows_time_and_facts),
                                       cmocka_unit_test(cancels_what_survived), cmocka_unit_test(scales)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
