/* Folding: rows whose objects are all gone make room for new ones.
 *
 * Need: a target lives for weeks and makes new stacks all the time; the rows of old ones tell only what was once
 * allocated. Naive: to stop when the tables are full (a new leak is then not seen), or to drop rows (totals get wrong).
 * Scheme: a clock hand goes over the chains. A row that was hit since the hand came by last loses its heat; one that is
 * cold and dead is folded: its counters are added to the fold row of its innermost frame, size class and interval, so
 * that totals by site stay right, and its slot is free. Where even fold rows find no memory, the innermost frame goes,
 * too.
 *
 * One folds at a time (fold.lock); others go on without, and nobody waits. The lock names its holder by thread and
 * stack address: a holder that is dead, or that left the frame in which it folds (a signal handler's siglongjmp), is
 * taken over from, and its fold finished by the journal, which can be done twice: the row is frozen by HP_ROW_DEAD,
 * and the fold row's counters before are known.
 */
#include "arch/arch.h"
#include "ledger/chain.h"
#include "base/atomic_copy.h"

#define STALE_MS 60000 /* a holder that lost its processor for longer is taken for one that jumped away for ever */

static struct hp_tally sum(struct hp_tally a, struct hp_tally b)
{
    return (struct hp_tally){a.objects + b.objects, a.bytes + b.bytes};
}

/* As one, for readers. */
static void store_tally(struct hp_tally *there, struct hp_tally value)
{
    while (!hp_tally_swap(there, hp_tally_read(there), value)) {
    }
}

/* Only who folds changes a fold row, and one that is frozen. */
static void set_counters(struct hp_ledger_row *to, struct hp_tally alloc, struct hp_tally freed)
{
    uint64_t life = __atomic_load_n(&to->alloc.objects, __ATOMIC_RELAXED) & ~HP_ROW_COUNT_MASK;
    store_tally(&to->alloc, (struct hp_tally){life | alloc.objects, alloc.bytes});
    store_tally(&to->freed, freed);
}

