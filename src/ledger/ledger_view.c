#include "ledger/ledger_view.h"

#include <errno.h>

#include "base/atomic_copy.h"

int hp_ledger_view_open(struct hp_ledger_view *view, const struct hp_ledger *ledger, char *const *chunks, uint64_t size)
{
    if (size < sizeof *ledger || __atomic_load_n(&ledger->magic, __ATOMIC_ACQUIRE) != HP_LEDGER_MAGIC)
        return -EINVAL;
    if (ledger->version != HP_LEDGER_VERSION || ledger->header_size != sizeof *ledger)
        return -EPROTONOSUPPORT;
    const uint64_t budget = ledger->budget, wanted = ledger->size;
    if (budget > HP_BUDGET_MOST || wanted > size || wanted > hp_ledger_size(HP_BUDGET_MOST) || wanted < sizeof *ledger)
        return -EBADMSG;
    *view = (struct hp_ledger_view){.ledger = ledger, .chunks = chunks, .size = wanted};
    hp_ledger_view_refresh(view);
    return 0;
}

/* Tables begin at cache lines; 0: there is none. */
static uint64_t table_at(const uint64_t *offset)
{
    uint64_t at = __atomic_load_n(offset, __ATOMIC_ACQUIRE);
    return at % 64 ? 0 : at;
}

/* How large the tables are is a matter of the version; where they stand is checked at each use. */
void hp_ledger_view_refresh(struct hp_ledger_view *view)
{
    static const uint8_t logarithms[HP_BUCKET_LEVELS] = {12, 15, 18, 21};
    for (unsigned i = 0; i < HP_BUCKET_LEVELS; i++)
        view->buckets[i] =
            (struct hp_bucket_level){.count = 1ull << logarithms[i], .at = table_at(&view->ledger->buckets[i].at)};
    for (unsigned i = 0; i < HP_LIVE_LEVELS; i++)
        view->live[i] = (struct hp_live_level){.groups = 512ull << 2 * i, .at = table_at(&view->ledger->live[i].at)};
    hp_atomic_copy_out(&view->journal, &view->ledger->fold.journal, sizeof view->journal);
}

const void *hp_ledger_view_bytes(const struct hp_ledger_view *view, uint64_t at, uint64_t size)
{
    if (at > view->size || size > view->size - at)
        return NULL;
    for (uint64_t block = at / HP_BLOCK; size && block <= (at + size - 1) / HP_BLOCK; block++)
        if (!hp_ledger_is_reserved(view->ledger, block * HP_BLOCK))
            return NULL;
    if (!view->chunks)
        return (const char *)view->ledger + at;
    return __atomic_load_n(&view->chunks[at >> HP_CHUNK_SHIFT], __ATOMIC_ACQUIRE) + (at & (HP_CHUNK - 1));
}

/* A slot with room for its key at least. */
static const struct hp_ledger_row *row_at(const struct hp_ledger_view *view, hp_offset row)
{
    uint64_t at = (uint64_t)row * 16;
    return at < sizeof *view->ledger ? NULL : hp_ledger_view_bytes(view, at, sizeof(struct hp_ledger_row));
}

uint64_t hp_ledger_view_folds(const struct hp_ledger_view *view)
{
    return __atomic_load_n(&view->ledger->fold.count, __ATOMIC_ACQUIRE);
}

uint64_t hp_ledger_view_row_count(const struct hp_ledger_view *view)
{
    uint64_t rows = __atomic_load_n(&view->ledger->row_count, __ATOMIC_ACQUIRE);
    uint64_t most = view->size / sizeof(struct hp_ledger_row);
    rows = rows < most ? rows : most;
    return rows + rows / 4 + 4096; /* those that are made meanwhile, which would take the place of others */
}

uint64_t hp_ledger_view_interval_of(const struct hp_ledger_view *view, hp_offset row)
{
    const struct hp_ledger_row *there = row_at(view, row);
    return there ? __atomic_load_n(&there->interval, __ATOMIC_RELAXED) : 0;
}

const struct hp_ledger_module *hp_ledger_view_module(const struct hp_ledger_view *view, uint32_t index)
{
    uint64_t page = index < HP_MODULES ? table_at(&view->ledger->modules_at[index / HP_MODULE_PAGE]) : 0;
    if (!page)
        return NULL;
    const struct hp_ledger_module *module =
        hp_ledger_view_bytes(view, page + index % HP_MODULE_PAGE * sizeof *module, sizeof *module);
    uint32_t state = module ? __atomic_load_n(&module->state, __ATOMIC_ACQUIRE) : HP_MODULE_FREE;
    return state == HP_MODULE_LOADED || state == HP_MODULE_UNLOADED ? module : NULL;
}

uint32_t hp_ledger_view_module_count(const struct hp_ledger_view *view)
{
    uint32_t count = __atomic_load_n(&view->ledger->module_count, __ATOMIC_ACQUIRE);
    return count < HP_MODULES ? count : HP_MODULES;
}

