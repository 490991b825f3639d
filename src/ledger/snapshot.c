#include "ledger/snapshot.h"

#include <errno.h>
#include <string.h>

#include "ledger/thread_facts.h"
#include "base/atomic_copy.h"

/* At the start of the scratch memory, because signal stacks are small. */
struct bases {
    uint64_t frames[HP_DEPTH_MAX], addresses[HP_DEPTH_MAX]; /* of the row being written */
    char path[HP_PATH_MAX];                                 /* of the module being written */
    struct hp_thread_sums threads;
    uint32_t modules;         /* that base has room for */
    struct hp_range *covered; /* as many, for give_addresses */
    uint64_t
        base[]; /* the addresses that each module has in the profile; behind it, `covered` and the sums of threads */
};

/* Its latest place; nothing of no module. */
static struct hp_range range_of(const struct hp_ledger_module *module)
{
    if (!module)
        return (struct hp_range){0};
    return (struct hp_range){__atomic_load_n(&module->start, __ATOMIC_RELAXED),
                             __atomic_load_n(&module->limit, __ATOMIC_RELAXED)};
}

/* Ranges that are apart from each other, in order. */
struct cover {
    struct hp_range *ranges;
    uint32_t count;
};

/* The first range that ends behind `start`. */
static uint32_t find_in_cover(const struct cover *cover, uint64_t start)
{
    uint32_t low = 0, high = cover->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (cover->ranges[middle].limit > start)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* True if some of it was covered. Modules mostly come to stand below those before them, or where one was: little is
 * moved. */
static bool add_to_cover(struct cover *cover, struct hp_range range)
{
    const uint32_t first = find_in_cover(cover, range.start);
    uint32_t limit = first;
    for (; limit < cover->count && cover->ranges[limit].start < range.limit; limit++) {
        const struct hp_range *other = &cover->ranges[limit];
        range.start = other->start < range.start ? other->start : range.start;
        range.limit = other->limit > range.limit ? other->limit : range.limit;
    }
    memmove(cover->ranges + first + 1, cover->ranges + limit, (cover->count - limit) * sizeof *cover->ranges);
    cover->ranges[first] = range;
    cover->count += 1 + first - limit;
    return limit > first;
}

/* A module whose place was taken by a later one gets addresses that nothing else has: 4 GiB for each, where Linux puts
 * neither programs nor libraries. Otherwise modules keep their addresses, which people know from debuggers. */
static void give_addresses(const struct hp_ledger_view *view, struct bases *bases)
{
    struct cover later = {bases->covered, 0};
    for (uint32_t i = bases->modules; i-- > 0;) {
        const struct hp_ledger_module *module = hp_ledger_view_module(view, i);
        const struct hp_range range = range_of(module);
        const bool is_taken = range.start < range.limit && add_to_cover(&later, range);
        bases->base[i] = is_taken ? 0x100000000000ull + ((uint64_t)i << 32)
                         : module ? __atomic_load_n(&module->base, __ATOMIC_RELAXED)
                                  : 0;
    }
}

static uint64_t address_of(const struct bases *bases, uint64_t frame)
{
    uint64_t module = frame >> HP_FRAME_MODULE_SHIFT;
    uint64_t offset = frame & HP_FRAME_OFFSET_MASK;
    return module && module <= bases->modules ? bases->base[module - 1] + offset : offset;
}

#define MODULE_ROOM (sizeof(uint64_t) + sizeof(struct hp_range))

uint64_t hp_snapshot_base_size(const struct hp_ledger_view *view)
{
    uint32_t threads;
    uint64_t size = sizeof(struct bases) + (uint64_t)hp_ledger_view_module_count(view) * MODULE_ROOM;
    return (size + hp_threads_size(view, &threads) + 15) & ~15ull;
}

/* What was made since the memory was sized is left out. */
static bool divide(const struct hp_ledger_view *view, struct bases *bases, uint64_t size)
{
    if (size < sizeof *bases)
        return false;
    uint64_t threads = hp_threads_size(view, &bases->threads.count);
    uint64_t room = size - sizeof *bases, modules = hp_ledger_view_module_count(view);
    if (threads > room) {
        bases->threads.count = (uint32_t)(room / sizeof bases->threads.sums[0]);
        threads = bases->threads.count * sizeof bases->threads.sums[0];
    }
    room = (room - threads) / MODULE_ROOM;
    bases->modules = (uint32_t)(modules < room ? modules : room);
    bases->covered = (struct hp_range *)(bases->base + bases->modules);
    bases->threads.sums = (struct hp_thread_sum *)(bases->covered + bases->modules);
    return true;
}

uint64_t hp_snapshot_scratch_size(const struct hp_ledger_view *view)
{
    return hp_snapshot_base_size(view) + hp_ledger_view_row_count(view) * sizeof(struct hp_entry_row);
}

static void write_entry(const struct hp_ledger_view *view, struct bases *bases, const struct hp_entry_row *row,
                        uint64_t interval, struct hp_text *text)
{
    unsigned depth = hp_ledger_view_frames(view, row->row, row->life, bases->frames);
    for (unsigned i = 0; i < depth; i++)
        bases->addresses[i] = address_of(bases, bases->frames[i]);
    hp_text_entry(text, &row->counts, bases->addresses, depth);
    if (row->interval != interval)
        hp_text_drawn(text, &row->drawn, row->interval);
}

static void put_pair(struct hp_text *text, const char *name, uint64_t value)
{
    hp_text_put(text, name);
    hp_text_put_dec(text, value);
}

/* A value on a line of several, each of which ends at a space. */
static void put_word(struct hp_text *text, const char *word, size_t most)
{
    for (const char *p = word; *p && p < word + most - 1; p++) {
        char letter[2] = {*p, '\0'};
        if (*p == ' ')
            hp_text_put(text, "\\040");
        else
            hp_text_put_name(text, letter);
    }
}

static void write_own_facts(const struct hp_ledger_view *view, const struct hp_moment *moment, struct hp_text *text)
{
    const struct hp_ledger *ledger = view->ledger;
    const struct hp_audit audit = hp_audit_read(ledger);
    hp_text_comment(text);
    hp_text_put(text, "heapprof: version=" HP_VERSION);
    put_pair(text, " pid=", (uint64_t)ledger->pid);
    hp_text_put(text, " exe=");
    put_word(text, ledger->exe, sizeof ledger->exe);
    put_pair(text, " sequence=", moment->sequence);
    put_pair(text, " time=", moment->time_ns / 1000000000);
    put_pair(text, " time_ns=", moment->time_ns); /* for rates between profiles that are close to each other */
    put_pair(text, " start=", ledger->start_time_ns);
    put_pair(text, " interval=", hp_ledger_view_interval(view));
    put_pair(text, " depth=", ledger->depth);
    hp_text_put(text, " program=");
    put_word(text, ledger->program, sizeof ledger->program);
    hp_text_line_end(text);
    hp_text_comment(text);
    put_pair(text, "heapprof: samples=", audit.samples);
    put_pair(text, " lost=", audit.lost);
    put_pair(text, " truncated=", audit.truncated);
    put_pair(text, " unmatched_frees=", audit.unmatched_frees);
    put_pair(text, " own_bytes=", hp_ledger_own_bytes(ledger));
    put_pair(text, " own_ns=", moment->own_ns);
    put_pair(text, " own_most=", __atomic_load_n(&ledger->budget, __ATOMIC_RELAXED));
    if (ledger->cgroup_limit)
        put_pair(text, " cgroup_limit=", ledger->cgroup_limit);
    if (audit.folded)
        put_pair(text, " folded=", audit.folded);
    if (audit.unnamed_frames)
        put_pair(text, " unnamed_frames=", audit.unnamed_frames);
    hp_text_line_end(text);
}

struct totals {
    double alloc_bytes, alloc_objects, live_bytes, live_objects;
    double untouched; /* of live_bytes */
};

struct hp_figures hp_figures_read(const struct hp_ledger *ledger)
{
    struct hp_figures figures;
    /* A writer killed half way leaves an odd version for ever: give up after some rounds, with what is there. */
    for (int round = 0; round < 1000; round++) {
        uint32_t version = __atomic_load_n(&ledger->figures.version, __ATOMIC_ACQUIRE);
        hp_atomic_copy_out(&figures, &ledger->figures, sizeof figures);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(version & 1) && __atomic_load_n(&ledger->figures.version, __ATOMIC_RELAXED) == version)
            break;
    }
    return figures;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* a - b, but not below 0. */
static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* Walked figures older than this, compared with what samples read since, are not shown any more. */
#define WALK_MOST_NS 1000000000ull

struct hp_figures hp_figures_shown(const struct hp_ledger *ledger, const struct hp_figures *fresh, uint64_t live,
                                   uint64_t clock_ns)
{
    const uint64_t loaded_ns = __atomic_load_n(&ledger->heap.time_ns, __ATOMIC_RELAXED);
    struct hp_figures figures = fresh->source ? *fresh : hp_figures_read(ledger);
    if (!fresh->source && loaded_ns > figures.time_ns && loaded_ns - figures.time_ns > WALK_MOST_NS)
        figures.source = HP_FIGURES_NONE;
    if (figures.source > HP_FIGURES_ESTIMATED)
        return figures;
    figures = (struct hp_figures){.source = HP_FIGURES_ESTIMATED,
                                  .time_ns = clock_ns,
                                  .alloc = live,
                                  .inuse = live,
                                  .sys = live,
                                  .live = live,
                                  .released_known = 1};
    if (loaded_ns) {
        uint64_t sys = __atomic_load_n(&ledger->heap.sys, __ATOMIC_RELAXED);
        figures.sys = sys > live ? sys : live;
        figures.released = smaller(__atomic_load_n(&ledger->heap.mapped, __ATOMIC_RELAXED), figures.sys);
        figures.released_known = 0;
    }
    return figures;
}

/* Of the resident set, what is the heap's, and what of that is idle; *metadata: what else there is but what is live. */
static uint64_t share_out(struct hp_resident *resident, const struct hp_figures *figures, uint64_t released,
                          uint64_t untouched, uint64_t *metadata)
{
    uint64_t idle_resident = less(less(figures->sys, figures->inuse), released);
    if (figures->released_known) {
        uint64_t beside = figures->metadata_in_idle ? 0 : *metadata, all = figures->sys + beside;
        uint64_t elsewhere = less(all, resident->heap_size);
        hp_resident_add_heap(resident, smaller(elsewhere, less(figures->inuse, untouched) + idle_resident + beside));
        if (figures->metadata_in_idle)
            idle_resident = less(idle_resident, *metadata);
    } else {
        hp_resident_add_arenas(resident, less(figures->sys, figures->released));
        hp_resident_add_heap(resident, less(figures->released, untouched)); /* large blocks, outside of the arenas */
    }
    return smaller(idle_resident, resident->heap);
}

/* Where the figures are an estimate, or of a moment when another amount was live, nothing is subtracted from them: the
 * heap is what can be told by its place, and at least what is live; what of it is not live may be idle or in use. */
static void share_out_live(struct hp_resident *resident, const struct hp_figures *figures, uint64_t live,
                           uint64_t untouched, uint64_t *metadata)
{
    if (figures->source == HP_FIGURES_ESTIMATED && !figures->released_known) {
        hp_resident_add_arenas(resident, less(figures->sys, figures->released));
        hp_resident_add_heap(resident, less(figures->released, untouched));
    } else {
        hp_resident_add_heap(resident, less(less(live, untouched), resident->heap));
    }
    *metadata = less(resident->heap, less(live, untouched));
}

/* Bytes that are not resident: `released` of the allocator's idle memory, `untouched` of live objects. */
static void write_resident(const struct hp_moment *moment, const struct hp_figures *figures, bool current,
                           uint64_t live, uint64_t released, uint64_t untouched, struct hp_text *text)
{
    struct hp_resident copy = moment->resident, *resident = &copy;
    uint64_t metadata = figures->metadata, idle = 0;
    if (current)
        idle = share_out(resident, figures, released, untouched, &metadata);
    else
        share_out_live(resident, figures, live, untouched, &metadata);
    hp_text_comment(text);
    put_pair(text, "heapprof: rss=", resident->rss);
    put_pair(text, " rss_heap=", resident->heap);
    put_pair(text, " rss_idle=", idle);
    put_pair(text, " rss_anonymous=", resident->anonymous);
    put_pair(text, " rss_stacks=", resident->stacks);
    put_pair(text, " rss_program=", resident->program);
    put_pair(text, " rss_files=", resident->files);
    put_pair(text, " rss_shared=", resident->shared);
    put_pair(text, " rss_own=", resident->own);
    put_pair(text, " heap_metadata=", metadata);
    put_pair(text, " heap_untouched=", untouched);
    put_pair(text, " swapped=", resident->swapped);
    put_pair(text, " rss_age_ms=", moment->resident_age_ns / 1000000);
    if (!current)
        hp_text_put(text, " rss_idle_unknown=1");
    hp_text_line_end(text);
}

static const char *const source_names[] = {"not known", "estimated", "asked", "walked", "sampled"};

static uint64_t age_ms(const struct hp_moment *moment, uint64_t time_ns)
{
    return less(moment->clock_ns, time_ns) / 1000000;
}

/* "glibc 2.36 (age 12 ms; walked)" */
static void write_allocator(const struct hp_ledger *ledger, const struct hp_moment *moment,
                            const struct hp_figures *figures, struct hp_text *text)
{
    char name[sizeof ledger->allocator];
    memcpy(name, ledger->allocator, sizeof name);
    name[sizeof name - 1] = '\0';
    hp_text_comment(text);
    hp_text_put(text, "heapprof.allocator = ");
    hp_text_put_name(text, name[0] ? name : "unknown");
    put_pair(text, " (age ", age_ms(moment, figures->time_ns));
    hp_text_put(text, " ms; ");
    hp_text_put(text, source_names[figures->source <= HP_FIGURES_SAMPLED ? figures->source : 0]);
    if (figures->error)
        put_pair(text, ", HeapInuse +- ", figures->error);
    if (figures->lost)
        put_pair(text, ", bytes changed meanwhile: ", figures->lost);
    hp_text_put(text, ")");
    hp_text_line_end(text);
}

static void put_source(struct hp_text *text, const char *name, const char *source, uint64_t age)
{
    hp_text_put(text, name);
    hp_text_put(text, source);
    put_pair(text, ",", age);
    hp_text_put(text, "ms");
}

/* How each figure came about, and how old it is. */
static void write_sources(const struct hp_ledger *ledger, const struct hp_moment *moment,
                          const struct hp_figures *figures, bool raised, struct hp_text *text)
{
    const char *source = source_names[figures->source <= HP_FIGURES_SAMPLED ? figures->source : 0];
    const uint64_t age = age_ms(moment, figures->time_ns);
    const uint64_t loaded_ns = __atomic_load_n(&ledger->heap.time_ns, __ATOMIC_RELAXED);
    bool loaded = figures->source == HP_FIGURES_ESTIMATED && loaded_ns && figures->sys > figures->inuse;
    hp_text_comment(text);
    put_source(text, "heapprof.sources = HeapAlloc=", source, age);
    put_source(text, " HeapInuse=", raised ? "raised_to_HeapAlloc" : source, age);
    put_source(text, " HeapSys=",
               loaded                                  ? "loaded"
               : figures->source == HP_FIGURES_SAMPLED ? "walked"
                                                       : source,
               loaded ? age_ms(moment, loaded_ns) : age);
    if (figures->released_known)
        put_source(text, " HeapReleased=", source, age);
    else if (moment->resident.known)
        put_source(text, " HeapReleased=resident_set", "", moment->resident_age_ns / 1000000);
    else
        hp_text_put(text, " HeapReleased=not known");
    hp_text_line_end(text);
}

static void write_memstats(const struct hp_ledger_view *view, const struct hp_moment *moment,
                           const struct totals *totals, struct hp_text *text)
{
    const uint64_t live = hp_whole(totals->live_bytes);
    struct hp_figures figures = hp_figures_shown(view->ledger, &moment->figures, live, moment->clock_ns);
    /* The allocator's figures are not all taken at one moment. */
    bool raised = figures.alloc > figures.inuse;
    if (raised)
        figures.inuse = figures.alloc;
    uint64_t idle = less(figures.sys, figures.inuse);
    uint64_t released = figures.released;
    bool current = figures.source != HP_FIGURES_ESTIMATED &&
                   hp_resident_about(figures.live, __atomic_load_n(&view->ledger->live_estimate, __ATOMIC_RELAXED));
    if (!figures.released_known) {
        struct hp_resident resident = moment->resident;
        uint64_t arenas = less(figures.sys, figures.released); /* released: mmapped */
        hp_resident_add_arenas(&resident, arenas);
        released = resident.known ? less(arenas, resident.heap) : 0;
    }
    /* Rounded once, so that HeapObjects = Mallocs - Frees. */
    uint64_t mallocs = hp_whole(totals->alloc_objects + 0.5), objects = hp_whole(totals->live_objects + 0.5);
    hp_text_put(text, "# runtime.MemStats\n");
    hp_text_fact(text, "Alloc", figures.alloc);
    hp_text_fact(text, "TotalAlloc", hp_whole(totals->alloc_bytes + 0.5));
    hp_text_fact(text, "Mallocs", mallocs);
    hp_text_fact(text, "Frees", mallocs > objects ? mallocs - objects : 0);
    hp_text_fact(text, "HeapAlloc", figures.alloc);
    hp_text_fact(text, "HeapSys", figures.inuse + idle);
    hp_text_fact(text, "HeapIdle", idle);
    hp_text_fact(text, "HeapInuse", figures.inuse);
    hp_text_fact(text, "HeapReleased", smaller(released, idle));
    hp_text_fact(text, "HeapObjects", objects);
    hp_text_fact(text, "MaxRSS", moment->max_rss);
    write_allocator(view->ledger, moment, &figures, text);
    write_sources(view->ledger, moment, &figures, raised, text);
    if (moment->resident.known)
        write_resident(moment, &figures, current, live, smaller(released, idle), hp_whole(totals->untouched + 0.5),
                       text);
}

/* Copied, so that it ends where it ended when it was looked at. */
static void copy_path(const struct hp_ledger_view *view, uint64_t at, char path[HP_PATH_MAX])
{
    size_t used = 0;
    for (const char *p; used + 1 < HP_PATH_MAX && (p = hp_ledger_view_bytes(view, at + used, 1)) && *p; used++)
        path[used] = *p;
    path[used] = '\0';
}

static void write_modules(const struct hp_ledger_view *view, struct bases *bases, struct hp_text *text, bool maps)
{
    for (uint32_t i = 0; i < bases->modules; i++) {
        const struct hp_ledger_module *there = hp_ledger_view_module(view, i);
        if (!there)
            continue;
        struct hp_ledger_module copy, *module = &copy;
        hp_atomic_copy_out(&copy, there, sizeof copy);
        copy_path(view, module->path_at, bases->path);
        uint32_t id_size = module->build_id_size <= sizeof module->build_id ? module->build_id_size : 0;
        char id[2 * sizeof module->build_id + 1];
        for (uint32_t j = 0; j < id_size; j++) {
            id[2 * j] = "0123456789abcdef"[module->build_id[j] >> 4];
            id[2 * j + 1] = "0123456789abcdef"[module->build_id[j] & 15];
        }
        id[2 * id_size] = '\0';
        for (uint32_t j = 0; j < module->segment_count && j < HP_MODULE_SEGMENTS; j++) {
            const struct hp_segment *segment = &module->segments[j];
            uint64_t start = bases->base[i] + segment->address;
            if (maps)
                hp_text_map(text, start, start + segment->size, segment->offset, bases->path);
            else if (id_size)
                hp_text_module(text, start, id);
        }
    }
}

int hp_snapshot_write(const struct hp_ledger_view *view, const struct hp_moment *moment, struct hp_text *text,
                      void *scratch, uint64_t scratch_size)
{
    const uint64_t base_size = hp_snapshot_base_size(view);
    struct hp_entry_row *rows = (struct hp_entry_row *)((char *)scratch + base_size);
    if (scratch_size < base_size)
        return -EBADMSG;
    uint64_t count = hp_rows_collect(view, rows, (scratch_size - base_size) / sizeof *rows);
    hp_rows_sort(rows, count);
    return hp_snapshot_write_rows(view, moment, rows, count, text, scratch, base_size);
}

int hp_snapshot_write_rows(const struct hp_ledger_view *view, const struct hp_moment *moment,
                           const struct hp_entry_row *rows, uint64_t count, struct hp_text *text, void *scratch,
                           uint64_t scratch_size)
{
    struct bases *bases = scratch;
    if (!divide(view, bases, scratch_size))
        return -EBADMSG;
    give_addresses(view, bases);
    struct hp_counts sums = {0};
    struct totals totals = {0};
    uint64_t interval = hp_ledger_view_interval(view);
    bool exact = interval == 1;
    for (uint64_t i = 0; i < count; i++) {
        const struct hp_counts *counts = &rows[i].counts, *drawn = &rows[i].drawn;
        const double at = (double)rows[i].interval;
        exact &= rows[i].interval == 1;
        sums.live_objects += counts->live_objects;
        sums.live_bytes += counts->live_bytes;
        sums.alloc_objects += counts->alloc_objects;
        sums.alloc_bytes += counts->alloc_bytes;
        hp_add_scaled(&totals.live_bytes, &totals.live_objects, drawn->live_bytes, drawn->live_objects, at);
        hp_add_scaled(&totals.alloc_bytes, &totals.alloc_objects, drawn->alloc_bytes, drawn->alloc_objects, at);
    }
    hp_text_header(text, &sums, interval);
    for (uint64_t i = 0; i < count && !text->error; i++) {
        if (i + HP_AHEAD < count)
            hp_ledger_view_expect(view, rows[i + HP_AHEAD].row);
        write_entry(view, bases, &rows[i], interval, text);
    }
    if (exact)
        hp_text_fact_string(text, "heapprof.exact", "every allocation was recorded, nothing is estimated");
    write_own_facts(view, moment, text);
    hp_threads_collect(view, moment->process, &bases->threads);
    totals.untouched = bases->threads.untouched;
    write_memstats(view, moment, &totals, text);
    hp_threads_write(view, moment->process, &bases->threads, text);
    write_modules(view, bases, text, false);
    hp_text_maps_begin(text);
    write_modules(view, bases, text, true);
    return hp_text_end(text);
}
