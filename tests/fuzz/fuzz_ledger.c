/* A ledger in which anything was written anywhere, by its owner or by a damaged disk: an error or a
 * text, which can be read or has an error of its own; never a crash or an endless loop. The input
 * is a list of patches:
 *
 *     1 byte part of the ledger, 3 bytes place in it, 8 bytes of content
 *
 * With HP_LEDGER_V3, the ledger is one of the version before, which is translated. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/ledger/ledger_help.h"
#include "reader/ledger_v3.h"
#include "ledger/snapshot.h"
#include "profile/alloc.h"
#include "profile/profile.h"

#define BUDGET (1ull << 20)

enum { PATCH = 12, CONTENT = 8, PATCHES_MOST = 600, TEXT_MOST = 64 << 20 };

struct part {
    uint64_t at, size;
};

struct bytes {
    char *data;
    size_t size, capacity;
};

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

#ifdef HP_LEDGER_V3

#include "../unit/reader/ledger_v3_help.h"

static void *make_full(uint64_t *size)
{
    *size = LEDGER_V3_SIZE;
    return read_ledger_v3();
}

/* Places as a budget of 1 MiB gives them. */
static struct part part_of(const void *made, unsigned choice)
{
    static const struct part parts[] = {
        {0, 1120},        /* the header without names */
        {624, 496},       /* ... from the layout on */
        {1120, 4224},     /* names */
        {5344, 40},       /* the map of blocks */
        {32768, 3 * 184}, /* modules */
        {409600, 64},     /* threads */
        {442368, 16384},  /* chains */
        {2686976, 32768}, /* live addresses */
        {2719744, 86016}, /* ... and their data */
        {3768320, 16384}, /* the first records */
    };
    return parts[choice % (sizeof parts / sizeof *parts)];
}

#else

static void add_module(const struct hp_store *store, uint64_t base, const char *path)
{
    struct hp_ledger *ledger = store->ledger;
    if (!ledger->modules_at[0])
        ledger->modules_at[0] = hp_ledger_allocate(store, HP_MODULE_PAGE * sizeof(struct hp_ledger_module));
    must(ledger->modules_at[0], "no room for a module");
    struct hp_ledger_module *module =
        (struct hp_ledger_module *)hp_store_at(store, ledger->modules_at[0]) + ledger->module_count;
    *module = (struct hp_ledger_module){.state = HP_MODULE_LOADED,
                                        .base = base,
                                        .start = base,
                                        .limit = base + 0x10000,
                                        .path_at = hp_ledger_allocate(store, strlen(path) + 1),
                                        .build_id_size = 20,
                                        .segment_count = 1,
                                        .segments = {{.address = 0x1000, .size = 0x8000, .offset = 0x1000}}};
    strcpy(hp_store_at(store, module->path_at), path);
    ledger->module_count++;
}

/* With live objects and dead rows, at two intervals, and a fold that was under way. */
static void *make_full(uint64_t *size)
{
    struct hp_store store = make_store(BUDGET, 128, 524288);
    hp_offset rows[40] = {0};
    store.ledger->pid = 42;
    strcpy(store.ledger->exe, "/usr/bin/app");
    add_module(&store, 0x400000, "/usr/bin/app");
    add_module(&store, 0x7f0000000000, "/lib/libc.so.6");
    for (uint64_t i = 0; i < 40; i++) {
        const uint64_t frames[] = {2ull << HP_FRAME_MODULE_SHIFT | (0x2000 + i),
                                   1ull << HP_FRAME_MODULE_SHIFT | (0x1100 + i % 7), 0xffff00000000 + i};
        store.ledger->interval = i & 1 ? 524288 : 1;
        struct hp_key key = make_key(&store, frames, 1 + i % 3, hp_size_class(100 * (i + 1)));
        key.folded = i % 10 == 9;
        key.hash = hp_key_hash(&key);
        for (uint64_t k = 0; k < 4; k++)
            must(add_object(&store, &key, (i * 100 + k + 1) * 4096, 100 * (i + 1)), "no room for an object");
        for (uint64_t k = 0; k < (i % 5 ? 1 : 4); k++)
            must(remove_object(&store, (i * 100 + k + 1) * 4096), "lost an object");
        rows[i] = hp_row_find(&store, &key);
    }
    must(hp_thread_number(&store, 4711) == 1, "no room for a thread");
    store.ledger->fold.journal = (struct hp_journal){.state = HP_JOURNAL_ADDING,
                                                     .row = rows[0],
                                                     .fold_row = rows[9],
                                                     .before_alloc = {1, 1000},
                                                     .before_freed = {1, 1000}};
    store.ledger->fold.count = 1;
    hp_row_at(&store, rows[0])->alloc.objects |= HP_ROW_DEAD;
    *size = store.ledger->size;
    return store.ledger;
}

