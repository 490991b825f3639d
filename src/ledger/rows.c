#include "ledger/rows.h"

#include <errno.h>
#include <string.h>

int hp_ledger_view_open(struct hp_ledger_view *view, const void *memory, uint64_t size)
{
    const struct hp_ledger *ledger = memory;
    if (size < sizeof *ledger || __atomic_load_n(&ledger->magic, __ATOMIC_ACQUIRE) != HP_LEDGER_MAGIC)
        return -EINVAL;
    if (ledger->version != HP_LEDGER_VERSION || ledger->header_size != sizeof *ledger)
        return -EPROTONOSUPPORT;
    view->ledger = ledger;
    view->size = size;
    view->layout = ledger->layout;
    const uint64_t budget = ledger->budget, most = (uint64_t)HP_BLOCK_MAX * HP_BLOCK;
    const struct hp_layout expected = hp_ledger_layout(budget < most ? budget : most);
    if (memcmp(&expected, &view->layout, sizeof expected) || expected.size > size || expected.size > most)
        return -EBADMSG;
    return 0;
}

/* `size` readable bytes at `at`, or NULL. Unreserved blocks are never touched: they are holes in the file. */
const void *hp_ledger_view_bytes(const struct hp_ledger_view *view, uint64_t at, uint64_t size)
{
    if (at > view->layout.size || size > view->layout.size - at)
        return NULL;
    for (uint64_t block = at / HP_BLOCK; size && block <= (at + size - 1) / HP_BLOCK; block++)
        if (!hp_ledger_is_reserved(view->ledger, block * HP_BLOCK))
            return NULL;
    return (const char *)view->ledger + at;
}

const void *hp_ledger_view_record(const struct hp_ledger_view *view, hp_offset offset, enum hp_record_kind kind, uint64_t size)
{
    uint64_t at = (uint64_t)offset * 16;
    const struct hp_record *record = at < view->layout.arena_at ? NULL : hp_ledger_view_bytes(view, at, size);
    return record && record->kind == kind ? record : NULL;
}

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
static struct hp_pair convert(struct hp_pair pair, double from, double to, uint64_t hash)
{
    if (!pair.objects || from == to)
        return pair;
    double size = (double)pair.bytes / (double)pair.objects;
    double exact = (double)pair.objects * hp_probability(size, to) / (size > 0 ? hp_probability(size, from) : 1);
    uint64_t objects = hp_whole(exact);
    if (exact - (double)objects > (double)(hash >> 11) * 0x1p-53)
        objects++;
    return (struct hp_pair){.objects = objects, .bytes = hp_whole(size * (double)objects + 0.5)};
}

static struct hp_counts read_counts(const struct hp_entry *entry)
{
    /* freed first: what is freed was allocated before, so live never comes out negative. */
    struct hp_pair freed = hp_pair_read(&entry->freed);
    struct hp_pair alloc = hp_pair_read(&entry->alloc);
    struct hp_pair live = {0, 0};
    if (alloc.objects > freed.objects && alloc.bytes >= freed.bytes)
        live = (struct hp_pair){alloc.objects - freed.objects, alloc.bytes - freed.bytes};
    if (alloc.objects < live.objects || alloc.bytes < live.bytes)
        alloc = live;
    return (struct hp_counts){.live_objects = live.objects,
                              .live_bytes = live.bytes,
                              .alloc_objects = alloc.objects,
                              .alloc_bytes = alloc.bytes};
}

static struct hp_counts convert_counts(const struct hp_counts *drawn, double from, double to, uint64_t hash)
{
    struct hp_pair live = convert((struct hp_pair){drawn->live_objects, drawn->live_bytes}, from, to, hash);
    struct hp_pair alloc = convert((struct hp_pair){drawn->alloc_objects, drawn->alloc_bytes}, from, to, hash);
    if (alloc.objects < live.objects || alloc.bytes < live.bytes)
        alloc = live;
    return (struct hp_counts){live.objects, live.bytes, alloc.objects, alloc.bytes};
}

