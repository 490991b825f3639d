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
#include "ledger/ledger_view.h"

#include <string.h>

#define BUSY 1ull

/* Of a group. */
struct place {
    uint64_t at;    /* byte offset */
    uint64_t index; /* in its level */
};

static uint64_t hash_address(uint64_t address)
{
    uint64_t hash = (address >> 4) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 32;
}

/* Of a level that was made. */
static struct place place_at(const struct hp_store *store, unsigned level, uint64_t hash, unsigned probe)
{
    const struct hp_live_level *live = &store->ledger->live[level];
    uint64_t index = (hash + probe) & (live->groups - 1);
    uint64_t at = __atomic_load_n(&live->at, __ATOMIC_ACQUIRE) + index * sizeof(struct hp_live_group);
    return (struct place){.at = at, .index = index};
}

static struct hp_live_group *group_of(const struct hp_store *store, const struct place *place)
{
    return hp_store_at(store, place->at);
}

/* Byte offset of a slot's data. First slots lie beside each other, so that few objects in many groups need few blocks.
 * */
static uint64_t data_offset(const struct hp_live_level *live, uint64_t at, uint64_t group, unsigned slot)
{
    return at + live->groups * sizeof(struct hp_live_group) +
           (slot * live->groups + group) * sizeof(struct hp_live_data);
}

static uint64_t level_size(const struct hp_live_level *live)
{
    return live->groups * (sizeof(struct hp_live_group) + HP_LIVE_SLOTS * sizeof(struct hp_live_data));
}

static uint64_t data_at(const struct hp_store *store, unsigned level, const struct place *place, unsigned slot)
{
    const struct hp_live_level *live = &store->ledger->live[level];
    return data_offset(live, __atomic_load_n(&live->at, __ATOMIC_RELAXED), place->index, slot);
}

static bool is_made(const struct hp_store *store, unsigned level)
{
    return __atomic_load_n(&store->ledger->live[level].at, __ATOMIC_ACQUIRE) != 0;
}