static struct part part_of(const struct hp_ledger *made, unsigned choice)
{
    const struct hp_ledger *ledger = made;
    const uint64_t last = sizeof *ledger - CONTENT;
    const struct hp_live_level *live = &made->live[0];
    const uint64_t keys = live->groups * sizeof(struct hp_live_group);
    const struct part parts[] = {
        {0, offsetof(struct hp_ledger, exe)},
        {0, offsetof(struct hp_ledger, buckets)},
        {offsetof(struct hp_ledger, resident), sizeof ledger->resident},
        {offsetof(struct hp_ledger, buckets),
         offsetof(struct hp_ledger, modules_at) - offsetof(struct hp_ledger, buckets)},
        {offsetof(struct hp_ledger, exe), last - offsetof(struct hp_ledger, exe)},
        {offsetof(struct hp_ledger, block_map), made->size / HP_BLOCK / 8},
        {made->modules_at[0], 3 * sizeof(struct hp_ledger_module)},
        {made->threads_at[0], 64},
        {made->buckets[0].at, made->buckets[0].count * sizeof(hp_offset)},
        {live->at, keys},
        {live->at + keys, live->groups * HP_LIVE_SLOTS * sizeof(struct hp_live_data)},
        {made->buckets[0].at + made->buckets[0].count * sizeof(hp_offset), HP_BLOCK - CONTENT}, /* the first rows */
        {offsetof(struct hp_ledger, modules_at),
         offsetof(struct hp_ledger, fold) - offsetof(struct hp_ledger, modules_at)},
        {offsetof(struct hp_ledger, fold), sizeof ledger->fold},
        {offsetof(struct hp_ledger, module_count), 64},
    };
    return parts[choice % (sizeof parts / sizeof *parts)];
}

#endif

static int collect(void *state, const void *data, size_t size)
{
    struct bytes *bytes = state;
    must(bytes->size + size <= TEXT_MOST, "a text without an end");
    bytes->data = hp_grow(bytes->data, &bytes->capacity, bytes->size + size, 1);
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return 0;
}

static void use_view(const struct hp_ledger_view *view)
{
    static char buffer[HP_TEXT_BUFFER];
    static struct bytes text;
    struct hp_moment moment = {.time_ns = 1, .clock_ns = 5};
    uint64_t room = hp_snapshot_scratch_size(view);
    must(room < 64 << 20, "too much scratch memory");
    hp_ledger_view_estimate(view);
    hp_resident_recall(&view->ledger->resident, 1ull << 40, 0, HP_RESIDENT_HASTY, &moment.resident,
                       &moment.resident_age_ns);
    struct hp_text writer;
    char *scratch = malloc(room);
    text.size = 0;
    hp_text_init(&writer, collect, &text, buffer);
    int error = hp_snapshot_write(view, &moment, &writer, scratch, room);
    free(scratch);
    struct hp_profile *profile = NULL;
    struct hp_error why = {""};
    if (!error && !hp_profile_read_memory("ledger", text.data, text.size, &profile, &why))
        hp_profile_free(profile);
    else
        must(error || strlen(why.text) > 0, "no clear line");
}

static void use(const void *ledger, uint64_t size)
{
    struct hp_ledger_view view;
    struct hp_store translated = {0};
    if (hp_v3_view_open(&view, ledger, size, &translated) == 0)
        use_view(&view);
    hp_v3_free(&translated);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hp_ledger made;
    static uint64_t ledger_size;
    static char *ledger;
    if (!ledger) {
        ledger = make_full(&ledger_size);
        memcpy(&made, ledger, sizeof made);
    }
    struct {
        uint64_t at;
        char was[CONTENT];
    } patches[PATCHES_MOST];
    size_t count = 0;
    for (; count < PATCHES_MOST && (count + 1) * PATCH <= size; count++) {
        const uint8_t *patch = data + count * PATCH;
        const struct part part = part_of(&made, patch[0]);
        uint64_t place = patch[1] | (uint64_t)patch[2] << 8 | (uint64_t)patch[3] << 16;
        patches[count].at = part.at + place % part.size;
        memcpy(patches[count].was, ledger + patches[count].at, CONTENT);
        memcpy(ledger + patches[count].at, patch + PATCH - CONTENT, CONTENT);
    }
    use(ledger, ledger_size);
    while (count--)
        memcpy(ledger + patches[count].at, patches[count].was, CONTENT);
    return 0;
}
