/* What the tests of src/ledger share: a ledger in plain memory, and sums over it. */
#ifndef HP_TESTS_LEDGER_HELP_H
#define HP_TESTS_LEDGER_HELP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ledger/ledger.h"

/* In one piece: private memory, or what a child shares with its parent. */
static inline struct hp_store make_store_in(uint64_t budget, uint32_t depth, uint64_t interval, int flags)
{
    size_t size = hp_ledger_size(budget);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    madvise(memory, size, MADV_NOHUGEPAGE); /* as a region has it: a test counts touched pages */
    struct hp_store store = {.ledger = memory};
    if (!hp_ledger_init(&store, budget, depth, interval))
        abort();
    return store;
}

static inline struct hp_store make_store(uint64_t budget, uint32_t depth, uint64_t interval)
{
    return make_store_in(budget, depth, interval, MAP_PRIVATE);
}

static inline void free_store(const struct hp_store *store)
{
    munmap(store->ledger, store->ledger->size);
}

/* splitmix64, for tests that must go the same way each time. */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* At the interval in force. */
static inline struct hp_key make_key(const struct hp_store *store, const uint64_t *frames, size_t depth,
                                     uint16_t size_class)
{
    struct hp_key key = {.frames = frames,
                         .interval = store->ledger->interval,
                         .depth = (uint16_t)depth,
                         .size_class = size_class,
                         .kind = HP_KIND_HEAP};
    key.hash = hp_key_hash(&key);
    return key;
}

/* An object counted in its row, as the library does it for thread `tid`; 0: memory is out. */
static inline hp_offset count_object(const struct hp_store *store, const struct hp_key *key, uint64_t size,
                                     uint32_t tid)
{
    bool truncated;
    return hp_row_count(store, key, size, tid, __builtin_frame_address(0), &truncated);
}

/* ... and put into the live table. False: memory is out. */
static inline bool add_object_by(const struct hp_store *store, const struct hp_key *key, uint64_t address,
                                 uint64_t size, uint32_t tid)
{
    const struct hp_live_data data = {.size = size, .row = count_object(store, key, size, tid), .thread = 1};
    if (!data.row)
        return false;
    if (hp_live_insert(store, address, &data))
        return true;
    hp_tally_add(&hp_row_at(store, data.row)->freed, 1, size);
    return false;
}

static inline bool add_object(const struct hp_store *store, const struct hp_key *key, uint64_t address, uint64_t size)
{
    return add_object_by(store, key, address, size, 1);
}

static inline bool remove_object(const struct hp_store *store, uint64_t address)
{
    struct hp_live_ref ref;
    if (!hp_live_take(store, address, &ref))
        return false;
    const struct hp_live_data data = *ref.data;
    hp_live_drop(&ref);
    hp_tally_add(&hp_row_at(store, data.row)->freed, 1, data.size);
    return true;
}

struct ledger_sums {
    struct hp_tally alloc, freed;
    uint64_t rows, fold_rows, fold_rows_of_frames;
    struct hp_tally folded; /* alloc of fold rows */
};

/* Over all rows, by the chains, with no writer at work and no fold half done. */
static inline struct ledger_sums sum_ledger(const struct hp_store *store)
{
    struct ledger_sums sums = {0};
    for (unsigned level = 0; level < HP_BUCKET_LEVELS; level++) {
        const struct hp_bucket_level *buckets = &store->ledger->buckets[level];
        for (uint64_t i = 0; buckets->at && i < buckets->count; i++) {
            uint64_t at = buckets->at + i * sizeof(hp_offset);
            if (!hp_ledger_is_reserved(store->ledger, at))
                continue;
            for (hp_offset offset = *(const hp_offset *)hp_store_at(store, at); offset;) {
                const struct hp_ledger_row *row = hp_row_at(store, offset);
                struct hp_tally alloc = hp_row_counted(row->alloc);
                offset = row->next;
                sums.rows++;
                sums.fold_rows += row->folded;
                sums.fold_rows_of_frames += row->folded && row->depth;
                sums.alloc.objects += alloc.objects;
                sums.alloc.bytes += alloc.bytes;
                sums.freed.objects += row->freed.objects;
                sums.freed.bytes += row->freed.bytes;
                sums.folded.objects += row->folded ? alloc.objects : 0;
                sums.folded.bytes += row->folded ? alloc.bytes : 0;
            }
        }
    }
    return sums;
}

static inline void add_live_object(void *state, uint64_t address, const struct hp_live_data *data)
{
    struct hp_tally *sum = state;
    sum->objects++;
    sum->bytes += data->size;
}

static inline struct hp_tally sum_live(const struct hp_store *store)
{
    struct hp_tally sum = {0, 0};
    hp_live_each(store, add_live_object, &sum);
    return sum;
}

#endif
