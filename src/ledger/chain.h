/* chain.h - the chains of rows, for those who change them: row.c adds, fold.c takes out. Internal to src/ledger. */
#ifndef HP_LEDGER_CHAIN_H
#define HP_LEDGER_CHAIN_H

#include "ledger/ledger.h"

/* Rows that are looked at in one chain: who strayed into another one, or into a damaged one, must come to an end. */
#define HP_CHAIN_MOST 65536u

/* The chain that this hash belongs to in a level that was made. */
static inline hp_offset *hp_chain_of(const struct hp_store *store, unsigned level, uint64_t hash)
{
    const struct hp_bucket_level *buckets = &store->ledger->buckets[level];
    uint64_t at = __atomic_load_n(&buckets->at, __ATOMIC_ACQUIRE) + (hash & (buckets->count - 1)) * sizeof(hp_offset);
    return hp_store_at(store, at);
}

/* The same, or NULL where the level was not made or nothing was ever put near. */
hp_offset *hp_chain_there(const struct hp_store *store, unsigned level, uint64_t hash);

/* Make a row of this key, with no objects, and put it into its chain unless an equal one came first: that one then. 0:
 * no memory. `may_fold`: dead rows may be folded for it. */
hp_offset hp_row_add(const struct hp_store *store, const struct hp_key *key, bool may_fold, uint32_t tid,
                     const void *here, bool *truncated);

/* A slot of the smallest class, which was never used; 0: no memory. */
hp_offset hp_slot_make(const struct hp_store *store);

/* True if the hand went around, and found nothing to fold. */
bool hp_fold_is_vain(const struct hp_ledger *ledger);

/* Put a slot that is of no row any more onto the list of its class. */
void hp_slot_give_back(const struct hp_store *store, hp_offset slot);

#endif
