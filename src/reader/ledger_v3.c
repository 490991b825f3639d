/* Over 400 lines, because all that is known of the old layout stands here and nowhere else, and goes with this file. */
#include "reader/ledger_v3.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "ledger/chain.h"
#include "base/sys.h"
#include "base/atomic_copy.h"

/* The layout of version 3. Stacks were records of their own, which entries refer to; both lie in an arena, and hang in
 * the chains of one table. Records were never moved or removed. Tables stood at places that the budget decides. */
enum {
    VERSION = 3,
    BLOCK = 16384,
    BLOCK_MOST = 131072, /* 2 GiB */
    BUCKET_LEVELS = 3,
    LIVE_LEVELS = 5,
    LIVE_SLOTS = 7,
    MODULES = 2048,
    MODULE_SEGMENTS = 4,
    EPOCHS = 64,
    THREADS = 4096,
};

enum kind { STACK = 1, ENTRY = 2 };

struct record {
    hp_offset next;
    uint16_t kind; /* enum kind */
    uint16_t depth;
    uint64_t hash;
};

struct stack {
    struct record record;
    uint64_t frames[];
};

struct entry {
    struct record record;
    hp_offset stack;
    uint16_t size_class;
    uint16_t epoch;
    uint64_t unused;
    struct hp_tally alloc, freed;
};

struct live_group {
    uint64_t keys[LIVE_SLOTS];
    uint32_t overflow, unused;
};

struct live_data {
    uint64_t size;
    hp_offset entry;
    uint32_t time_ms;
    uint32_t thread;
    uint32_t plain;
};

struct module {
    uint32_t state;
    uint32_t build_id_size;
    uint64_t base, start, limit, key;
    uint64_t path_at;
    uint8_t build_id[32];
    uint32_t segment_count, unused;
    struct {
        uint64_t address, size, offset;
    } segments[MODULE_SEGMENTS];
};

struct figures {
    uint32_t version;
    uint32_t estimated; /* alloc is not the allocator's */
    uint64_t time_ns;   /* 0: never read */
    uint64_t alloc, inuse, sys, released, metadata;
    uint32_t metadata_in_idle, released_known;
};

struct layout {
    uint64_t modules_at, threads_at;
    struct {
        uint64_t count, at;
    } buckets[BUCKET_LEVELS];
    struct {
        uint64_t groups, groups_at, data_at;
    } live[LIVE_LEVELS]; /* groups 0: the level is not there */
    uint64_t arena_at, arena_limit;
    uint64_t size;
};

struct header {
    uint64_t magic;
    uint32_t version, header_size;
    uint64_t budget, reserved; /* reserved: without the header's blocks */
    int32_t pid;
    uint32_t uid;
    int32_t parent_pid;
    uint32_t closed;
    uint64_t start_time_ns, start_clock_ns, start_ticks, made_ticks, pid_namespace;
    uint32_t depth;
    uint32_t epoch, epoch_count, armed_epoch;
    uint64_t intervals[EPOCHS];
    uint64_t wanted_interval;
    struct layout layout;
    uint32_t module_count, live_levels, bucket_levels, entry_count, stack_count, thread_count;
    uint64_t arena_next;
    struct {
        uint64_t samples, lost, truncated, unmatched_frees, own_ticks;
    } audit;
    struct figures figures;
    uint64_t resident[16];
    uint64_t live_estimate;
    uint32_t dump_sequence, front_module;
    uint64_t front_offset;
    char exe[4096], program[64], allocator[64];
    uint64_t block_map[BLOCK_MOST / 64];
};

_Static_assert(offsetof(struct header, layout) == 624 && offsetof(struct header, audit) == 864 &&
                   offsetof(struct header, exe) == 1120 && sizeof(struct header) == 21728 &&
                   sizeof(struct entry) == 64 && sizeof(struct module) == 184 && sizeof(struct live_data) == 24,
               "the layout of version 3, which never changes");

/* A ledger of version 3: its layout is the one that its budget gives, which was checked. */
struct view {
    const struct header *header;
    struct layout layout;
};

