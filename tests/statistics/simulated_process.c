#include "simulated_process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/ledger/ledger_help.h"
#include "../unit/profile/profile_help.h"
#include "kinds/heap/sampler.h"
#include "ledger/snapshot.h"

#define BUDGET (16ull << 20)
#define SITE_BASE 0x100000ull

uint64_t process_random(struct process *process)
{
    return test_random(&process->random);
}

void process_new_thread(struct process *process)
{
    memset(&hp_thread, 0, sizeof hp_thread);
    hp_thread.random = process_random(process) | 1;
}

void process_set_interval(struct process *process, uint64_t interval)
{
    struct hp_ledger *ledger = process->store->ledger;
    ledger->interval = interval;
    if (interval)
        ledger->armed_interval = interval;
}

void process_start(struct process *process, uint64_t seed, uint64_t interval)
{
    *process = (struct process){.store = malloc(sizeof *process->store), .random = seed, .next_address = 4096};
    *process->store = make_store(BUDGET, 128, interval);
    process->store->ledger->pid = 42;
    process->store->ledger->start_time_ns = seed;
    strcpy(process->store->ledger->exe, "/bin/process");
    process_set_interval(process, interval);
    process_new_thread(process);
}

void process_end(struct process *process)
{
    while (process->streams) {
        struct stream *stream = process->streams;
        process->streams = stream->next;
        free(stream->drawn);
        free(stream);
    }
    free_store(process->store);
    free(process->store);
}

struct stream *stream_new(struct process *process, unsigned site, uint64_t size)
{
    struct stream *stream = calloc(1, sizeof *stream);
    *stream = (struct stream){.process = process, .site = site, .size = size, .next = process->streams};
    return process->streams = stream;
}

/* What preload/kinds/heap/record.c does with a sample, but for the stack. */
static void record(struct stream *stream)
{
    struct process *process = stream->process;
    const uint64_t frames[] = {SITE_BASE + 16 * stream->site + 1};
    const uint64_t interval = hp_thread.due_interval;
    uint16_t size_class = interval == 1 ? 0 : hp_size_class(stream->size);
    struct hp_key key = {
        .frames = frames, .interval = interval, .depth = 1, .size_class = size_class, .kind = HP_KIND_HEAP};
    key.hash = hp_key_hash(&key);
    uint64_t address = process->next_address += 4096;
    if (!add_object(process->store, &key, address, stream->size))
        fail_msg("the ledger is too small for this test");
    if (stream->count == stream->capacity) {
        size_t live = stream->count - stream->first;
        memmove(stream->drawn, stream->drawn + stream->first, live * sizeof *stream->drawn);
        stream->first = 0;
        stream->count = live;
        if (live * 2 >= stream->capacity) {
            stream->capacity = stream->capacity * 2 + 16;
            stream->drawn = realloc(stream->drawn, stream->capacity * sizeof *stream->drawn);
        }
    }
    stream->drawn[stream->count++] = (struct drawn){stream->allocated, address};
}

uint64_t stream_allocate(struct stream *stream, uint64_t count)
{
    const struct hp_ledger *ledger = stream->process->store->ledger;
    uint64_t size = stream->size, samples = 0;
    while (count) {
        /* All objects at once of which the hot path would only take the size off. */
        uint64_t quiet = hp_thread.left ? (hp_thread.left - 1) / size : 0;
        if (quiet > count)
            quiet = count;
        hp_thread.left -= quiet * size;
        stream->allocated += quiet;
        count -= quiet;
        if (!count)
            break;
        if (hp_charge(size) && hp_sampler_due(&hp_thread, size, ledger->interval)) {
            record(stream);
            samples++;
        }
        stream->allocated++;
        count--;
    }
    return samples;
}

void stream_free(struct stream *stream, uint64_t count)
{
    stream->freed += count;
    for (; stream->first < stream->count && stream->drawn[stream->first].index < stream->freed; stream->first++)
        if (!remove_object(stream->process->store, stream->drawn[stream->first].address))
            fail_msg("a sampled object is not in the ledger");
}

struct hp_profile *process_profile(const struct process *process)
{
    static char buffer[HP_TEXT_BUFFER];
    const struct hp_moment moment = {.sequence = 0};
    struct hp_ledger_view view;
    struct hp_text writer;
    struct memory text = {0};
    assert_int_equal(hp_ledger_view_open(&view, process->store->ledger, NULL, process->store->ledger->size), 0);
    uint64_t size = hp_snapshot_scratch_size(&view);
    void *scratch = malloc(size);
    hp_text_init(&writer, append, &text, buffer);
    assert_int_equal(hp_snapshot_write(&view, &moment, &writer, scratch, size), 0);
    struct hp_profile *profile = read_bytes(text.data, text.size);
    free(scratch);
    free(text.data);
    return profile;
}

void profile_estimates(const struct hp_profile *profile, unsigned sites, struct hp_estimate (*sums)[HP_SAMPLE_TYPES])
{
    memset(sums, 0, sites * sizeof *sums);
    for (size_t i = 0; i < profile->sample_count; i++) {
        uint64_t site = (frame(profile, i, 0)->address - SITE_BASE) / 16;
        assert_true(site < sites);
        for (unsigned type = 0; type < HP_SAMPLE_TYPES; type++) {
            struct hp_estimate term = hp_sample_estimate(profile, &profile->samples[i], type, false);
            hp_estimate_add(&sums[site][type], &term);
        }
    }
}

void stream_truth(const struct stream *stream, double truth[HP_SAMPLE_TYPES])
{
    double allocated = (double)stream->allocated, live = allocated - (double)stream->freed, size = (double)stream->size;
    truth[HP_INUSE_SPACE] += live * size;
    truth[HP_INUSE_OBJECTS] += live;
    truth[HP_ALLOC_SPACE] += allocated * size;
    truth[HP_ALLOC_OBJECTS] += allocated;
}

unsigned runs_factor(void)
{
    const char *factor = getenv("LONG");
    return factor && atoi(factor) > 1 ? (unsigned)atoi(factor) : 1;
}