/* True if the level is there, or could be made. */
static bool make_level(const struct hp_store *store, unsigned level)
{
    struct hp_live_level *live = &store->ledger->live[level];
    uint64_t none = 0, made;
    if (is_made(store, level))
        return true;
    made = hp_ledger_take(store, level_size(live));
    /* What another thread made first counts. Two of the larger levels are more than there is room for. */
    if (made && !__atomic_compare_exchange_n(&live->at, &none, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        hp_ledger_give_back(store, made, level_size(live));
    return made != 0 || is_made(store, level);
}

/* A slot's data as hp_live_each may meet them, half way between two owners: release and acquire make the change of the
 * key that came before the new data visible with them, so that a reader that got any of them sees another key. */
static void store_data(struct hp_live_data *there, const struct hp_live_data *data)
{
    __atomic_store_n(&there->size, data->size, __ATOMIC_RELEASE);
    __atomic_store_n(&there->row, data->row, __ATOMIC_RELEASE);
    __atomic_store_n(&there->time_ms, data->time_ms, __ATOMIC_RELEASE);
    __atomic_store_n(&there->thread, data->thread, __ATOMIC_RELEASE);
}

static struct hp_live_data load_data(const struct hp_live_data *there)
{
    return (struct hp_live_data){.size = __atomic_load_n(&there->size, __ATOMIC_ACQUIRE),
                                 .row = __atomic_load_n(&there->row, __ATOMIC_ACQUIRE),
                                 .time_ms = __atomic_load_n(&there->time_ms, __ATOMIC_ACQUIRE),
                                 .thread = __atomic_load_n(&there->thread, __ATOMIC_ACQUIRE)};
}

static bool insert_in_group(const struct hp_store *store, unsigned level, const struct place *place, uint64_t address,
                            const struct hp_live_data *data)
{
    struct hp_live_group *group = group_of(store, place);
    for (unsigned slot = 0; slot < HP_LIVE_SLOTS; slot++) {
        uint64_t *key = &group->keys[slot];
        uint64_t empty = 0, there = data_at(store, level, place, slot);
        if (__atomic_load_n(key, __ATOMIC_RELAXED))
            continue;
        if (!hp_ledger_reserve(store, there, sizeof *data))
            return false;
        if (!__atomic_compare_exchange_n(key, &empty, address | BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        store_data(hp_store_at(store, there), data);
        __atomic_store_n(key, address, __ATOMIC_RELEASE);
        return true;
    }
    return false;
}

static bool insert_in_level(const struct hp_store *store, unsigned level, uint64_t hash, uint64_t address,
                            const struct hp_live_data *data)
{
    struct place home = place_at(store, level, hash, 0);
    if (!hp_ledger_reserve(store, home.at, sizeof(struct hp_live_group)))
        return false;
    if (insert_in_group(store, level, &home, address, data))
        return true;
    uint32_t *overflow = &group_of(store, &home)->overflow;
    hp_count(overflow, 1u);
    for (unsigned probe = 1; probe < HP_LIVE_PROBES; probe++) {
        struct place place = place_at(store, level, hash, probe);
        if (hp_ledger_reserve(store, place.at, sizeof(struct hp_live_group)) &&
            insert_in_group(store, level, &place, address, data))
            return true;
    }
    __atomic_fetch_sub(overflow, 1u, __ATOMIC_RELAXED);
    return false;
}

bool hp_live_insert(const struct hp_store *store, uint64_t address, const struct hp_live_data *data)
{
    uint64_t hash = hash_address(address);
    for (unsigned level = 0; level < HP_LIVE_LEVELS && make_level(store, level); level++)
        if (insert_in_level(store, level, hash, address, data))
            return true;
    return false;
}

static bool take_from_group(const struct hp_store *store, unsigned level, const struct place *place, uint64_t address,
                            struct hp_live_ref *ref)
{
    struct hp_live_group *group = group_of(store, place);
    for (unsigned slot = 0; slot < HP_LIVE_SLOTS; slot++) {
        uint64_t *key = &group->keys[slot];
        uint64_t expected = address;
        if (__atomic_load_n(key, __ATOMIC_RELAXED) != address)
            continue;
        if (!__atomic_compare_exchange_n(key, &expected, address | BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return false; /* freed twice at once by the target: the other one has it */
        ref->key = key;
        ref->data = hp_store_at(store, data_at(store, level, place, slot));
        ref->address = address;
        return true;
    }
    return false;
}

bool hp_live_take(const struct hp_store *store, uint64_t address, struct hp_live_ref *ref)
{
    uint64_t hash = hash_address(address);
    for (unsigned level = 0; level < HP_LIVE_LEVELS && is_made(store, level); level++) {
        struct place home = place_at(store, level, hash, 0);
        if (!hp_ledger_is_reserved(store->ledger, home.at))
            continue;
        struct hp_live_group *group = group_of(store, &home);
        ref->overflow = NULL;
        if (take_from_group(store, level, &home, address, ref))
            return true;
        if (!__atomic_load_n(&group->overflow, __ATOMIC_RELAXED))
            continue;
        ref->overflow = &group->overflow;
        for (unsigned probe = 1; probe < HP_LIVE_PROBES; probe++) {
            struct place place = place_at(store, level, hash, probe);
            if (hp_ledger_is_reserved(store->ledger, place.at) && take_from_group(store, level, &place, address, ref))
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

void hp_live_each(const struct hp_store *store, visit_fn *visit, void *state)
{
    for (unsigned level = 0; level < HP_LIVE_LEVELS && is_made(store, level); level++) {
        for (uint64_t index = 0; index < store->ledger->live[level].groups; index++) {
            struct place place = place_at(store, level, index, 0);
            if (!hp_ledger_is_reserved(store->ledger, place.at)) {
                /* The rest of a block that was never used. */
                index += (HP_BLOCK - place.at % HP_BLOCK - 1) / sizeof(struct hp_live_group);
                continue;
            }
            const struct hp_live_group *group = group_of(store, &place);
            for (unsigned slot = 0; slot < HP_LIVE_SLOTS; slot++)
                if (__atomic_load_n(&group->keys[slot], __ATOMIC_RELAXED))
                    visit_slot(&group->keys[slot], hp_store_at(store, data_at(store, level, &place, slot)), visit,
                               state);
        }
    }
}

void hp_ledger_view_live(const struct hp_ledger_view *view, visit_fn *visit, void *state)
{
    for (unsigned level = 0; level < HP_LIVE_LEVELS; level++) {
        const struct hp_live_level *live = &view->live[level];
        for (uint64_t index = 0; live->at && index < live->groups; index++) {
            uint64_t at = live->at + index * sizeof(struct hp_live_group);
            const struct hp_live_group *group = hp_ledger_view_bytes(view, at, sizeof *group);
            if (!group) /* the rest of a block that was never used */
                index += (HP_BLOCK - at % HP_BLOCK - 1) / sizeof *group;
            for (unsigned slot = 0; group && slot < HP_LIVE_SLOTS; slot++) {
                if (!__atomic_load_n(&group->keys[slot], __ATOMIC_RELAXED))
                    continue;
                uint64_t there = data_offset(live, live->at, index, slot);
                const struct hp_live_data *data = hp_ledger_view_bytes(view, there, sizeof *data);
                if (data)
                    visit_slot(&group->keys[slot], data, visit, state);
            }
        }
    }
}