static uint64_t in_blocks(uint64_t size)
{
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static struct layout layout_of(uint64_t budget)
{
    static const uint8_t logarithms[BUCKET_LEVELS] = {12, 15, 19};
    struct layout layout = {0};
    uint64_t at = in_blocks(sizeof(struct header)), groups = 512;
    layout.modules_at = at;
    at += in_blocks(MODULES * sizeof(struct module));
    layout.threads_at = at;
    at += in_blocks(THREADS * sizeof(uint64_t));
    for (unsigned i = 0; i < BUCKET_LEVELS; i++) {
        layout.buckets[i].count = 1ull << logarithms[i];
        layout.buckets[i].at = at;
        at += in_blocks(layout.buckets[i].count * sizeof(hp_offset));
    }
    for (unsigned i = 0; i < LIVE_LEVELS; i++, groups *= 8) {
        uint64_t group_bytes = in_blocks(groups * sizeof(struct live_group));
        uint64_t data_bytes = in_blocks(groups * LIVE_SLOTS * sizeof(struct live_data));
        if (i > 0 && group_bytes + data_bytes > 3 * budget)
            break;
        layout.live[i].groups = groups;
        layout.live[i].groups_at = at;
        layout.live[i].data_at = at + group_bytes;
        at += group_bytes + data_bytes;
    }
    layout.arena_at = at;
    layout.arena_limit = layout.size = at + in_blocks(budget);
    return layout;
}

static int open_view(struct view *view, const void *memory, uint64_t size)
{
    const uint64_t most = (uint64_t)BLOCK_MOST * BLOCK;
    const struct header *header = memory;
    if (size < 16 || __atomic_load_n(&header->magic, __ATOMIC_ACQUIRE) != HP_LEDGER_MAGIC)
        return -EINVAL;
    if (header->version != VERSION)
        return -EPROTONOSUPPORT;
    if (size < sizeof *header || header->header_size != sizeof *header)
        return -EBADMSG;
    const uint64_t budget = __atomic_load_n(&header->budget, __ATOMIC_RELAXED);
    const struct layout expected = layout_of(budget < most ? budget : most);
    if (memcmp(&expected, &header->layout, sizeof expected) || expected.size > size || expected.size > most)
        return -EBADMSG;
    *view = (struct view){header, expected};
    return 0;
}

/* `size` readable bytes, or NULL. Blocks that were never reserved are holes in the file. */
static const void *bytes_at(const struct view *view, uint64_t at, uint64_t size)
{
    if (at > view->layout.size || size > view->layout.size - at)
        return NULL;
    for (uint64_t block = at / BLOCK; size && block <= (at + size - 1) / BLOCK; block++)
        if (!(__atomic_load_n(&view->header->block_map[block / 64], __ATOMIC_ACQUIRE) >> block % 64 & 1))
            return NULL;
    return (const char *)view->header + at;
}

static const void *record_at(const struct view *view, hp_offset offset, enum kind kind, uint64_t size)
{
    const uint64_t at = (uint64_t)offset * 16;
    const struct record *record = at < view->layout.arena_at ? NULL : bytes_at(view, at, size);
    return record && __atomic_load_n(&record->kind, __ATOMIC_RELAXED) == kind ? record : NULL;
}

static uint64_t interval_at(const struct header *header, uint32_t epoch)
{
    return epoch < EPOCHS ? __atomic_load_n(&header->intervals[epoch], __ATOMIC_RELAXED) : 0;
}

/* Calls `visit` for each entry until it returns an error: that, or 0. */
static int each_entry(const struct view *view, int (*visit)(void *state, const struct entry *entry), void *state)
{
    uint64_t steps = 0, most = (view->layout.arena_limit - view->layout.arena_at) / sizeof(struct record);
    for (unsigned level = 0; level < BUCKET_LEVELS; level++) {
        for (uint64_t i = 0; i < view->layout.buckets[level].count; i++) {
            const hp_offset *bucket =
                bytes_at(view, view->layout.buckets[level].at + i * sizeof *bucket, sizeof *bucket);
            if (!bucket) { /* the rest of a block that was never used */
                i |= BLOCK / sizeof *bucket - 1;
                continue;
            }
            const struct record *record;
            for (hp_offset at = __atomic_load_n(bucket, __ATOMIC_ACQUIRE); at && steps++ < most;
                 at = __atomic_load_n(&record->next, __ATOMIC_RELAXED)) {
                record = (uint64_t)at * 16 < view->layout.arena_at ? NULL
                                                                   : bytes_at(view, (uint64_t)at * 16, sizeof *record);
                if (!record)
                    break;
                const struct entry *entry = record_at(view, at, ENTRY, sizeof *entry);
                int error = entry ? visit(state, entry) : 0;
                if (error)
                    return error;
            }
        }
    }
    return 0;
}

static void each_live(const struct view *view,
                      void (*visit)(void *state, uint64_t address, const struct live_data *data), void *state)
{
    for (unsigned level = 0; level < LIVE_LEVELS; level++) {
        const uint64_t groups = view->layout.live[level].groups;
        for (uint64_t index = 0; index < groups; index++) {
            const uint64_t at = view->layout.live[level].groups_at + index * sizeof(struct live_group);
            const struct live_group *group = bytes_at(view, at, sizeof *group);
            if (!group) /* the rest of a block that was never used */
                index |= BLOCK / sizeof *group - 1;
            for (unsigned slot = 0; group && slot < LIVE_SLOTS; slot++) {
                const uint64_t key = __atomic_load_n(&group->keys[slot], __ATOMIC_ACQUIRE);
                const uint64_t there =
                    view->layout.live[level].data_at + (slot * groups + index) * sizeof(struct live_data);
                const struct live_data *data = key && !(key & 1) ? bytes_at(view, there, sizeof *data) : NULL;
                struct live_data copy;
                if (!data)
                    continue;
                hp_atomic_copy_out(&copy, data, sizeof copy);
                __atomic_thread_fence(__ATOMIC_ACQUIRE);
                if (__atomic_load_n(&group->keys[slot], __ATOMIC_RELAXED) == key)
                    visit(state, key, &copy);
            }
        }
    }
}

/* What an entry stands for. The frames are copied, because they must not change between hashing and comparing. */
static struct hp_key key_of(const struct view *view, const struct entry *entry, uint64_t frames[HP_DEPTH_MAX])
{
    const hp_offset at = __atomic_load_n(&entry->stack, __ATOMIC_RELAXED);
    const struct stack *stack = record_at(view, at, STACK, sizeof *stack);
    uint64_t depth = stack ? __atomic_load_n(&stack->record.depth, __ATOMIC_RELAXED) : 0;
    depth = depth < HP_DEPTH_MAX ? depth : HP_DEPTH_MAX;
    if (!stack || !record_at(view, at, STACK, sizeof *stack + depth * sizeof *frames))
        depth = 0;
    for (uint64_t i = 0; i < depth; i++)
        frames[i] = __atomic_load_n(&stack->frames[i], __ATOMIC_RELAXED);
    const uint64_t interval = interval_at(view->header, __atomic_load_n(&entry->epoch, __ATOMIC_RELAXED));
    struct hp_key key = {.frames = frames,
                         .interval = interval ? interval : 1,
                         .depth = (uint16_t)depth,
                         .size_class = __atomic_load_n(&entry->size_class, __ATOMIC_RELAXED),
                         .kind = HP_KIND_HEAP};
    key.hash = hp_key_hash(&key);
    return key;
}

struct translation {
    const struct view *view;
    const struct hp_store *store;
    uint64_t row_bytes, objects;     /* measured first */
    double live_bytes, live_objects; /* scaled, as a profile has them */
    uint64_t frames[HP_DEPTH_MAX];   /* of the entry at hand */
};

static int measure_entry(void *state, const struct entry *entry)
{
    struct translation *translation = state;
    const hp_offset at = __atomic_load_n(&entry->stack, __ATOMIC_RELAXED);
    const struct stack *stack = record_at(translation->view, at, STACK, sizeof *stack);
    const uint64_t depth = stack ? __atomic_load_n(&stack->record.depth, __ATOMIC_RELAXED) : 0;
    translation->row_bytes +=
        sizeof(struct hp_ledger_row) + (depth + depth / 4 + 4) * sizeof(uint64_t); /* slots are larger */
    return 0;
}

static void measure_live(void *state, uint64_t address, const struct live_data *data)
{
    ((struct translation *)state)->objects++;
}

/* Two entries of one key, which two threads made at once, become one row. */
static void add_pair(struct hp_tally *to, uint64_t life, struct hp_tally pair)
{
    const uint64_t objects = (to->objects & HP_ROW_COUNT_MASK) + (pair.objects & HP_ROW_COUNT_MASK);
    to->objects = life | (objects < HP_ROW_COUNT_MASK ? objects : HP_ROW_COUNT_MASK);
    to->bytes += pair.bytes;
}

/* The row of an entry, made if need be; 0: there is no memory. */
static hp_offset row_of(struct translation *translation, const struct entry *entry)
{
    bool truncated = false;
    const struct hp_key key = key_of(translation->view, entry, translation->frames);
    const hp_offset found = hp_row_find(translation->store, &key);
    const hp_offset row = found ? found : hp_row_add(translation->store, &key, false, 0, NULL, &truncated);
    return truncated ? 0 : row;
}

/* freed first: what is freed was allocated before, so live never comes out negative. */
static int add_entry(void *state, const struct entry *entry)
{
    struct translation *translation = state;
    const struct hp_tally freed = hp_tally_read(&entry->freed), alloc = hp_tally_read(&entry->alloc);
    const hp_offset at = row_of(translation, entry);
    if (!at)
        return -ENOMEM;
    struct hp_ledger_row *row = hp_row_at(translation->store, at);
    add_pair(&row->alloc, row->alloc.objects & ~HP_ROW_COUNT_MASK, alloc);
    add_pair(&row->freed, 0, freed);
    if (alloc.objects > freed.objects && alloc.bytes >= freed.bytes)
        hp_add_scaled(&translation->live_bytes, &translation->live_objects, alloc.bytes - freed.bytes,
                      alloc.objects - freed.objects, (double)row->interval);
    return 0;
}

/* One that finds no room is missing in the sums of threads, and nowhere else: rows have the counters. */
static void add_live(void *state, uint64_t address, const struct live_data *data)
{
    struct translation *translation = state;
    const struct entry *entry = record_at(translation->view, data->entry, ENTRY, sizeof *entry);
    const struct hp_live_data object = {.size = data->size,
                                        .row = entry ? row_of(translation, entry) : 0,
                                        .time_ms = data->time_ms,
                                        .thread = data->thread};
    if (object.row && object.thread)
        hp_live_insert(translation->store, address, &object);
}

/* The path's byte offset in the translation; 0: there is no memory. */
static uint64_t copy_path(const struct translation *translation, uint64_t from)
{
    char path[HP_PATH_MAX];
    size_t used = 0;
    for (const char *p; used + 1 < sizeof path && (p = bytes_at(translation->view, from + used, 1)) && *p; used++)
        path[used] = *p;
    path[used] = '\0';
    const uint64_t at = hp_ledger_allocate(translation->store, used + 1);
    if (at)
        memcpy(hp_store_at(translation->store, at), path, used + 1);
    return at;
}

/* Under its number, which frames have. */
static int add_module(const struct translation *translation, uint32_t index)
{
    uint64_t *page = &translation->store->ledger->modules_at[index / HP_MODULE_PAGE];
    const uint64_t at = translation->view->layout.modules_at + index * sizeof(struct module);
    const struct module *there = bytes_at(translation->view, at, sizeof *there);
    const uint32_t state = there ? __atomic_load_n(&there->state, __ATOMIC_ACQUIRE) : HP_MODULE_FREE;
    struct module from;
    if (state != HP_MODULE_LOADED && state != HP_MODULE_UNLOADED)
        return 0;
    hp_atomic_copy_out(&from, there, sizeof from);
    if (!*page)
        *page = hp_ledger_allocate(translation->store, HP_MODULE_PAGE * sizeof(struct hp_ledger_module));
    const uint64_t path_at = *page ? copy_path(translation, from.path_at) : 0;
    if (!path_at)
        return -ENOMEM;
    struct hp_ledger_module *module = hp_module_at(translation->store, index);
    *module = (struct hp_ledger_module){.state = state,
                                        .build_id_size = from.build_id_size,
                                        .base = from.base,
                                        .start = from.start,
                                        .limit = from.limit,
                                        .key = from.key,
                                        .path_at = path_at,
                                        .segment_count = from.segment_count};
    memcpy(module->build_id, from.build_id, sizeof from.build_id);
    for (unsigned i = 0; i < MODULE_SEGMENTS; i++)
        module->segments[i] =
            (struct hp_segment){from.segments[i].address, from.segments[i].size, from.segments[i].offset};
    return 0;
}

/* Later threads took the places of the first ones: those that are still there say whose they are. */
static void add_threads(const struct translation *translation)
{
    struct hp_ledger *ledger = translation->store->ledger;
    const uint32_t count = __atomic_load_n(&translation->view->header->thread_count, __ATOMIC_RELAXED);
    ledger->thread_count = count < HP_THREADS ? count : HP_THREADS;
    for (unsigned i = 0; i < THREADS; i++) {
        const uint64_t *there =
            bytes_at(translation->view, translation->view->layout.threads_at + i * sizeof *there, sizeof *there);
        const uint64_t number_and_tid = there ? __atomic_load_n(there, __ATOMIC_RELAXED) : 0;
        const uint32_t number = (uint32_t)(number_and_tid >> 32);
        struct hp_ledger_thread *thread =
            number <= ledger->thread_count ? hp_thread_of(translation->store, number) : NULL;
        if (thread)
            thread->tid = (uint32_t)number_and_tid;
    }
}

static uint64_t ticks_now(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return 0;
#endif
}

/* The library's time was counted in ticks of the processor, whose length tells itself since the ledger's start; 0 if
 * the machine was started again since. */
static uint64_t own_ns(const struct header *header)
{
    const uint64_t ticks = ticks_now(), clock = hp_clock_ns(CLOCK_MONOTONIC);
    if (ticks <= header->start_ticks || clock <= header->start_clock_ns)
        return 0;
    const double length = (double)(clock - header->start_clock_ns) / (double)(ticks - header->start_ticks);
    return hp_whole((double)header->audit.own_ticks * length);
}

static void copy_figures(const struct header *header, uint64_t live, struct hp_figures *to)
{
    struct figures from;
    /* A writer killed half way leaves an odd version for ever: give up after some rounds, with what is there. */
    for (int round = 0; round < 1000; round++) {
        const uint32_t version = __atomic_load_n(&header->figures.version, __ATOMIC_ACQUIRE);
        hp_atomic_copy_out(&from, &header->figures, sizeof from);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(version & 1) && __atomic_load_n(&header->figures.version, __ATOMIC_RELAXED) == version)
            break;
    }
    *to = (struct hp_figures){.source = from.time_ns ? HP_FIGURES_ASKED : HP_FIGURES_NONE,
                              .time_ns = from.time_ns,
                              .alloc = from.estimated ? live : from.alloc,
                              .inuse = from.inuse,
                              .sys = from.sys,
                              .released = from.released,
                              .metadata = from.metadata,
                              .live = header->live_estimate,
                              .metadata_in_idle = from.metadata_in_idle,
                              .released_known = from.released_known};
}

