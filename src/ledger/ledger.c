#include "arch/arch.h"
#include "ledger/chain.h"

#include <string.h>

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

uint64_t hp_ledger_header_bytes(void)
{
    return round_up(sizeof(struct hp_ledger), HP_BLOCK);
}

/* Tables of addresses and chains grow by levels that are four times and eight times as large, so that a table that is
 * hardly used may stand beside a full one; what is not touched takes no memory. */
uint64_t hp_ledger_size(uint64_t budget)
{
    const uint64_t most = (uint64_t)HP_CHUNKS << HP_CHUNK_SHIFT;
    uint64_t size = round_up(4 * budget + (16u << 20), HP_CHUNK);
    return size < most ? size : most;
}

static bool reserve_block(const struct hp_store *store, uint64_t block)
{
    struct hp_ledger *ledger = store->ledger;
    uint64_t *word = &ledger->block_map[block / 64];
    const uint64_t bit = 1ull << (block % 64), chunk = block / (HP_CHUNK / HP_BLOCK);
    if (store->chunks && !__atomic_load_n(&store->chunks[chunk], __ATOMIC_ACQUIRE) &&
        (!store->ways.map || store->ways.map(chunk) < 0))
        return false;
    if (__atomic_load_n(word, __ATOMIC_ACQUIRE) & bit)
        return true;
    if (__atomic_load_n(&ledger->reserved, __ATOMIC_RELAXED) + HP_BLOCK > ledger->budget)
        return false;
    if (store->ways.reserve && store->ways.reserve(ledger, hp_store_at(store, block * HP_BLOCK), HP_BLOCK) < 0)
        return false;
    if (!(__atomic_fetch_or(word, bit, __ATOMIC_ACQ_REL) & bit))
        hp_count(&ledger->reserved, HP_BLOCK);
    return true;
}

bool hp_ledger_reserve(const struct hp_store *store, uint64_t offset, uint64_t size)
{
    const uint64_t first = offset / HP_BLOCK, last = (offset + size - 1) / HP_BLOCK;
    if (first == last && hp_ledger_is_reserved(store->ledger, offset)) /* nearly always */
        return true;
    for (uint64_t block = first; block <= last; block++)
        if (!reserve_block(store, block))
            return false;
    return true;
}

