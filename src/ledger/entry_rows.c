/* Rows as they go into a profile: scaled to its interval, collected, and in its order. */
#include "ledger/ledger_view.h"

#include <string.h>

#include "base/atomic_copy.h"

/* 1 - exp(-x), x >= 0, to about 1e-15, without libm. */
static double one_minus_exp(double x)
{
    if (x > 40)
        return 1;
    /* exp(-x) = exp(-x / 2^k)^(2^k); in terms of y = 1 - exp(-x), halving is y -> y (2 - y), which cancels nothing. */
    unsigned doublings = 0;
    while (x > 0.25) {
        x /= 2;
        doublings++;
    }
    double sum = 0;
    for (int i = 12; i >= 1; i--)
        sum = x / i * (1 - sum);
    for (; doublings; doublings--)
        sum = sum * (2 - sum);
    return sum;
}

double hp_probability(double size, double interval)
{
    return interval <= 1 ? 1 : one_minus_exp(size / interval);
}

/* The whole part, for hostile figures too, for which a plain conversion is not defined. */
uint64_t hp_whole(double value)
{
    return value < 0x1p63 ? (value > 0 ? (uint64_t)value : 0) : 1ull << 63;
}

/* The counts that this entry would have had at the profile's interval, when it was sampled at another one: scaled by
 * the ratio of the probabilities, rounded up or down by chance (from the entry's hash, so that each dump decides
 * alike) so that the mean is right. */
static struct hp_tally convert(struct hp_tally tally, double from, double to, uint64_t hash)
{
    if (!tally.objects || from == to)
        return tally;
    double size = (double)tally.bytes / (double)tally.objects;
    double exact = (double)tally.objects * hp_probability(size, to) / (size > 0 ? hp_probability(size, from) : 1);
    uint64_t objects = hp_whole(exact);
    if (exact - (double)objects > (double)(hash >> 11) * 0x1p-53)
        objects++;
    return (struct hp_tally){.objects = objects, .bytes = hp_whole(size * (double)objects + 0.5)};
}

static struct hp_counts counts_of(const struct hp_row_reading *reading)
{
    struct hp_tally alloc = reading->alloc, freed = reading->freed, live = {0, 0};
    if (alloc.objects > freed.objects && alloc.bytes >= freed.bytes)
        live = (struct hp_tally){alloc.objects - freed.objects, alloc.bytes - freed.bytes};
    return (struct hp_counts){.live_objects = live.objects,
                              .live_bytes = live.bytes,
                              .alloc_objects = alloc.objects,
                              .alloc_bytes = alloc.bytes};
}

static struct hp_counts convert_counts(const struct hp_counts *drawn, double from, double to, uint64_t hash)
{
    struct hp_tally live = convert((struct hp_tally){drawn->live_objects, drawn->live_bytes}, from, to, hash);
    struct hp_tally alloc = convert((struct hp_tally){drawn->alloc_objects, drawn->alloc_bytes}, from, to, hash);
    if (alloc.objects < live.objects || alloc.bytes < live.bytes)
        alloc = live;
    return (struct hp_counts){live.objects, live.bytes, alloc.objects, alloc.bytes};
}

struct collection {
    struct hp_entry_row *rows;
    uint64_t count, most;
    uint64_t to; /* the profile's interval */
};

static bool collect_row(void *state, const struct hp_row_reading *reading)
{
    struct collection *collection = state;
    const uint64_t interval = reading->interval ? reading->interval : 1;
    if (collection->count == collection->most)
        return false;
    if (reading->kind != HP_KIND_HEAP)
        return true;
    struct hp_entry_row row = {.drawn = counts_of(reading),
                               .interval = interval,
                               .hash = reading->hash,
                               .life = reading->life,
                               .row = reading->row};
    row.counts = convert_counts(&row.drawn, (double)interval, (double)collection->to, reading->hash);
    if (row.drawn.alloc_objects)
        collection->rows[collection->count++] = row;
    return true;
}

#define PASSES 3 /* over rows that are folded meanwhile */

/* True if no fold began, ended or went on since the view was refreshed. */
static bool is_still(const struct hp_ledger_view *view, uint64_t folds)
{
    struct hp_journal journal;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    hp_atomic_copy_out(&journal, &view->ledger->fold.journal, sizeof journal);
    return hp_ledger_view_folds(view) == folds && !memcmp(&journal, &view->journal, sizeof journal);
}

uint64_t hp_rows_collect(const struct hp_ledger_view *view, struct hp_entry_row *rows, uint64_t most)
{
    struct hp_ledger_view now = *view;
    for (unsigned pass = 1;; pass++) {
        const uint64_t folds = hp_ledger_view_folds(&now);
        hp_ledger_view_refresh(&now);
        struct collection collection = {.rows = rows, .most = most, .to = hp_ledger_view_interval(&now)};
        hp_ledger_view_each(&now, collect_row, &collection);
        if (pass == PASSES || is_still(&now, folds))
            return collection.count;
    }
}

static bool comes_before(const struct hp_entry_row *a, const struct hp_entry_row *b)
{
    if (a->counts.live_bytes != b->counts.live_bytes)
        return a->counts.live_bytes > b->counts.live_bytes;
    if (a->counts.alloc_bytes != b->counts.alloc_bytes)
        return a->counts.alloc_bytes > b->counts.alloc_bytes;
    return a->hash < b->hash;
}

#define CHILDREN                                                                                                       \
    4u /* of a node in the heap, which lie side by side: half the levels of two, and half the cache misses */

static void sift_down(struct hp_entry_row *rows, uint64_t root, uint64_t count)
{
    struct hp_entry_row moving = rows[root];
    for (uint64_t first; (first = CHILDREN * root + 1) < count;) {
        uint64_t child = first, left = count - first;
        for (uint64_t i = first + 1; i < first + (left < CHILDREN ? left : CHILDREN); i++)
            if (comes_before(&rows[child], &rows[i]))
                child = i;
        if (!comes_before(&moving, &rows[child]))
            break;
        rows[root] = rows[child];
        root = child;
    }
    rows[root] = moving;
}

/* Heapsort: qsort may call malloc, and recursion has no place on a signal stack. */
void hp_rows_sort(struct hp_entry_row *rows, uint64_t count)
{
    for (uint64_t i = count / CHILDREN + 1; count && i-- > 0;)
        sift_down(rows, i, count);
    for (uint64_t end = count; end-- > 1;) {
        struct hp_entry_row last = rows[end];
        rows[end] = rows[0];
        rows[0] = last;
        sift_down(rows, 0, end);
    }
}

void hp_add_scaled(double *bytes, double *objects, uint64_t raw_bytes, uint64_t raw_objects, double interval)
{
    if (!raw_objects)
        return;
    double size = (double)raw_bytes / (double)raw_objects;
    double p = raw_bytes ? hp_probability(size, interval) : 1;
    *bytes += (double)raw_bytes / p;
    *objects += (double)raw_objects / p;
}