/* All but what tells where things stand in the ledger. `live`: bytes, estimated. */
static void copy_header(const struct header *from, uint64_t live, struct hp_ledger *to)
{
    const uint64_t armed = interval_at(from, __atomic_load_n(&from->armed_epoch, __ATOMIC_ACQUIRE));
    to->budget = from->budget;
    to->reserved = __atomic_load_n(&from->reserved, __ATOMIC_RELAXED) + in_blocks(sizeof *from);
    to->pid = from->pid;
    to->uid = from->uid;
    to->parent_pid = from->parent_pid;
    to->closed = from->closed;
    to->start_time_ns = from->start_time_ns;
    to->start_clock_ns = from->start_clock_ns;
    to->made_ticks = from->made_ticks;
    to->pid_namespace = from->pid_namespace;
    to->depth = from->depth;
    to->interval = interval_at(from, __atomic_load_n(&from->epoch, __ATOMIC_ACQUIRE));
    to->armed_interval = armed ? armed : HP_INTERVAL_USUAL;
    to->wanted_interval = from->wanted_interval;
    to->audit = (struct hp_audit){.samples = from->audit.samples,
                                  .lost = from->audit.lost,
                                  .truncated = from->audit.truncated,
                                  .unmatched_frees = from->audit.unmatched_frees,
                                  .other_ns = own_ns(from)};
    copy_figures(from, live, &to->figures);
    to->live_estimate = from->live_estimate;
    to->dump_sequence = from->dump_sequence;
    memcpy(to->exe, from->exe, sizeof to->exe);
    memcpy(to->program, from->program, sizeof to->program);
    memcpy(to->allocator, from->allocator, sizeof to->allocator);
}

