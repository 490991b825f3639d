/* Rows: found by key, made in slots, counted in. How they go is fold.c. */
#include "ledger/chain.h"

#include <string.h>

#include "base/atomic_copy.h"

#define LOOKS 64 /* rows that are looked at for each new one, when memory is short */

/* Four to an octave: a slot is at most a quarter larger than its row. Multiples of 4, so that slots are of 32 bytes. */
static const uint16_t depths[HP_ROW_CLASSES] = {4,  8,  12,  16,  20,  24,  28,  32,  40,  48,  56,  64,
                                                80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512};

unsigned hp_slot_depth(unsigned slot_class)
{
    return depths[slot_class];
}

static unsigned class_for(unsigned depth)
{
    unsigned slot_class = 0;
    while (slot_class + 1 < HP_ROW_CLASSES && depths[slot_class] < depth)
        slot_class++;
    return slot_class;
}

static uint64_t slot_size(unsigned slot_class)
{
    return sizeof(struct hp_ledger_row) + depths[slot_class] * sizeof(uint64_t);
}

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    value ^= value >> 32;
    return value;
}

uint64_t hp_key_hash(const struct hp_key *key)
{
    uint64_t hash = (uint64_t)key->depth | (uint64_t)key->size_class << 16 | (uint64_t)key->kind << 32 |
                    (uint64_t)key->folded << 40;
    hash = (hash ^ key->interval) * 0x9e3779b97f4a7c15ull ^ key->label;
#pragma GCC unroll 4
    for (size_t i = 0; i < key->depth; i++) /* the rotation brings down what multiplying moves up */
        hash = ((hash << 29 | hash >> 35) ^ key->frames[i]) * 0x9e3779b97f4a7c15ull;
    return mix(hash);
}

/* The slot may be given to another row meanwhile: then this says something of no meaning, which the generation tells.
 * */
static bool matches(const struct hp_ledger_row *row, const struct hp_key *key)
{
    if (__atomic_load_n(&row->hash, __ATOMIC_RELAXED) != key->hash ||
        __atomic_load_n(&row->depth, __ATOMIC_RELAXED) != key->depth ||
        __atomic_load_n(&row->size_class, __ATOMIC_RELAXED) != key->size_class ||
        __atomic_load_n(&row->interval, __ATOMIC_RELAXED) != key->interval ||
        __atomic_load_n(&row->label, __ATOMIC_RELAXED) != key->label ||
        __atomic_load_n(&row->kind, __ATOMIC_RELAXED) != key->kind ||
        __atomic_load_n(&row->folded, __ATOMIC_RELAXED) != key->folded)
        return false;
#pragma GCC unroll 4
    for (size_t i = 0; i < key->depth; i++)
        if (__atomic_load_n(&row->frames[i], __ATOMIC_RELAXED) != key->frames[i])
            return false;
    return true;
}

/* A row as it was when its key was compared. */
struct found {
    hp_offset row;
    uint64_t life; /* DEAD and generation of row.alloc */
};

static uint64_t life_of(const struct hp_ledger_row *row)
{
    return __atomic_load_n(&row->alloc.objects, __ATOMIC_ACQUIRE) & ~HP_ROW_COUNT_MASK;
}

/* Search one chain from `from` up to, not including, `until`. */
static struct found search_chain(const struct hp_store *store, hp_offset from, hp_offset until,
                                 const struct hp_key *key)
{
    unsigned steps = 0;
    for (hp_offset at = from; at && at != until && steps < HP_CHAIN_MOST; steps++) {
        const struct hp_ledger_row *row = hp_row_at(store, at);
        uint64_t life = life_of(row); /* acquire: the key that is read next is not older */
        if (!(life & HP_ROW_DEAD) && matches(row, key)) {
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (life_of(row) == life)
                return (struct found){at, life};
        }
        at = __atomic_load_n(&row->next, __ATOMIC_ACQUIRE);
    }
    return (struct found){0, 0};
}

