/* A ledger of the version before, as a profile: its own numbers; and damaged ones give an error or a profile, but
 * never a crash or an endless loop. That it is what the version before made of it is for tests/e2e/test_ledger.sh to
 * see. */
#include "../profile/profile_help.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "reader/ledger_v3.h"
#include "ledger/snapshot.h"
#include "../ledger/ledger_help.h"
#include "ledger_v3_help.h"

static int write_out(const void *ledger, struct memory *text)
{
    static char buffer[HP_TEXT_BUFFER];
    const struct hp_moment moment = {.time_ns = 1700000000ull * 1000000000, .clock_ns = 5, .sequence = 3};
    struct hp_text writer;
    struct hp_ledger_view view = {0};
    struct hp_store translated = {0};
    text->size = 0;
    int error = hp_v3_view_open(&view, ledger, LEDGER_V3_SIZE, &translated);
    if (error == 0) {
        const uint64_t size = hp_snapshot_scratch_size(&view);
        assert_true(size < 1 << 30);
        void *scratch = malloc(size);
        hp_text_init(&writer, append, text, buffer);
        error = hp_snapshot_write(&view, &moment, &writer, scratch, size);
        free(scratch);
    }
    hp_v3_free(&translated);
    return error;
}

static void reads_it(void **state)
{
    void *ledger = read_ledger_v3();
    struct memory text = {0};
    assert_int_equal(write_out(ledger, &text), 0);
    struct hp_profile *profile = read_bytes(text.data, text.size);
    struct hp_counts total = {0};
    for (size_t i = 0; i < profile->sample_count; i++) {
        total.live_objects += profile->samples[i].counts.live_objects;
        total.alloc_objects += profile->samples[i].counts.alloc_objects;
    }
    assert_true(profile->interval == 4096);
    assert_int_equal(profile->sample_count, 10);
    assert_int_equal(total.live_objects, 59);
    assert_int_equal(total.alloc_objects, 85);
    assert_string_equal(hp_profile_fact(profile, "heapprof.samples"), "85");
    assert_string_equal(hp_profile_fact(profile, "heapprof.program"), "kept");
    hp_profile_free(profile);
    free(text.data);
    free(ledger);
}

static void refuses_others(void **state)
{
    uint32_t *ledger = read_ledger_v3();
    struct hp_ledger_view view;
    struct hp_store translated = {0};
    struct hp_ledger header;
    uint64_t *wanted = NULL;
    assert_int_equal(hp_v3_view_open(&view, ledger, LEDGER_V3_SIZE - 1, &translated), -EBADMSG);
    assert_int_equal(hp_v3_view_open(&view, ledger, sizeof(struct hp_ledger), &translated), -EBADMSG);
    assert_int_equal(hp_v3_view_open(&view, ledger, 100, &translated), -EINVAL);
    assert_int_equal(hp_v3_read_header(ledger, 100, &header), -EBADMSG);
    assert_int_equal(hp_v3_read_header(ledger, 15, &header), -EINVAL);
    assert_int_equal(hp_v3_wanted_interval(ledger, LEDGER_V3_SIZE, &wanted), 0);
    assert_int_equal(*wanted, 4096);
    ledger[2] = 2;
    assert_int_equal(hp_v3_view_open(&view, ledger, LEDGER_V3_SIZE, &translated), -EPROTONOSUPPORT);
    assert_int_equal(hp_v3_read_header(ledger, LEDGER_V3_SIZE, &header), -EPROTONOSUPPORT);
    ledger[0]++;
    assert_int_equal(hp_v3_view_open(&view, ledger, LEDGER_V3_SIZE, &translated), -EINVAL);
    assert_null(translated.ledger);
    free(ledger);
}

enum { FLIPS = 20000, FLIPS_MOST = 64, NAMES_AT = 1120, BLOCKS_AT = 5344, BLOCKS = 40 };

/* Places of bytes that are not 0, where the next one may have its record: in the tables, the chains and the rows. */
static size_t find_written(const unsigned char *ledger, uint32_t *places)
{
    size_t count = 0;
    for (uint32_t at = BLOCKS_AT; at < LEDGER_V3_SIZE; at++)
        if (ledger[at])
            places[count++] = at;
    return count;
}

static uint64_t flip_place(const uint32_t *written, size_t count, uint64_t *random)
{
    const uint64_t choice = test_random(random) % 12, at = test_random(random);
    if (choice < 1)
        return at % NAMES_AT;
    if (choice < 2)
        return BLOCKS_AT + at % BLOCKS;
    return written[at % count] + (at >> 32) % 4;
}

static void survives_flipped_bytes(void **state)
{
    unsigned char *ledger = read_ledger_v3();
    uint32_t *written = malloc(LEDGER_V3_SIZE * sizeof *written);
    const size_t count_written = find_written(ledger, written);
    uint64_t random = 2025, valid = 0, refused = 0;
    struct memory text = {0};
    for (unsigned round = 0; round < FLIPS; round++) {
        uint64_t places[FLIPS_MOST];
        unsigned char kept[FLIPS_MOST];
        const unsigned count = 1u << test_random(&random) % 7;
        for (unsigned i = 0; i < count; i++) {
            const uint64_t value = test_random(&random);
            places[i] = flip_place(written, count_written, &random);
            kept[i] = ledger[places[i]];
            ledger[places[i]] =
                value & 1 ? (unsigned char)(value >> 8) : kept[i] ^ (unsigned char)(1 << (value >> 8 & 7));
        }
        alarm(30);
        if (write_out(ledger, &text) == 0) {
            struct hp_profile *profile = NULL;
            struct hp_error why = {""};
            assert_true(text.size > 0 && text.size < 64 << 20);
            if (hp_profile_read_memory("flipped", text.data, text.size, &profile, &why) == 0)
                valid++, hp_profile_free(profile);
            else
                assert_true(strlen(why.text) > 0);
        } else {
            refused++;
        }
        alarm(0);
        for (unsigned i = count; i-- > 0;)
            ledger[places[i]] = kept[i];
    }
    print_message("%lu readable, %lu refused of %u\n", (unsigned long)valid, (unsigned long)refused, FLIPS);
    assert_true(refused > 0 && valid > FLIPS / 4);
    assert_int_equal(write_out(ledger, &text), 0); /* all flips were taken back */
    hp_profile_free(read_bytes(text.data, text.size));
    free(text.data);
    free(written);
    free(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_it),
        cmocka_unit_test(refuses_others),
        cmocka_unit_test(survives_flipped_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
