/* The table of live samples: address -> what was allocated there.
 *
 * It must answer "not there" for most page-aligned frees of the target with one cache line, hold millions of objects at
 * interval 1, never wait, and leave nothing behind when an object goes. Open addressing with tombstones fills up with
 * them; chains need a free list with its ABA problem. So: an address belongs to one group (a cache line of 7 keys), and
 * when that is full, to one of the few groups after it; the group then counts the addresses that it has elsewhere. A
 * search reads one line, and more only if that count is not 0. Removing is one store. When the probes of one level are
 * full the next, larger level takes over.
 *
 * Why it is safe without locks: for one address insert, take and drop follow each other in time (the allocator does not
 * hand it out twice at once), so only different addresses meet, and these meet only when a slot changes owner, by
 * compare-and-swap on its key. The overflow count is raised before the address becomes visible elsewhere and lowered
 * after it is gone, so whoever looks for it finds the count above 0.
 */
#include "ledger/rows.h"

#include <string.h>

#define BUSY 1ull

struct place {
    struct hp_live_group *group;
    uint64_t index; /* of the group in its level */
};

static uint64_t hash_address(uint64_t address)
{
    uint64_t hash = (address >> 4) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 32;
}

static struct place place_at(const struct hp_ledger *ledger, unsigned level, uint64_t hash, unsigned probe)
{
    const struct hp_live_level *live = &ledger->layout.live[level];
    uint64_t index = (hash + probe) & (live->groups - 1);
    uint64_t at = live->groups_at + index * sizeof(struct hp_live_group);
    return (struct place){.group = (struct hp_live_group *)((char *)ledger + at), .index = index};
}

static uint64_t group_offset(const struct hp_ledger *ledger, const struct place *place)
{
    return (uint64_t)((char *)place->group - (char *)ledger);
}

/* Byte offset in the region of a slot's data. First slots lie beside each other, so that few objects in many groups need
 * few blocks. */
static uint64_t data_offset(const struct hp_live_level *live, uint64_t group, unsigned slot)
{
    return live->data_at + (slot * live->groups + group) * sizeof(struct hp_live_data);
}

static struct hp_live_data *data_of(const struct hp_ledger *ledger, unsigned level, const struct place *place,
                                    unsigned slot)
{
    uint64_t at = data_offset(&ledger->layout.live[level], place->index, slot);
    return (struct hp_live_data *)((char *)ledger + at);
}

/* A slot's data as hp_live_each may meet them, half way between two owners: release and acquire make the change of the
 * key that came before the new data visible with them, so that a reader that got any of them sees another key. */
static void store_data(struct hp_live_data *there, const struct hp_live_data *data)
{
    __atomic_store_n(&there->size, data->size, __ATOMIC_RELEASE);
    __atomic_store_n(&there->entry, data->entry, __ATOMIC_RELEASE);
    __atomic_store_n(&there->time_ms, data->time_ms, __ATOMIC_RELEASE);
    __atomic_store_n(&there->thread, data->thread, __ATOMIC_RELEASE);
}

static struct hp_live_data load_data(const struct hp_live_data *there)
{
    return (struct hp_live_data){.size = __atomic_load_n(&there->size, __ATOMIC_ACQUIRE),
                                 .entry = __atomic_load_n(&there->entry, __ATOMIC_ACQUIRE),
                                 .time_ms = __atomic_load_n(&there->time_ms, __ATOMIC_ACQUIRE),
                                 .thread = __atomic_load_n(&there->thread, __ATOMIC_ACQUIRE)};
}