hp_offset *hp_chain_there(const struct hp_store *store, unsigned level, uint64_t hash)
{
    const struct hp_bucket_level *buckets = &store->ledger->buckets[level];
    uint64_t at = __atomic_load_n(&buckets->at, __ATOMIC_ACQUIRE);
    if (!at || !hp_ledger_is_reserved(store->ledger, at + (hash & (buckets->count - 1)) * sizeof(hp_offset)))
        return NULL;
    return hp_chain_of(store, level, hash);
}

static struct found find(const struct hp_store *store, const struct hp_key *key)
{
    struct found found = {0, 0};
    for (unsigned level = 0; level < HP_BUCKET_LEVELS && !found.row; level++) {
        const hp_offset *chain = hp_chain_there(store, level, key->hash);
        if (chain)
            found = search_chain(store, __atomic_load_n(chain, __ATOMIC_ACQUIRE), 0, key);
    }
    return found;
}

hp_offset hp_row_find(const struct hp_store *store, const struct hp_key *key)
{
    return find(store, key).row;
}

/* A slot of the list of its class. The tag in the upper half makes a head that was taken and put back in between
 * another one. A slot is read when it may have been taken already: it is a slot all the same. */
static hp_offset pop(const struct hp_store *store, unsigned slot_class)
{
    uint64_t *list = &store->ledger->fold.free_slots[slot_class];
    uint64_t head = __atomic_load_n(list, __ATOMIC_ACQUIRE), after;
    do {
        if (!(uint32_t)head)
            return 0;
        hp_offset next = __atomic_load_n(&hp_row_at(store, (hp_offset)head)->next, __ATOMIC_RELAXED);
        after = ((head >> 32) + 1) << 32 | next;
    } while (!__atomic_compare_exchange_n(list, &head, after, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    __atomic_fetch_sub(&store->ledger->fold.free_bytes, slot_size(slot_class), __ATOMIC_RELAXED);
    return (hp_offset)head;
}

void hp_slot_give_back(const struct hp_store *store, hp_offset slot)
{
    struct hp_ledger_row *row = hp_row_at(store, slot);
    uint64_t *list = &store->ledger->fold.free_slots[row->slot_class];
    hp_count(&store->ledger->fold.free_bytes, slot_size(row->slot_class));
    uint64_t head = __atomic_load_n(list, __ATOMIC_RELAXED), after;
    do {
        /* release: who is led astray by this sees that the row is dead */
        __atomic_store_n(&row->next, (hp_offset)head, __ATOMIC_RELEASE);
        after = ((head >> 32) + 1) << 32 | slot;
    } while (!__atomic_compare_exchange_n(list, &head, after, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* A slot that was never used, born dead. Rows may fill half of the budget; a sixteenth more is for fold rows, which
 * make room for others. What is left is for live objects, and for the scratch memory of dumps. */
static hp_offset new_slot(const struct hp_store *store, unsigned slot_class, bool for_fold)
{
    struct hp_ledger *ledger = store->ledger;
    const uint64_t budget = __atomic_load_n(&ledger->budget, __ATOMIC_RELAXED), size = slot_size(slot_class);
    if (__atomic_load_n(&ledger->row_bytes, __ATOMIC_RELAXED) + size > budget / 2 + (for_fold ? budget / 16 : 0))
        return 0;
    uint64_t at = hp_ledger_allocate(store, size);
    if (!at)
        return 0;
    hp_count(&ledger->row_bytes, size);
    struct hp_ledger_row *row = hp_store_at(store, at);
    row->slot_class = (uint8_t)slot_class;
    row->alloc.objects = HP_ROW_DEAD;
    return (hp_offset)(at / 16);
}

static hp_offset pop_from(const struct hp_store *store, unsigned slot_class, unsigned most)
{
    hp_offset slot = 0;
    for (; !slot && slot_class < most; slot_class++)
        slot = pop(store, slot_class);
    return slot;
}

hp_offset hp_slot_make(const struct hp_store *store)
{
    return new_slot(store, 0, true);
}

#define ROUNDS 16 /* of LOOKS looks: what one new row may take when hardly any row is dead */
#define LOOKS_AHEAD 16

/* Folding begins when a quarter of the rows' share is left: the hand has to come around twice until all is found,
 * while that is filled, and who finds somebody else folding must find a slot all the same. */
static bool is_short(const struct hp_ledger *ledger)
{
    const uint64_t share = __atomic_load_n(&ledger->budget, __ATOMIC_RELAXED) / 2;
    const uint64_t taken = __atomic_load_n(&ledger->row_bytes, __ATOMIC_RELAXED) -
                           __atomic_load_n(&ledger->fold.free_bytes, __ATOMIC_RELAXED);
    return taken > share - share / 4;
}

/* For a row that live objects are to be counted in. */
static hp_offset fold_for_slot(const struct hp_store *store, unsigned slot_class, uint32_t tid, const void *here)
{
    hp_offset slot = 0;
    for (unsigned round = 0; !slot && round < ROUNDS; round++) {
        if (!hp_fold(store, LOOKS, tid, here) ? !hp_fold_wait(store, tid) : hp_fold_is_vain(store->ledger))
            round = ROUNDS;
        slot = pop_from(store, slot_class, HP_ROW_CLASSES);
    }
    for (unsigned smaller = slot_class; !slot && smaller-- > 0;)
        slot = pop(store, smaller);
    return slot;
}

/* A slot for so many frames, or, when there is no way to have one, for fewer. */
static hp_offset take_slot(const struct hp_store *store, unsigned depth, bool may_fold, uint32_t tid, const void *here)
{
    const unsigned slot_class = class_for(depth);
    if (may_fold && is_short(store->ledger))
        hp_fold(store, LOOKS_AHEAD, tid, here);
    hp_offset slot = pop(store, slot_class);
    if (!slot)
        slot = new_slot(store, slot_class, !may_fold);
    if (!slot && may_fold)
        return fold_for_slot(store, slot_class, tid, here);
    if (!slot)
        slot = pop_from(store, slot_class, HP_ROW_CLASSES);
    return slot ? slot : __atomic_exchange_n(&store->ledger->fold.spare, 0, __ATOMIC_RELAXED);
}

/* Rows per chain at which the next level takes over. */
#define CHAIN_USUAL 2

/* The chain for a new row: of the level that so many rows want, which is made if need be, or of the one before. */
static hp_offset *chain_for(const struct hp_store *store, uint64_t hash)
{
    struct hp_ledger *ledger = store->ledger;
    uint32_t rows = __atomic_load_n(&ledger->row_count, __ATOMIC_RELAXED);
    unsigned level = 0;
    while (level + 1 < HP_BUCKET_LEVELS && rows >= CHAIN_USUAL * ledger->buckets[level].count)
        level++;
    for (;; level--) {
        struct hp_bucket_level *buckets = &ledger->buckets[level];
        uint64_t at = __atomic_load_n(&buckets->at, __ATOMIC_ACQUIRE);
        if (!at) {
            uint64_t made = hp_ledger_take(store, buckets->count * sizeof(hp_offset));
            if (made && __atomic_compare_exchange_n(&buckets->at, &at, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
                at = made;
            else if (made) /* what another thread made first counts */
                hp_ledger_give_back(store, made, buckets->count * sizeof(hp_offset));
        }
        if (at && hp_ledger_reserve(store, at + (hash & (buckets->count - 1)) * sizeof(hp_offset), sizeof(hp_offset)))
            return hp_chain_of(store, level, hash);
        if (!level)
            return NULL;
    }
}

/* The row's slot becomes a row by the last store; until then it is dead, and whoever comes by an old way sees that. */
static void write_row(struct hp_ledger_row *row, const struct hp_key *key)
{
    const uint64_t life = __atomic_load_n(&row->alloc.objects, __ATOMIC_RELAXED);
    const struct hp_tally none = {0, 0};
    __atomic_store_n(&row->depth, key->depth, __ATOMIC_RELAXED);
    __atomic_store_n(&row->kind, key->kind, __ATOMIC_RELAXED);
    __atomic_store_n(&row->folded, key->folded, __ATOMIC_RELAXED);
    __atomic_store_n(&row->hash, key->hash, __ATOMIC_RELAXED);
    __atomic_store_n(&row->interval, key->interval, __ATOMIC_RELAXED);
    __atomic_store_n(&row->label, key->label, __ATOMIC_RELAXED);
    __atomic_store_n(&row->size_class, key->size_class, __ATOMIC_RELAXED);
    __atomic_store_n(&row->hot, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < key->depth; i++)
        __atomic_store_n(&row->frames[i], key->frames[i], __ATOMIC_RELAXED);
    __atomic_store_n(&row->freed.objects, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&row->freed.bytes, 0, __ATOMIC_RELAXED);
    hp_atomic_copy_in(&row->peak, &none, sizeof none);
    hp_atomic_copy_in(&row->temporary, &none, sizeof none);
    __atomic_store_n(&row->alloc.bytes, 0, __ATOMIC_RELAXED);
    uint64_t generation = (life >> HP_ROW_GENERATION_SHIFT) + 1;
    __atomic_store_n(&row->alloc.objects, generation << HP_ROW_GENERATION_SHIFT & ~HP_ROW_DEAD, __ATOMIC_RELEASE);
}

/* The level that new rows go to may change in between; an equal pair of rows may then stand in two levels. */
hp_offset hp_row_add(const struct hp_store *store, const struct hp_key *wanted, bool may_fold, uint32_t tid,
                     const void *here, bool *truncated)
{
    struct hp_key key = *wanted;
    hp_offset slot = take_slot(store, key.depth, may_fold, tid, here);
    if (!slot)
        return 0;
    struct hp_ledger_row *row = hp_row_at(store, slot);
    if (key.depth > depths[row->slot_class]) {
        key.depth = depths[row->slot_class];
        key.hash = hp_key_hash(&key);
        *truncated = true;
    }
    hp_offset *chain = chain_for(store, key.hash);
    if (!chain) {
        hp_slot_give_back(store, slot);
        return 0;
    }
    write_row(row, &key);
    hp_offset head = __atomic_load_n(chain, __ATOMIC_ACQUIRE), searched = 0;
    do {
        struct found twin = search_chain(store, head, searched, &key);
        if (twin.row) {
            __atomic_fetch_or(&row->alloc.objects, HP_ROW_DEAD, __ATOMIC_RELEASE);
            hp_slot_give_back(store, slot);
            return twin.row;
        }
        searched = head;
        __atomic_store_n(&row->next, head, __ATOMIC_RELEASE); /* ... that it has another life */
    } while (!__atomic_compare_exchange_n(chain, &head, slot, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE));
    hp_count(&store->ledger->row_count, 1u);
    return slot;
}

/* One more object in the row as it was found; false: it was folded meanwhile. */
static bool count_in(struct hp_ledger_row *row, uint64_t life, uint64_t size)
{
    struct hp_tally alloc;
    do {
        alloc = hp_tally_read(&row->alloc);
        if ((alloc.objects & ~HP_ROW_COUNT_MASK) != life)
            return false;
    } while (!hp_tally_swap(&row->alloc, alloc, (struct hp_tally){alloc.objects + 1, alloc.bytes + size}));
    if (!__atomic_load_n(&row->hot, __ATOMIC_RELAXED))
        __atomic_store_n(&row->hot, 1, __ATOMIC_RELAXED);
    return true;
}

#define TRIES 8 /* a row that is made is hot: to be folded in between each time takes more than bad luck */

hp_offset hp_row_count(const struct hp_store *store, const struct hp_key *wanted, uint64_t size, uint32_t tid,
                       const void *here, bool *truncated)
{
    struct hp_key key = *wanted;
    *truncated = false;
    for (unsigned i = 0; i < TRIES; i++) {
        struct found found = find(store, &key);
        if (found.row) {
            if (count_in(hp_row_at(store, found.row), found.life, size))
                return found.row;
            continue;
        }
        hp_offset added = hp_row_add(store, &key, true, tid, here, truncated);
        if (!added)
            return 0;
        if (*truncated && key.depth > hp_row_at(store, added)->depth) {
            key.depth = hp_row_at(store, added)->depth; /* it is looked for by what was kept of it */
            key.hash = hp_key_hash(&key);
        }
    }
    return 0;
}