uint64_t hp_ledger_take(const struct hp_store *store, uint64_t size)
{
    struct hp_ledger *ledger = store->ledger;
    size = round_up(size, 64);
    uint64_t end = __atomic_load_n(&ledger->end, __ATOMIC_RELAXED), at;
    do {
        at = end;
        if (size <= HP_CHUNK && at / HP_CHUNK != (at + size - 1) / HP_CHUNK)
            at = round_up(at, HP_CHUNK);
        if (at > ledger->size || size > ledger->size - at)
            return 0;
    } while (!__atomic_compare_exchange_n(&ledger->end, &end, at + size, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return at;
}

void hp_ledger_give_back(const struct hp_store *store, uint64_t at, uint64_t size)
{
    uint64_t end = at + round_up(size, 64);
    __atomic_compare_exchange_n(&store->ledger->end, &end, at, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

uint64_t hp_ledger_allocate(const struct hp_store *store, uint64_t size)
{
    /* Asked before, so that who is refused for want of memory uses up no offsets; the answer that counts is the second.
     * */
    uint64_t end = __atomic_load_n(&store->ledger->end, __ATOMIC_RELAXED);
    if (end + size > store->ledger->size || !hp_ledger_reserve(store, end, 1))
        return 0;
    uint64_t at = hp_ledger_take(store, size);
    return at && hp_ledger_reserve(store, at, size) ? at : 0;
}

/* The first tables are there from the start, in the blocks behind the header's end. */
bool hp_ledger_init(struct hp_store *store, uint64_t budget, uint32_t depth, uint64_t interval)
{
    static const uint8_t bucket_logarithms[HP_BUCKET_LEVELS] = {12, 15, 18, 21};
    struct hp_ledger *ledger = store->ledger;
    ledger->budget = budget < HP_BUDGET_MOST ? budget : HP_BUDGET_MOST;
    ledger->size = hp_ledger_size(ledger->budget);
    ledger->header_size = sizeof *ledger;
    ledger->depth = depth;
    ledger->interval = ledger->wanted_interval = interval;
    ledger->armed_interval = interval ? interval : HP_INTERVAL_USUAL;
    ledger->reserved = hp_ledger_header_bytes();
    for (uint64_t block = 0; block < ledger->reserved / HP_BLOCK; block++)
        ledger->block_map[block / 64] |= 1ull << (block % 64);
    ledger->end = round_up(sizeof *ledger, 64);
    for (unsigned i = 0; i < HP_BUCKET_LEVELS; i++)
        ledger->buckets[i].count = 1ull << bucket_logarithms[i];
    for (unsigned i = 0; i < HP_LIVE_LEVELS; i++)
        ledger->live[i].groups = 512ull << 2 * i;
    ledger->buckets[0].at = hp_ledger_allocate(store, ledger->buckets[0].count * sizeof(hp_offset));
    ledger->fold.spare = hp_slot_make(store);
    ledger->version = HP_LEDGER_VERSION;
    __atomic_store_n(&ledger->magic, HP_LEDGER_MAGIC, __ATOMIC_RELEASE);
    return ledger->buckets[0].at != 0;
}

static bool is_free_number(const struct hp_store *store, struct hp_ledger_thread *thread)
{
    uint32_t tid = __atomic_load_n(&thread->tid, __ATOMIC_RELAXED);
    return tid && !__atomic_load_n(&thread->live, __ATOMIC_RELAXED) && store->ways.is_gone && store->ways.is_gone(tid);
}

struct hp_ledger_thread *hp_thread_of(const struct hp_store *store, uint32_t number)
{
    if (!number || number > HP_THREADS)
        return NULL;
    uint64_t *page = &store->ledger->threads_at[(number - 1) / HP_THREAD_PAGE];
    uint64_t at = __atomic_load_n(page, __ATOMIC_ACQUIRE);
    if (!at) {
        uint64_t made = hp_ledger_allocate(store, HP_THREAD_PAGE * sizeof(struct hp_ledger_thread));
        if (!made)
            return NULL;
        /* What another thread made first counts; ours is never used then. */
        at = __atomic_compare_exchange_n(page, &at, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ? made : at;
    }
    return (struct hp_ledger_thread *)hp_store_at(store, at) + (number - 1) % HP_THREAD_PAGE;
}

#define NUMBER_TRIES 64 /* to take over the number of a thread that is gone; each asks the kernel */

uint32_t hp_thread_number(const struct hp_store *store, uint32_t tid)
{
    struct hp_ledger *ledger = store->ledger;
    uint32_t count = __atomic_load_n(&ledger->thread_count, __ATOMIC_RELAXED);
    while (count < HP_THREADS) {
        if (!__atomic_compare_exchange_n(&ledger->thread_count, &count, count + 1, false, __ATOMIC_RELAXED,
                                         __ATOMIC_RELAXED))
            continue;
        struct hp_ledger_thread *thread = hp_thread_of(store, count + 1);
        if (thread)
            __atomic_store_n(&thread->tid, tid, __ATOMIC_RELAXED);
        return thread ? count + 1 : 0;
    }
    for (unsigned i = 0; i < NUMBER_TRIES; i++) {
        uint32_t number = __atomic_fetch_add(&ledger->thread_hand, 1, __ATOMIC_RELAXED) % HP_THREADS + 1;
        struct hp_ledger_thread *thread = hp_thread_of(store, number);
        uint32_t old = thread ? __atomic_load_n(&thread->tid, __ATOMIC_RELAXED) : 0;
        if (thread && is_free_number(store, thread) &&
            __atomic_compare_exchange_n(&thread->tid, &old, tid, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return number;
    }
    return 0;
}

bool hp_tally_swap(struct hp_tally *pair, struct hp_tally expected, struct hp_tally desired)
{
    const uint64_t from[2] = {expected.objects, expected.bytes}, to[2] = {desired.objects, desired.bytes};
    return hp_swap_two(pair, from, to);
}

void hp_tally_add(struct hp_tally *tally, uint64_t objects, uint64_t bytes)
{
    struct hp_tally old;
    do
        old = hp_tally_read(tally);
    while (!hp_tally_swap(tally, old, (struct hp_tally){old.objects + objects, old.bytes + bytes}));
}

/* Every change raises objects, so bytes read between two equal values of objects belong to them. */
struct hp_tally hp_tally_read(const struct hp_tally *tally)
{
    struct hp_tally value;
    uint64_t again = __atomic_load_n(&tally->objects, __ATOMIC_ACQUIRE);
    do {
        value.objects = again;
        value.bytes = __atomic_load_n(&tally->bytes, __ATOMIC_ACQUIRE);
        again = __atomic_load_n(&tally->objects, __ATOMIC_ACQUIRE);
    } while (again != value.objects);
    return value;
}

/* Exact up to 32 bytes, then 16 classes to an octave. */
uint16_t hp_size_class(uint64_t size)
{
    if (size < 32)
        return (uint16_t)size;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(size);
    return (uint16_t)(exponent * 16 + (size >> (exponent - 4) & 15));
}

struct hp_audit hp_audit_read(const struct hp_ledger *ledger)
{
    struct hp_audit audit = {0};
    const uint64_t *from = (const uint64_t *)&ledger->audit;
    uint64_t *to = (uint64_t *)&audit;
    for (size_t i = 0; i < sizeof audit / sizeof *to; i++)
        to[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
    return audit;
}

uint64_t hp_audit_own_ns(const struct hp_audit *audit)
{
    double mean = audit->timed ? (double)audit->timed_ns / (double)audit->timed : 0;
    double calls = mean * (double)audit->calls;
    return (calls < 0x1p62 ? (uint64_t)calls : 0) + audit->other_ns;
}