/* Take a row out of its chain: false if it is not in this one. */
static bool unlink_from(const struct hp_store *store, hp_offset *chain, hp_offset gone, hp_offset next)
{
    hp_offset expected = gone;
    if (__atomic_compare_exchange_n(chain, &expected, next, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return true;
    unsigned steps = 0;
    for (hp_offset at = expected; at && steps < HP_CHAIN_MOST; steps++) {
        struct hp_ledger_row *row = hp_row_at(store, at);
        at = __atomic_load_n(&row->next, __ATOMIC_ACQUIRE);
        if (at == gone) {
            __atomic_store_n(&row->next, next, __ATOMIC_RELEASE);
            return true;
        }
    }
    return false;
}

static bool unlink_row(const struct hp_store *store, hp_offset gone)
{
    const struct hp_ledger_row *row = hp_row_at(store, gone);
    hp_offset next = __atomic_load_n(&row->next, __ATOMIC_RELAXED);
    for (unsigned level = 0; level < HP_BUCKET_LEVELS; level++) {
        hp_offset *chain = hp_chain_there(store, level, row->hash);
        if (chain && unlink_from(store, chain, gone, next)) {
            __atomic_fetch_sub(&store->ledger->row_count, 1, __ATOMIC_RELAXED);
            return true;
        }
    }
    return false;
}

/* From wherever it stands to its end; also when somebody else began it. */
static void finish_journal(const struct hp_store *store)
{
    struct hp_journal *journal = &store->ledger->fold.journal;
    uint32_t state = __atomic_load_n(&journal->state, __ATOMIC_ACQUIRE);
    if (state == HP_JOURNAL_NONE)
        return;
    struct hp_ledger_row *row = hp_row_at(store, journal->row);
    if (state == HP_JOURNAL_ADDING) {
        set_counters(hp_row_at(store, journal->fold_row),
                     sum(journal->before_alloc, hp_row_counted(hp_tally_read(&row->alloc))),
                     sum(journal->before_freed, hp_tally_read(&row->freed)));
        __atomic_store_n(&journal->state, HP_JOURNAL_ADDED, __ATOMIC_RELEASE);
    }
    /* One that is linked no more was on its way to the free slots when its folder went: it may be there already. A
     * reader that stands on it goes on among free slots: they count nothing. */
    bool was_linked = unlink_row(store, journal->row);
    if (was_linked)
        set_counters(row, (struct hp_tally){0, 0}, (struct hp_tally){0, 0});
    __atomic_store_n(&journal->state, HP_JOURNAL_NONE, __ATOMIC_RELEASE);
    if (was_linked && !store->ledger->fold.spare)
        store->ledger->fold.spare = journal->row;
    else if (was_linked)
        hp_slot_give_back(store, journal->row);
}

/* Fold rows of one frame have a share of memory, and of what rows could get where other things took it. While it is
 * full those of them that are cold go, too, and no new ones are made: a fold that needs a slot for each one that it
 * gives back makes no room. */
static bool has_room_for_frames(const struct hp_ledger *ledger)
{
    const uint64_t size = sizeof(struct hp_ledger_row) + hp_slot_depth(0) * sizeof(uint64_t);
    const uint64_t of_budget = ledger->budget / 16, of_rows = __atomic_load_n(&ledger->row_bytes, __ATOMIC_RELAXED) / 8;
    return ledger->fold.rows * size < (of_budget < of_rows ? of_budget : of_rows);
}

/* The row that a row goes into, made if need be; 0: there is no memory. */
static hp_offset fold_row_of(const struct hp_store *store, const struct hp_ledger_row *row)
{
    bool truncated = false;
    for (unsigned depth = row->folded || !row->depth ? 0 : 1;; depth--) {
        struct hp_key key = {.frames = row->frames,
                             .interval = row->interval,
                             .depth = (uint16_t)depth,
                             .size_class = row->size_class,
                             .kind = row->kind,
                             .folded = true};
        key.hash = hp_key_hash(&key);
        hp_offset found = hp_row_find(store, &key);
        if (!found && (!depth || has_room_for_frames(store->ledger)) &&
            (found = hp_row_add(store, &key, false, 0, NULL, &truncated)))
            hp_count(&store->ledger->fold.rows, depth);
        if (found || !depth)
            return found;
    }
}

/* True if the row is gone. */
static bool fold_row(const struct hp_store *store, hp_offset at)
{
    struct hp_ledger *ledger = store->ledger;
    struct hp_journal *journal = &ledger->fold.journal;
    struct hp_ledger_row *row = hp_row_at(store, at);
    if (__atomic_load_n(&row->hot, __ATOMIC_RELAXED)) {
        __atomic_store_n(&row->hot, 0, __ATOMIC_RELAXED);
        return false;
    }
    struct hp_tally freed = hp_tally_read(&row->freed), alloc = hp_tally_read(&row->alloc);
    struct hp_tally counted = hp_row_counted(alloc);
    if (alloc.objects & HP_ROW_DEAD || counted.objects != freed.objects || counted.bytes != freed.bytes ||
        (row->folded && (!row->depth || has_room_for_frames(ledger))))
        return false;
    hp_offset into = fold_row_of(store, row);
    if (!into || into == at)
        return false;
    /* Frozen if nothing was added since; an object that was counted in, and not out, can't be in between. */
    __atomic_store_n(&ledger->fold.count, ledger->fold.count + 1, __ATOMIC_SEQ_CST);
    if (!hp_tally_swap(&row->alloc, alloc, (struct hp_tally){alloc.objects | HP_ROW_DEAD, alloc.bytes})) {
        __atomic_store_n(&ledger->fold.count, ledger->fold.count + 1, __ATOMIC_RELEASE);
        return false;
    }
    struct hp_ledger_row *to = hp_row_at(store, into);
    __atomic_store_n(&to->hot, 1, __ATOMIC_RELAXED);
    const struct hp_journal next = {.row = at,
                                    .fold_row = into,
                                    .before_alloc = hp_row_counted(hp_tally_read(&to->alloc)),
                                    .before_freed = hp_tally_read(&to->freed)};
    hp_atomic_copy_in(journal, &next, sizeof next);
    if (row->folded)
        __atomic_fetch_sub(&ledger->fold.rows, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&journal->state, HP_JOURNAL_ADDING, __ATOMIC_RELEASE);
    finish_journal(store);
    __atomic_store_n(&ledger->fold.count, ledger->fold.count + 1, __ATOMIC_RELEASE);
    hp_count(&ledger->audit.folded, 1u);
    __atomic_store_n(&ledger->fold.fruitless, 0, __ATOMIC_RELAXED);
    return true;
}

static uint32_t place_of(const void *here)
{
    return (uint32_t)((uintptr_t)here >> 4);
}

/* Stacks grow down: who is above the holder's frame, in the same thread, has left it. */
static bool is_left(const struct hp_store *store, uint64_t lock, uint32_t tid, const void *here, uint64_t now_ms)
{
    uint32_t holder = (uint32_t)(lock >> 32);
    if (holder == tid)
        return (int32_t)(place_of(here) - (uint32_t)lock) > 0;
    uint64_t since = __atomic_load_n(&store->ledger->fold.since_ms, __ATOMIC_RELAXED);
    return now_ms > since + STALE_MS || (now_ms > since + 1000 && store->ways.is_gone && store->ways.is_gone(holder));
}

/* Raised before the lock is taken, so that who finds a holder does not find a time from before it; and never lowered by
 * who lost its processor on the way here. */
static void raise_since(struct hp_folding *fold, uint64_t now_ms)
{
    uint64_t since = __atomic_load_n(&fold->since_ms, __ATOMIC_RELAXED);
    while (since < now_ms &&
           !__atomic_compare_exchange_n(&fold->since_ms, &since, now_ms, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

/* What the lock holds from here on; 0: somebody else is at it. */
static uint64_t begin(const struct hp_store *store, uint32_t tid, const void *here)
{
    struct hp_folding *fold = &store->ledger->fold;
    uint64_t own = (uint64_t)tid << 32 | place_of(here), lock = __atomic_load_n(&fold->lock, __ATOMIC_ACQUIRE);
    uint64_t now_ms = store->ways.now_ms ? store->ways.now_ms(store->ledger) : 0;
    own = own ? own : 1;
    if (lock && !is_left(store, lock, tid, here, now_ms))
        return 0;
    raise_since(fold, now_ms);
    if (!__atomic_compare_exchange_n(&fold->lock, &lock, own, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return 0;
    finish_journal(store);
    if (fold->count & 1) /* of who was taken over from */
        __atomic_store_n(&fold->count, fold->count + 1, __ATOMIC_RELEASE);
    return own;
}

/* Not the lock of who took over. */
static void end(const struct hp_store *store, uint64_t own)
{
    __atomic_compare_exchange_n(&store->ledger->fold.lock, &own, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static uint64_t chain_count(const struct hp_ledger *ledger)
{
    uint64_t all = 0;
    for (unsigned level = 0; level < HP_BUCKET_LEVELS; level++)
        all += __atomic_load_n(&ledger->buckets[level].at, __ATOMIC_RELAXED) ? ledger->buckets[level].count : 0;
    return all;
}

#define CHAINS_A_LOOK 8 /* heads of chains lie side by side: to look at one costs little */

/* Twice: on its first way around the hand only takes heat. */
bool hp_fold_is_vain(const struct hp_ledger *ledger)
{
    uint64_t rows = __atomic_load_n(&ledger->row_count, __ATOMIC_RELAXED);
    return __atomic_load_n(&ledger->fold.fruitless, __ATOMIC_RELAXED) >
           2 * (chain_count(ledger) / CHAINS_A_LOOK + rows);
}

/* The chain that the hand points to, and the next one: NULL where nothing was ever put near. */
static hp_offset *next_chain(const struct hp_store *store)
{
    struct hp_ledger *ledger = store->ledger;
    uint64_t hand = ledger->fold.hand++ % chain_count(ledger);
    for (unsigned level = 0; level < HP_BUCKET_LEVELS; level++) {
        uint64_t count = ledger->buckets[level].at ? ledger->buckets[level].count : 0;
        if (hand < count)
            return hp_chain_there(store, level, hand);
        hand -= count;
    }
    return NULL;
}

#define WAIT_PAUSES 256u /* some 10 us */

bool hp_fold_wait(const struct hp_store *store, uint32_t tid)
{
    for (unsigned i = 0; i < WAIT_PAUSES; i++) {
        uint64_t lock = __atomic_load_n(&store->ledger->fold.lock, __ATOMIC_RELAXED);
        if (!lock)
            return true;
        if ((uint32_t)(lock >> 32) == tid)
            return false;
        hp_spin();
    }
    return true;
}

bool hp_fold(const struct hp_store *store, unsigned looks, uint32_t tid, const void *here)
{
    const uint64_t own = begin(store, tid, here);
    uint64_t looked = 0; /* in parts of a look at a row */
    if (!own)
        return false;
    while (looked < looks * CHAINS_A_LOOK) {
        const hp_offset *chain = next_chain(store);
        hp_offset at = chain ? __atomic_load_n(chain, __ATOMIC_ACQUIRE) : 0;
        looked++;
        for (unsigned steps = 0; at && steps < HP_CHAIN_MOST; steps++) {
            hp_offset next = __atomic_load_n(&hp_row_at(store, at)->next, __ATOMIC_ACQUIRE);
            fold_row(store, at);
            at = next;
            looked += CHAINS_A_LOOK;
        }
    }
    hp_count(&store->ledger->fold.fruitless, looks);
    end(store, own);
    return true;
}