static uint64_t interval_of(const struct hp_ledger_view *view, uint32_t epoch)
{
    uint64_t interval = hp_interval_at(view->ledger, epoch);
    return interval ? interval : 1;
}

/* The interval that the profile is given in: the one in force, or, when sampling is off, the last one that was. */
uint64_t hp_ledger_view_interval(const struct hp_ledger_view *view)
{
    uint32_t epoch = __atomic_load_n(&view->ledger->armed_epoch, __ATOMIC_ACQUIRE);
    uint64_t interval = hp_interval_at(view->ledger, epoch);
    return interval ? interval : 524288;
}

void hp_ledger_view_expect(const struct hp_ledger_view *view, hp_offset offset)
{
    uint64_t at = (uint64_t)offset * 16;
    if (at < view->layout.size)
        __builtin_prefetch((const char *)view->ledger + at);
}

void hp_ledger_view_each(const struct hp_ledger_view *view, bool (*visit)(void *state, const struct hp_entry *entry),
                         void *state)
{
    uint64_t steps = 0;
    uint64_t step_limit = (view->layout.arena_limit - view->layout.arena_at) / sizeof(struct hp_record);
    for (unsigned level = 0; level < HP_BUCKET_LEVELS; level++) {
        const struct hp_bucket_level *buckets = &view->layout.buckets[level];
        for (uint64_t i = 0; i < buckets->count; i++) {
            const hp_offset *bucket = hp_ledger_view_bytes(view, buckets->at + i * sizeof *bucket, sizeof *bucket);
            if (!bucket) { /* skip the rest of a block that was never used */
                i |= HP_BLOCK / sizeof *bucket - 1;
                continue;
            }
            if ((i + HP_AHEAD) % (HP_BLOCK / sizeof *bucket) >= HP_AHEAD) /* in the same block, which is there */
                hp_ledger_view_expect(view, __atomic_load_n(bucket + HP_AHEAD, __ATOMIC_RELAXED));
            hp_offset at = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
            while (at && steps++ < step_limit) {
                const struct hp_record *record = hp_ledger_view_bytes(view, (uint64_t)at * 16, sizeof *record);
                if (!record || (uint64_t)at * 16 < view->layout.arena_at)
                    break;
                const struct hp_entry *entry = hp_ledger_view_record(view, at, HP_RECORD_ENTRY, sizeof *entry);
                if (entry && !visit(state, entry))
                    return;
                at = __atomic_load_n(&record->next, __ATOMIC_RELAXED);
            }
        }
    }
}

struct collection {
    const struct hp_ledger_view *view;
    struct hp_entry_row *rows;
    uint64_t count, most;
    uint64_t to; /* the profile's interval */
};

static bool collect_entry(void *state, const struct hp_entry *entry)
{
    struct collection *collection = state;
    if (collection->count == collection->most)
        return false;
    struct hp_entry_row row = {
        .drawn = read_counts(entry), .interval = interval_of(collection->view, entry->epoch), .stack = entry->stack};
    row.counts = convert_counts(&row.drawn, (double)row.interval, (double)collection->to, entry->record.hash);
    if (row.drawn.alloc_objects)
        collection->rows[collection->count++] = row;
    return true;
}

uint64_t hp_rows_collect(const struct hp_ledger_view *view, struct hp_entry_row *rows, uint64_t most)
{
    struct collection collection = {
        .view = view, .rows = rows, .most = most, .to = hp_ledger_view_interval(view)};
    hp_ledger_view_each(view, collect_entry, &collection);
    return collection.count;
}

static bool comes_before(const struct hp_entry_row *a, const struct hp_entry_row *b)
{
    if (a->counts.live_bytes != b->counts.live_bytes)
        return a->counts.live_bytes > b->counts.live_bytes;
    if (a->counts.alloc_bytes != b->counts.alloc_bytes)
        return a->counts.alloc_bytes > b->counts.alloc_bytes;
    return a->stack < b->stack;
}

#define CHILDREN 4u /* of a node in the heap, which lie side by side: half the levels of two, and half the cache misses */

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