static bool insert_in_group(struct hp_ledger *ledger, unsigned level, const struct place *place, uint64_t address,
                            const struct hp_live_data *data)
{
    for (unsigned slot = 0; slot < HP_LIVE_SLOTS; slot++) {
        uint64_t *key = &place->group->keys[slot];
        uint64_t empty = 0;
        if (__atomic_load_n(key, __ATOMIC_RELAXED))
            continue;
        struct hp_live_data *there = data_of(ledger, level, place, slot);
        if (!hp_ledger_reserve(ledger, (uint64_t)((char *)there - (char *)ledger), sizeof *there))
            return false;
        if (!__atomic_compare_exchange_n(key, &empty, address | BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        store_data(there, data);
        __atomic_store_n(key, address, __ATOMIC_RELEASE);
        return true;
    }
    return false;
}

static bool insert_in_level(struct hp_ledger *ledger, unsigned level, uint64_t hash, uint64_t address,
                            const struct hp_live_data *data)
{
    struct place home = place_at(ledger, level, hash, 0);
    if (!hp_ledger_reserve(ledger, group_offset(ledger, &home), sizeof *home.group))
        return false;
    if (insert_in_group(ledger, level, &home, address, data))
        return true;
    hp_count(&home.group->overflow, 1u);
    for (unsigned probe = 1; probe < HP_LIVE_PROBES; probe++) {
        struct place place = place_at(ledger, level, hash, probe);
        if (hp_ledger_reserve(ledger, group_offset(ledger, &place), sizeof *place.group) &&
            insert_in_group(ledger, level, &place, address, data))
            return true;
    }
    __atomic_fetch_sub(&home.group->overflow, 1u, __ATOMIC_RELAXED);
    return false;
}

bool hp_live_insert(struct hp_ledger *ledger, uint64_t address, const struct hp_live_data *data)
{
    uint64_t hash = hash_address(address);
    for (unsigned level = 0; level < HP_LIVE_LEVELS && ledger->layout.live[level].groups; level++) {
        uint32_t used = __atomic_load_n(&ledger->live_levels, __ATOMIC_ACQUIRE);
        while (used < level + 1 && !__atomic_compare_exchange_n(&ledger->live_levels, &used, level + 1, false,
                                                                __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            ;
        if (insert_in_level(ledger, level, hash, address, data))
            return true;
    }
    return false;
}

static bool take_from_group(const struct hp_ledger *ledger, unsigned level, const struct place *place,
                            uint64_t address, struct hp_live_ref *ref)
{
    for (unsigned slot = 0; slot < HP_LIVE_SLOTS; slot++) {
        uint64_t *key = &place->group->keys[slot];
        uint64_t expected = address;
        if (__atomic_load_n(key, __ATOMIC_RELAXED) != address)
            continue;
        if (!__atomic_compare_exchange_n(key, &expected, address | BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return false; /* freed twice at once by the target: the other one has it */
        ref->key = key;
        ref->data = data_of(ledger, level, place, slot);
        ref->address = address;
        return true;
    }
    return false;
}

bool hp_live_take(struct hp_ledger *ledger, uint64_t address, struct hp_live_ref *ref)
{
    uint64_t hash = hash_address(address);
    unsigned levels = __atomic_load_n(&ledger->live_levels, __ATOMIC_ACQUIRE);
    for (unsigned level = 0; level < levels; level++) {
        struct place home = place_at(ledger, level, hash, 0);
        if (!hp_ledger_is_reserved(ledger, group_offset(ledger, &home)))
            continue;
        ref->overflow = NULL;
        if (take_from_group(ledger, level, &home, address, ref))
            return true;
        if (!__atomic_load_n(&home.group->overflow, __ATOMIC_RELAXED))
            continue;
        ref->overflow = &home.group->overflow;
        for (unsigned probe = 1; probe < HP_LIVE_PROBES; probe++) {
            struct place place = place_at(ledger, level, hash, probe);
            if (hp_ledger_is_reserved(ledger, group_offset(ledger, &place)) &&
                take_from_group(ledger, level, &place, address, ref))
                return true;
        }
    }
    return false;
}

void hp_live_drop(struct hp_live_ref *ref)
{
    __atomic_store_n(ref->key, 0, __ATOMIC_RELEASE);
    if (ref->overflow)
        __atomic_fetch_sub(ref->overflow, 1u, __ATOMIC_RELAXED);
}

void hp_live_restore(struct hp_live_ref *ref)
{
    __atomic_store_n(ref->key, ref->address, __ATOMIC_RELEASE);
}

typedef void visit_fn(void *state, uint64_t address, const struct hp_live_data *data);

static void visit_slot(const uint64_t *slot, const struct hp_live_data *there, visit_fn *visit, void *state)
{
    uint64_t key = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (!key || key & BUSY)
        return;
    struct hp_live_data data = load_data(there);
    if (__atomic_load_n(slot, __ATOMIC_ACQUIRE) == key)
        visit(state, key, &data);
}

void hp_live_each(const struct hp_ledger *ledger, visit_fn *visit, void *state)
{
    unsigned levels = __atomic_load_n(&ledger->live_levels, __ATOMIC_ACQUIRE);
    for (unsigned level = 0; level < levels && level < HP_LIVE_LEVELS; level++) {
        for (uint64_t index = 0; index < ledger->layout.live[level].groups; index++) {
            struct place place = place_at(ledger, level, index, 0);
            if (!hp_ledger_is_reserved(ledger, group_offset(ledger, &place)))
                continue;
            for (unsigned slot = 0; slot < HP_LIVE_SLOTS; slot++)
                visit_slot(&place.group->keys[slot], data_of(ledger, level, &place, slot), visit, state);
        }
    }
}

void hp_ledger_view_live(const struct hp_ledger_view *view, visit_fn *visit, void *state)
{
    unsigned levels = __atomic_load_n(&view->ledger->live_levels, __ATOMIC_ACQUIRE);
    for (unsigned level = 0; level < levels && level < HP_LIVE_LEVELS; level++) {
        const struct hp_live_level *live = &view->layout.live[level];
        for (uint64_t index = 0; index < live->groups; index++) {
            uint64_t at = live->groups_at + index * sizeof(struct hp_live_group);
            const struct hp_live_group *group = hp_ledger_view_bytes(view, at, sizeof *group);
            if (!group)
                index |= HP_BLOCK / sizeof *group - 1; /* the rest of a block that was never used */
            for (unsigned slot = 0; group && slot < HP_LIVE_SLOTS; slot++) {
                at = data_offset(live, index, slot);
                const struct hp_live_data *data = hp_ledger_view_bytes(view, at, sizeof *data);
                if (data)
                    visit_slot(&group->keys[slot], data, visit, state);
            }
        }
    }
}

static void empty_busy_slots(struct hp_ledger *ledger)
{
    for (unsigned level = 0; level < ledger->live_levels; level++) {
        for (uint64_t index = 0; index < ledger->layout.live[level].groups; index++) {
            struct place place = place_at(ledger, level, index, 0);
            if (!hp_ledger_is_reserved(ledger, group_offset(ledger, &place)))
                continue;
            for (unsigned slot = 0; slot < HP_LIVE_SLOTS; slot++)
                if (place.group->keys[slot] & BUSY)
                    place.group->keys[slot] = 0;
        }
    }
}

static void for_each_entry(struct hp_ledger *ledger, void (*change)(struct hp_entry *entry))
{
    for (unsigned level = 0; level < ledger->bucket_levels; level++) {
        const struct hp_bucket_level *buckets = &ledger->layout.buckets[level];
        for (uint64_t i = 0; i < buckets->count; i++) {
            uint64_t at = buckets->at + i * sizeof(hp_offset);
            if (!hp_ledger_is_reserved(ledger, at))
                continue;
            for (hp_offset offset = *(hp_offset *)((char *)ledger + at); offset;) {
                struct hp_record *record = hp_ledger_at(ledger, offset);
                if (record->kind == HP_RECORD_ENTRY)
                    change((struct hp_entry *)record);
                offset = record->next;
            }
        }
    }
}

/* While settling, `freed` holds the sum of the live objects. */
static void start_settling(struct hp_entry *entry)
{
    entry->freed = (struct hp_pair){0, 0};
}

static void add_live(void *state, uint64_t address, const struct hp_live_data *data)
{
    struct hp_entry *entry = hp_ledger_at(state, data->entry);
    entry->freed.objects++;
    entry->freed.bytes += data->size;
}

static void finish_settling(struct hp_entry *entry)
{
    struct hp_pair live = entry->freed;
    if (entry->alloc.objects < live.objects || entry->alloc.bytes < live.bytes)
        entry->alloc = live; /* inserted by another thread, not counted yet when the copy was made */
    entry->freed.objects = entry->alloc.objects - live.objects;
    entry->freed.bytes = entry->alloc.bytes - live.bytes;
}

void hp_ledger_settle(struct hp_ledger *ledger)
{
    empty_busy_slots(ledger);
    for_each_entry(ledger, start_settling);
    hp_live_each(ledger, add_live, ledger);
    for_each_entry(ledger, finish_settling);
}