_Static_assert(sizeof((struct hp_ledger *)0)->exe == sizeof((struct header *)0)->exe &&
                   sizeof((struct hp_ledger *)0)->program == sizeof((struct header *)0)->program &&
                   sizeof((struct hp_ledger *)0)->allocator == sizeof((struct header *)0)->allocator &&
                   sizeof((struct hp_ledger_module *)0)->build_id == sizeof((struct module *)0)->build_id &&
                   (int)HP_MODULE_SEGMENTS == (int)MODULE_SEGMENTS,
               "names are copied as they are");

int hp_v3_read_header(const void *memory, uint64_t size, struct hp_ledger *header)
{
    struct view view;
    int error = open_view(&view, memory, size);
    if (error == 0)
        copy_header(view.header, view.header->live_estimate, header);
    return error;
}

int hp_v3_wanted_interval(void *memory, uint64_t size, uint64_t **wanted)
{
    struct view view;
    int error = open_view(&view, memory, size);
    if (error == 0)
        *wanted = &((struct header *)memory)->wanted_interval;
    return error;
}

#define BASE (32ull << 20) /* for modules, threads and the first tables: bytes */
#define LIVE_ROOM 400u     /* for a live object, in tables that are hardly filled: bytes */

/* A ledger with room for all that was measured: rows may take half of its budget. */
static int make_store(const struct translation *translation, struct hp_store *store)
{
    uint64_t budget = BASE + 4 * translation->row_bytes + LIVE_ROOM * translation->objects;
    budget = budget < HP_BUDGET_MOST ? budget : HP_BUDGET_MOST;
    store->ledger = hp_sys_mmap(NULL, hp_ledger_size(budget), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!store->ledger)
        return -ENOMEM;
    store->ledger->size = hp_ledger_size(budget); /* for who frees it, should the next line not come to an end */
    return hp_ledger_init(store, budget, 0, 0) ? 0 : -ENOMEM;
}

