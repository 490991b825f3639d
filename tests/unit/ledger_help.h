/* What the tests of src/ledger share: a ledger in plain memory, and sums over it. */
#ifndef HP_TESTS_LEDGER_HELP_H
#define HP_TESTS_LEDGER_HELP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ledger/ledger.h"

static inline struct hp_ledger *make_ledger(uint64_t budget, uint32_t depth)
{
    size_t size = hp_ledger_layout(budget).size;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    madvise(memory, size, MADV_NOHUGEPAGE); /* as hp_region_create does it: a test counts touched pages */
    hp_ledger_init(memory, budget, depth);
    return memory;
}

static inline void free_ledger(struct hp_ledger *ledger)
{
    munmap(ledger, ledger->layout.size);
}

/* splitmix64, for tests that must go the same way each time. */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static inline hp_offset add_stack(struct hp_ledger *ledger, const uint64_t *frames, size_t depth)
{
    uint64_t hash = hp_hash_frames(frames, depth);
    hp_offset stack = hp_ledger_find_stack(ledger, frames, depth, hash);
    return stack ? stack : hp_ledger_add_stack(ledger, frames, depth, hash);
}

/* An allocation as the library records it. False: memory is out. */
static inline bool add_object(struct hp_ledger *ledger, hp_offset entry_at, uint64_t address, uint64_t size)
{
    struct hp_entry *entry = hp_ledger_at(ledger, entry_at);
    const struct hp_live_data data = {.size = size, .entry = entry_at, .thread = 1};
    if (!hp_live_insert(ledger, address, &data))
        return false;
    hp_pair_add(&entry->alloc, 1, size);
    return true;
}

static inline bool remove_object(struct hp_ledger *ledger, uint64_t address)
{
    struct hp_live_ref ref;
    if (!hp_live_take(ledger, address, &ref))
        return false;
    struct hp_entry *entry = hp_ledger_at(ledger, ref.data->entry);
    hp_pair_add(&entry->freed, 1, ref.data->size);
    hp_live_drop(&ref);
    return true;
}

struct ledger_sums {
    struct hp_pair alloc, freed;
    uint64_t entries, stacks;
};

/* Over all records, by the bucket chains, with no writer at work. */
static inline struct ledger_sums sum_ledger(const struct hp_ledger *ledger)
{
    struct ledger_sums sums = {0};
    for (unsigned level = 0; level < ledger->bucket_levels; level++) {
        const struct hp_bucket_level *buckets = &ledger->layout.buckets[level];
        for (uint64_t i = 0; i < buckets->count; i++) {
            uint64_t at = buckets->at + i * sizeof(hp_offset);
            if (!hp_ledger_is_reserved(ledger, at))
                continue;
            for (hp_offset offset = *(const hp_offset *)((const char *)ledger + at); offset;) {
                const struct hp_record *record = hp_ledger_at(ledger, offset);
                const struct hp_entry *entry = (const struct hp_entry *)record;
                offset = record->next;
                if (record->kind == HP_RECORD_STACK)
                    sums.stacks++;
                if (record->kind != HP_RECORD_ENTRY)
                    continue;
                sums.entries++;
                sums.alloc.objects += entry->alloc.objects;
                sums.alloc.bytes += entry->alloc.bytes;
                sums.freed.objects += entry->freed.objects;
                sums.freed.bytes += entry->freed.bytes;
            }
        }
    }
    return sums;
}

static inline void add_live_object(void *state, uint64_t address, const struct hp_live_data *data)
{
    struct hp_pair *sum = state;
    sum->objects++;
    sum->bytes += data->size;
}

static inline struct hp_pair sum_live(const struct hp_ledger *ledger)
{
    struct hp_pair sum = {0, 0};
    hp_live_each(ledger, add_live_object, &sum);
    return sum;
}

#endif
