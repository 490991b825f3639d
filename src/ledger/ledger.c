#include "ledger/ledger.h"

#include <string.h>

static hp_reserve_fn *reserve_region;

void hp_ledger_set_reserve(hp_reserve_fn *reserve)
{
    reserve_region = reserve;
}

static uint64_t blocks_of(uint64_t size)
{
    return (size + HP_BLOCK - 1) / HP_BLOCK;
}

unsigned hp_ledger_header_blocks(void)
{
    return (unsigned)blocks_of(sizeof(struct hp_ledger));
}

/* Levels grow by a large factor, so that few have to be searched; later ones are only used, and only cost memory, when
 * the earlier ones are full. A level that the budget could never fill is left out, to spare address space. */
struct hp_layout hp_ledger_layout(uint64_t budget)
{
    struct hp_layout layout = {0};
    uint64_t at = (uint64_t)hp_ledger_header_blocks() * HP_BLOCK;
    layout.modules_at = at;
    at += blocks_of(HP_MODULES * sizeof(struct hp_ledger_module)) * HP_BLOCK;
    layout.threads_at = at;
    at += blocks_of(HP_THREADS * sizeof(struct hp_ledger_thread)) * HP_BLOCK;
    for (unsigned i = 0; i < HP_BUCKET_LEVELS; i++) {
        static const uint8_t logarithms[HP_BUCKET_LEVELS] = {12, 15, 19};
        uint64_t count = 1ull << logarithms[i];
        layout.buckets[i] = (struct hp_bucket_level){.count = count, .at = at};
        at += blocks_of(count * sizeof(hp_offset)) * HP_BLOCK;
    }
    uint64_t groups = 512;
    for (unsigned i = 0; i < HP_LIVE_LEVELS; i++, groups *= 8) {
        uint64_t group_bytes = blocks_of(groups * sizeof(struct hp_live_group)) * HP_BLOCK;
        uint64_t data_bytes = blocks_of(groups * HP_LIVE_SLOTS * sizeof(struct hp_live_data)) * HP_BLOCK;
        if (i > 0 && group_bytes + data_bytes > 3 * budget)
            break;
        layout.live[i] = (struct hp_live_level){.groups = groups, .groups_at = at, .data_at = at + group_bytes};
        at += group_bytes + data_bytes;
    }
    layout.arena_at = at;
    layout.arena_limit = at + blocks_of(budget) * HP_BLOCK;
    layout.size = layout.arena_limit;
    return layout;
}

void hp_ledger_init(struct hp_ledger *ledger, uint64_t budget, uint32_t depth)
{
    ledger->layout = hp_ledger_layout(budget);
    ledger->budget = budget;
    ledger->depth = depth;
    ledger->header_size = sizeof *ledger;
    ledger->live_levels = 1;
    ledger->bucket_levels = 1;
    ledger->arena_next = ledger->layout.arena_at;
    for (unsigned i = 0; i < hp_ledger_header_blocks(); i++)
        ledger->block_map[i / 64] |= 1ull << (i % 64);
    ledger->version = HP_LEDGER_VERSION;
    __atomic_store_n(&ledger->magic, HP_LEDGER_MAGIC, __ATOMIC_RELEASE);
}

static bool reserve_block(struct hp_ledger *ledger, uint64_t block)
{
    uint64_t *word = &ledger->block_map[block / 64];
    uint64_t bit = 1ull << (block % 64);
    if (__atomic_load_n(word, __ATOMIC_ACQUIRE) & bit)
        return true;
    uint64_t header = (uint64_t)hp_ledger_header_blocks() * HP_BLOCK;
    if (header + __atomic_load_n(&ledger->reserved, __ATOMIC_RELAXED) + HP_BLOCK > ledger->budget)
        return false;
    if (reserve_region && reserve_region(ledger, block * HP_BLOCK, HP_BLOCK) < 0)
        return false;
    if (!(__atomic_fetch_or(word, bit, __ATOMIC_ACQ_REL) & bit))
        hp_count(&ledger->reserved, HP_BLOCK);
    return true;
}

bool hp_ledger_reserve(struct hp_ledger *ledger, uint64_t offset, uint64_t size)
{
    const uint64_t first = offset / HP_BLOCK, last = (offset + size - 1) / HP_BLOCK;
    if (first == last && hp_ledger_is_reserved(ledger, offset)) /* nearly always */
        return true;
    for (uint64_t block = first; block <= last; block++)
        if (!reserve_block(ledger, block))
            return false;
    return true;
}