static int translate(const struct view *view, struct hp_store *store)
{
    struct translation translation = {.view = view, .store = store};
    each_entry(view, measure_entry, &translation);
    each_live(view, measure_live, &translation);
    int error = make_store(&translation, store);
    if (error == 0)
        error = each_entry(view, add_entry, &translation);
    const uint32_t modules = __atomic_load_n(&view->header->module_count, __ATOMIC_ACQUIRE);
    const uint32_t count = modules < MODULES ? modules : MODULES;
    for (uint32_t i = 0; error == 0 && i < count; i++)
        error = add_module(&translation, i);
    if (error < 0)
        return error;
    store->ledger->module_count = count;
    add_threads(&translation);
    each_live(view, add_live, &translation);
    copy_header(view->header, hp_whole(translation.live_bytes), store->ledger);
    return 0;
}

int hp_v3_view_open(struct hp_ledger_view *view, const void *memory, uint64_t size, struct hp_store *translated)
{
    struct view old;
    int error = hp_ledger_view_open(view, memory, NULL, size);
    if (error != -EPROTONOSUPPORT)
        return error;
    error = open_view(&old, memory, size);
    if (error == 0)
        error = translate(&old, translated);
    return error < 0 ? error : hp_ledger_view_open(view, translated->ledger, NULL, translated->ledger->size);
}

void hp_v3_free(struct hp_store *translated)
{
    if (translated->ledger)
        hp_sys_munmap(translated->ledger, translated->ledger->size);
    translated->ledger = NULL;
}