uint32_t hp_ledger_view_tid(const struct hp_ledger_view *view, uint32_t number)
{
    if (!number || number > HP_THREADS)
        return 0;
    uint64_t page = table_at(&view->ledger->threads_at[(number - 1) / HP_THREAD_PAGE]);
    const struct hp_ledger_thread *thread =
        page ? hp_ledger_view_bytes(view, page + (number - 1) % HP_THREAD_PAGE * sizeof *thread, sizeof *thread) : NULL;
    return thread ? __atomic_load_n(&thread->tid, __ATOMIC_RELAXED) : 0;
}

unsigned hp_ledger_view_frames(const struct hp_ledger_view *view, hp_offset row, uint64_t life, uint64_t *frames)
{
    const struct hp_ledger_row *there = row_at(view, row);
    unsigned depth = there ? __atomic_load_n(&there->depth, __ATOMIC_RELAXED) : 0;
    if (depth > HP_DEPTH_MAX || !hp_ledger_view_bytes(view, (uint64_t)row * 16, sizeof *there + depth * sizeof *frames))
        return 0;
    for (unsigned i = 0; i < depth; i++)
        frames[i] = __atomic_load_n(&there->frames[i], __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    /* Frozen by a fold since, it still has its frames. */
    uint64_t now = __atomic_load_n(&there->alloc.objects, __ATOMIC_RELAXED) & ~HP_ROW_COUNT_MASK;
    return (now | HP_ROW_DEAD) == (life | HP_ROW_DEAD) ? depth : 0;
}

uint64_t hp_ledger_view_interval(const struct hp_ledger_view *view)
{
    uint64_t interval = __atomic_load_n(&view->ledger->armed_interval, __ATOMIC_RELAXED);
    return interval ? interval : HP_INTERVAL_USUAL;
}

void hp_ledger_view_expect(const struct hp_ledger_view *view, hp_offset row)
{
    uint64_t at = (uint64_t)row * 16;
    if (at >= view->size)
        return;
    if (!view->chunks) {
        __builtin_prefetch((const char *)view->ledger + at);
        return;
    }
    const char *chunk = __atomic_load_n(&view->chunks[at >> HP_CHUNK_SHIFT], __ATOMIC_RELAXED);
    if (chunk)
        __builtin_prefetch(chunk + (at & (HP_CHUNK - 1)));
}

/* The counters that a fold under way leaves in doubt: false if the row does not count. */
static bool judge(const struct hp_ledger_view *view, struct hp_row_reading *reading)
{
    const struct hp_journal *journal = &view->journal;
    if (journal->state == HP_JOURNAL_NONE)
        return true;
    if (reading->row == journal->row)
        return false; /* its counters are in the fold row's, as told by the journal or already */
    const struct hp_ledger_row *row =
        journal->state == HP_JOURNAL_ADDING && reading->row == journal->fold_row ? row_at(view, journal->row) : NULL;
    if (row) {
        struct hp_tally alloc = hp_row_counted(hp_tally_read(&row->alloc)), freed = hp_tally_read(&row->freed);
        reading->alloc =
            (struct hp_tally){journal->before_alloc.objects + alloc.objects, journal->before_alloc.bytes + alloc.bytes};
        reading->freed =
            (struct hp_tally){journal->before_freed.objects + freed.objects, journal->before_freed.bytes + freed.bytes};
    }
    return true;
}

/* freed first: what is freed was allocated before, so live never comes out negative. All that is in a fold row is
 * freed. */
static bool read_row(const struct hp_ledger_view *view, const struct hp_ledger_row *row, hp_offset at, uint64_t life,
                     struct hp_row_reading *reading)
{
    *reading = (struct hp_row_reading){.row = at,
                                       .life = life,
                                       .hash = __atomic_load_n(&row->hash, __ATOMIC_RELAXED),
                                       .interval = __atomic_load_n(&row->interval, __ATOMIC_RELAXED),
                                       .size_class = __atomic_load_n(&row->size_class, __ATOMIC_RELAXED),
                                       .kind = __atomic_load_n(&row->kind, __ATOMIC_RELAXED),
                                       .folded = __atomic_load_n(&row->folded, __ATOMIC_RELAXED),
                                       .freed = hp_tally_read(&row->freed)};
    reading->alloc = hp_row_counted(hp_tally_read(&row->alloc));
    if (reading->folded)
        reading->freed = reading->alloc;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint64_t now = __atomic_load_n(&row->alloc.objects, __ATOMIC_RELAXED) & ~HP_ROW_COUNT_MASK;
    return (now | HP_ROW_DEAD) == (life | HP_ROW_DEAD) && judge(view, reading);
}

static uint64_t life_at(const struct hp_ledger_row *row)
{
    return __atomic_load_n(&row->alloc.objects, __ATOMIC_ACQUIRE) & ~HP_ROW_COUNT_MASK;
}

/* A way along one chain while rows are taken out of it and their slots used again. Only a row that is DEAD is taken
 * out, and new ones come in at the head only. So a row that was met alive and still has the same life is still in the
 * chain, and its `next` leads on in it. What was read is believed if the words that led there, from such a row or the
 * head on, are the same after the life of the row that they led to was read; else the way goes on behind the latest
 * row that still lives. All that was met behind that one is gone, so no living row is visited twice, nor left out. */
#define REMEMBERED 32  /* rows that live; not one in 10^9 chains loses so many while it is read */
#define DEAD_BETWEEN 4 /* one is folded at a time */
#define SETBACKS 1000  /* each by a fold, or a new row, in this very chain */

struct way {
    const hp_offset *head;
    struct {
        hp_offset row;
        uint64_t life;
    } living[REMEMBERED];         /* a ring */
    unsigned count;               /* of what was ever put into it */
    hp_offset dead[DEAD_BETWEEN]; /* behind the latest one that lives */
    unsigned dead_count;
};

static bool lives(const struct hp_ledger_view *view, hp_offset at, uint64_t life)
{
    const struct hp_ledger_row *row = row_at(view, at);
    return row && life_at(row) == life;
}

/* The word that leads to the row after this one. */
static const hp_offset *word_after(const struct hp_ledger_view *view, const struct way *way, unsigned dead)
{
    if (!dead && !way->count)
        return way->head;
    const struct hp_ledger_row *row =
        row_at(view, dead ? way->dead[dead - 1] : way->living[(way->count - 1) % REMEMBERED].row);
    return row ? &row->next : NULL;
}

/* True if the way still leads to `next`. */
static bool holds(const struct hp_ledger_view *view, const struct way *way, hp_offset next)
{
    for (unsigned i = 0; i <= way->dead_count; i++) {
        const hp_offset *word = word_after(view, way, i);
        if (!word || __atomic_load_n(word, __ATOMIC_ACQUIRE) != (i < way->dead_count ? way->dead[i] : next))
            return false;
    }
    const unsigned latest = (way->count - 1) % REMEMBERED;
    return !way->count || lives(view, way->living[latest].row, way->living[latest].life);
}

/* Behind the latest row that still lives. */
static void go_back(const struct hp_ledger_view *view, struct way *way)
{
    const unsigned oldest = way->count > REMEMBERED ? way->count - REMEMBERED : 0;
    way->dead_count = 0;
    while (way->count > oldest && !lives(view, way->living[(way->count - 1) % REMEMBERED].row,
                                         way->living[(way->count - 1) % REMEMBERED].life))
        way->count--;
    way->count = way->count > oldest || !oldest ? way->count : 0;
}

/* The next row and its life; 0: there is none, or the chain is damaged. */
static hp_offset next_row(const struct hp_ledger_view *view, struct way *way, uint64_t *life)
{
    for (unsigned setbacks = 0; setbacks < SETBACKS; setbacks++) {
        const hp_offset *word = word_after(view, way, way->dead_count);
        const hp_offset next = word ? __atomic_load_n(word, __ATOMIC_ACQUIRE) : 0;
        const struct hp_ledger_row *row = next ? row_at(view, next) : NULL;
        *life = row ? life_at(row) : 0;
        if (!holds(view, way, next)) {
            go_back(view, way);
            continue;
        }
        if (!row)
            return 0;
        if (!(*life & HP_ROW_DEAD)) {
            way->living[way->count % REMEMBERED].row = next;
            way->living[way->count++ % REMEMBERED].life = *life;
            way->dead_count = 0;
        } else if (way->dead_count < DEAD_BETWEEN) {
            way->dead[way->dead_count++] = next;
        } else {
            return 0;
        }
        return next;
    }
    return 0;
}

void hp_ledger_view_each(const struct hp_ledger_view *view,
                         bool (*visit)(void *state, const struct hp_row_reading *reading), void *state)
{
    uint64_t steps = 0, step_limit = view->size / sizeof(struct hp_ledger_row);
    for (unsigned level = 0; level < HP_BUCKET_LEVELS; level++) {
        const struct hp_bucket_level *buckets = &view->buckets[level];
        for (uint64_t i = 0; buckets->at && i < buckets->count; i++) {
            const uint64_t place = buckets->at + i * sizeof(hp_offset);
            const hp_offset *chain = hp_ledger_view_bytes(view, place, sizeof *chain);
            if (!chain) { /* skip the rest of a block that was never used */
                i += (HP_BLOCK - place % HP_BLOCK - 1) / sizeof *chain;
                continue;
            }
            if (place % HP_BLOCK + (HP_AHEAD + 1) * sizeof *chain <= HP_BLOCK) /* in the same block, which is there */
                hp_ledger_view_expect(view, __atomic_load_n(chain + HP_AHEAD, __ATOMIC_RELAXED));
            struct way way = {.head = chain};
            struct hp_row_reading reading;
            const struct hp_ledger_row *row;
            uint64_t life;
            for (hp_offset at; steps < step_limit && (at = next_row(view, &way, &life)); steps++)
                if ((row = row_at(view, at)) && read_row(view, row, at, life, &reading) && !visit(state, &reading))
                    return;
        }
    }
}