uint64_t hp_ledger_allocate(struct hp_ledger *ledger, uint64_t size)
{
    size = (size + 15) & ~15ull;
    uint64_t at = __atomic_load_n(&ledger->arena_next, __ATOMIC_RELAXED);
    do {
        if (size > ledger->layout.arena_limit - at || !hp_ledger_reserve(ledger, at, size))
            return 0;
    } while (!__atomic_compare_exchange_n(&ledger->arena_next, &at, at + size, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return at;
}

void hp_ledger_set_thread(struct hp_ledger *ledger, uint32_t number, uint32_t tid)
{
    uint64_t at = ledger->layout.threads_at + (number - 1) % HP_THREADS * sizeof(struct hp_ledger_thread);
    struct hp_ledger_thread *thread = (struct hp_ledger_thread *)((char *)ledger + at);
    if (hp_ledger_reserve(ledger, at, sizeof *thread))
        __atomic_store_n(&thread->number_and_tid, (uint64_t)number << 32 | tid, __ATOMIC_RELAXED);
}

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    value ^= value >> 32;
    return value;
}

uint64_t hp_hash_frames(const uint64_t *frames, size_t depth)
{
    uint64_t hash = depth;
    for (size_t i = 0; i < depth; i++) /* the rotation brings down what multiplying moves up */
        hash = ((hash << 29 | hash >> 35) ^ frames[i]) * 0x9e3779b97f4a7c15ull;
    return mix(hash);
}

static hp_offset *bucket_of(const struct hp_ledger *ledger, unsigned level, uint64_t hash)
{
    const struct hp_bucket_level *buckets = &ledger->layout.buckets[level];
    uint64_t at = buckets->at + (hash & (buckets->count - 1)) * sizeof(hp_offset);
    return (hp_offset *)((char *)ledger + at);
}

/* What tells a record from others with its hash. */
struct wanted {
    uint64_t hash;
    const uint64_t *frames; /* a stack's; NULL: an entry is wanted */
    size_t depth;
    hp_offset stack;
    uint16_t size_class, epoch;
};

static bool matches(const struct hp_record *record, const struct wanted *wanted)
{
    if (record->hash != wanted->hash)
        return false;
    if (wanted->frames)
        return record->kind == HP_RECORD_STACK && record->depth == wanted->depth &&
               !memcmp(((const struct hp_stack *)record)->frames, wanted->frames,
                       wanted->depth * sizeof wanted->frames[0]);
    const struct hp_entry *entry = (const struct hp_entry *)record;
    return record->kind == HP_RECORD_ENTRY && entry->stack == wanted->stack &&
           entry->size_class == wanted->size_class && entry->epoch == wanted->epoch;
}

/* Search one chain from `from` up to, not including, `until`. */
static hp_offset search_chain(const struct hp_ledger *ledger, hp_offset from, hp_offset until,
                              const struct wanted *wanted)
{
    for (hp_offset at = from; at && at != until;) {
        const struct hp_record *record = hp_ledger_at(ledger, at);
        if (matches(record, wanted))
            return at;
        at = record->next;
    }
    return 0;
}

static hp_offset find(const struct hp_ledger *ledger, const struct wanted *wanted)
{
    unsigned levels = __atomic_load_n(&ledger->bucket_levels, __ATOMIC_ACQUIRE);
    for (unsigned level = 0; level < levels; level++) {
        hp_offset *bucket = bucket_of(ledger, level, wanted->hash);
        if (!hp_ledger_is_reserved(ledger, (uint64_t)((char *)bucket - (char *)ledger)))
            continue;
        hp_offset found = search_chain(ledger, __atomic_load_n(bucket, __ATOMIC_ACQUIRE), 0, wanted);
        if (found)
            return found;
    }
    return 0;
}

static void raise_to(uint32_t *level, uint32_t least)
{
    uint32_t now = __atomic_load_n(level, __ATOMIC_ACQUIRE);
    while (now < least &&
           !__atomic_compare_exchange_n(level, &now, least, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
}

/* Publish the complete record at `at`, unless an equal one came first: that one then. The level that new records go to
 * may change in between; an equal pair of records may then exist in two levels, which readers add up. */
static hp_offset publish(struct hp_ledger *ledger, uint64_t at, const struct wanted *wanted, uint32_t *counter)
{
    uint32_t records = __atomic_load_n(&ledger->entry_count, __ATOMIC_RELAXED) +
                       __atomic_load_n(&ledger->stack_count, __ATOMIC_RELAXED);
    unsigned level = 0;
    while (level + 1 < HP_BUCKET_LEVELS && records >= 2 * ledger->layout.buckets[level].count)
        level++;
    hp_offset *bucket = bucket_of(ledger, level, wanted->hash);
    while (!hp_ledger_reserve(ledger, (uint64_t)((char *)bucket - (char *)ledger), sizeof *bucket)) {
        if (level == 0)
            return 0;
        bucket = bucket_of(ledger, --level, wanted->hash);
    }
    raise_to(&ledger->bucket_levels, level + 1);
    struct hp_record *record = (struct hp_record *)((char *)ledger + at);
    hp_offset head = __atomic_load_n(bucket, __ATOMIC_ACQUIRE), searched = 0;
    do {
        hp_offset twin = search_chain(ledger, head, searched, wanted);
        if (twin)
            return twin;
        searched = head;
        record->next = head;
    } while (!__atomic_compare_exchange_n(bucket, &head, (hp_offset)(at / 16), false, __ATOMIC_RELEASE,
                                          __ATOMIC_ACQUIRE));
    hp_count(counter, 1u);
    return (hp_offset)(at / 16);
}

hp_offset hp_ledger_find_stack(const struct hp_ledger *ledger, const uint64_t *frames, size_t depth, uint64_t hash)
{
    const struct wanted wanted = {.hash = hash, .frames = frames, .depth = depth};
    return find(ledger, &wanted);
}

hp_offset hp_ledger_add_stack(struct hp_ledger *ledger, const uint64_t *frames, size_t depth, uint64_t hash)
{
    const struct wanted wanted = {.hash = hash, .frames = frames, .depth = depth};
    uint64_t at = hp_ledger_allocate(ledger, sizeof(struct hp_stack) + depth * sizeof frames[0]);
    if (!at)
        return 0;
    struct hp_stack *stack = (struct hp_stack *)((char *)ledger + at);
    stack->record = (struct hp_record){.kind = HP_RECORD_STACK, .depth = (uint16_t)depth, .hash = hash};
    memcpy(stack->frames, frames, depth * sizeof frames[0]);
    return publish(ledger, at, &wanted, &ledger->stack_count);
}

hp_offset hp_ledger_entry(struct hp_ledger *ledger, hp_offset stack, uint16_t size_class, uint16_t epoch)
{
    uint64_t key = (uint64_t)stack << 32 | (uint64_t)size_class << 16 | epoch;
    const struct wanted wanted = {
        .hash = mix(key * 0x9e3779b97f4a7c15ull), .stack = stack, .size_class = size_class, .epoch = epoch};
    hp_offset found = find(ledger, &wanted);
    if (found)
        return found;
    uint64_t at = hp_ledger_allocate(ledger, sizeof(struct hp_entry));
    if (!at)
        return 0;
    struct hp_entry *entry = (struct hp_entry *)((char *)ledger + at);
    *entry = (struct hp_entry){.record = {.kind = HP_RECORD_ENTRY, .hash = wanted.hash},
                               .stack = stack,
                               .size_class = size_class,
                               .epoch = epoch};
    return publish(ledger, at, &wanted, &ledger->entry_count);
}

__extension__ typedef unsigned __int128 hp_wide;

void hp_pair_add(struct hp_pair *pair, uint64_t objects, uint64_t bytes)
{
    /* __sync, because __atomic of this size calls libatomic, which the target need not have. */
    struct hp_pair old = hp_pair_read(pair);
    for (;;) {
        hp_wide expected = (hp_wide)old.bytes << 64 | old.objects;
        hp_wide desired = (hp_wide)(old.bytes + bytes) << 64 | (old.objects + objects);
        hp_wide seen = __sync_val_compare_and_swap((hp_wide *)pair, expected, desired);
        if (seen == expected)
            return;
        old = (struct hp_pair){.objects = (uint64_t)seen, .bytes = (uint64_t)(seen >> 64)};
    }
}

/* Every change raises objects, so bytes read between two equal values of objects belong to them. */
struct hp_pair hp_pair_read(const struct hp_pair *pair)
{
    struct hp_pair value;
    uint64_t again = __atomic_load_n(&pair->objects, __ATOMIC_ACQUIRE);
    do {
        value.objects = again;
        value.bytes = __atomic_load_n(&pair->bytes, __ATOMIC_ACQUIRE);
        again = __atomic_load_n(&pair->objects, __ATOMIC_ACQUIRE);
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
