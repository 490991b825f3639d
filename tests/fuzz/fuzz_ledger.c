/* A ledger in which anything was written anywhere, by its owner or by a damaged disk: an error or a
 * text, which can be read or has an error of its own; never a crash or an endless loop. The input
 * is a list of patches:
 *
 *     1 byte part of the ledger, 3 bytes place in it, 8 bytes of content */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/ledger_help.h"
#include "ledger/rows.h"
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

static void add_module(struct hp_ledger *ledger, uint64_t base, const char *path)
{
    uint64_t at =
        ledger->layout.modules_at + ledger->module_count * sizeof(struct hp_ledger_module);
    must(hp_ledger_reserve(ledger, at, sizeof(struct hp_ledger_module)), "no room for a module");
    struct hp_ledger_module *module = (struct hp_ledger_module *)((char *)ledger + at);
    *module = (struct hp_ledger_module){
        .state = HP_MODULE_LOADED,
        .base = base,
        .start = base,
        .limit = base + 0x10000,
        .path_at = hp_ledger_allocate(ledger, strlen(path) + 1),
        .build_id_size = 20,
        .segment_count = 1,
        .segments = {{.address = 0x1000, .size = 0x8000, .offset = 0x1000}}};
    strcpy((char *)ledger + module->path_at, path);
    ledger->module_count++;
}

static struct hp_ledger *make_full(void)
{
    struct hp_ledger *ledger = make_ledger(BUDGET, 128);
    ledger->pid = 42;
    ledger->intervals[0] = 524288;
    ledger->intervals[1] = 1;
    ledger->epoch_count = 2;
    strcpy(ledger->exe, "/usr/bin/app");
    add_module(ledger, 0x400000, "/usr/bin/app");
    add_module(ledger, 0x7f0000000000, "/lib/libc.so.6");
    for (uint64_t i = 0; i < 40; i++) {
        const uint64_t frames[] = {2ull << HP_FRAME_MODULE_SHIFT | (0x2000 + i),
                                   1ull << HP_FRAME_MODULE_SHIFT | (0x1100 + i % 7),
                                   0xffff00000000 + i};
        hp_offset entry = hp_ledger_entry(ledger, add_stack(ledger, frames, 1 + i % 3),
                                          hp_size_class(100 * (i + 1)), i & 1);
        for (uint64_t k = 0; k < 4; k++)
            must(add_object(ledger, entry, (i * 100 + k + 1) * 4096, 100 * (i + 1)),
                 "no room for an object");
        must(remove_object(ledger, (i * 100 + 1) * 4096), "lost an object");
    }
    hp_ledger_set_thread(ledger, 1, 4711);
    return ledger;
}

static struct part part_of(const struct hp_ledger *ledger, const struct hp_layout *layout,
                           unsigned choice)
{
    const uint64_t last = sizeof *ledger - CONTENT;
    const struct part parts[] = {
        {0, offsetof(struct hp_ledger, exe)},
        {0, offsetof(struct hp_ledger, intervals)},
        {offsetof(struct hp_ledger, resident), sizeof ledger->resident},
        {offsetof(struct hp_ledger, layout), sizeof *layout + 64},
        {offsetof(struct hp_ledger, exe), last - offsetof(struct hp_ledger, exe)},
        {offsetof(struct hp_ledger, block_map), layout->size / HP_BLOCK / 8},
        {layout->modules_at, 3 * sizeof(struct hp_ledger_module)},
        {layout->threads_at, 64},
        {layout->buckets[0].at, layout->buckets[0].count * sizeof(hp_offset)},
        {layout->live[0].groups_at, layout->live[0].groups * sizeof(struct hp_live_group)},
        {layout->live[0].data_at,
         layout->live[0].groups * HP_LIVE_SLOTS * sizeof(struct hp_live_data)},
        {layout->arena_at, HP_BLOCK - CONTENT},
    };
    return parts[choice % (sizeof parts / sizeof *parts)];
}

static int collect(void *state, const void *data, size_t size)
{
    struct bytes *bytes = state;
    must(bytes->size + size <= TEXT_MOST, "a text without an end");
    bytes->data = hp_grow(bytes->data, &bytes->capacity, bytes->size + size, 1);
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return 0;
}

static void use(const struct hp_ledger *ledger, uint64_t size)
{
    static char buffer[HP_TEXT_BUFFER];
    static struct bytes text;
    struct hp_moment moment = {.time_ns = 1, .clock_ns = 5};
    struct hp_ledger_view view;
    if (hp_ledger_view_open(&view, ledger, size))
        return;
    uint64_t room = hp_ledger_view_scratch_size(&view);
    must(room < 64 << 20, "too much scratch memory");
    hp_ledger_view_estimate(&view);
    hp_resident_recall(&ledger->resident, 1ull << 40, 0, HP_RESIDENT_HASTY, &moment.resident,
                       &moment.resident_age_ns);
    struct hp_text writer;
    char *scratch = malloc(room);
    text.size = 0;
    hp_text_init(&writer, collect, &text, buffer);
    int error = hp_ledger_view_write(&view, &moment, &writer, scratch, room);
    free(scratch);
    struct hp_profile *profile = NULL;
    struct hp_error why = {""};
    if (!error && !hp_profile_read_memory("ledger", text.data, text.size, &profile, &why))
        hp_profile_free(profile);
    else
        must(error || strlen(why.text) > 0, "no clear line");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hp_ledger *ledger;
    static struct hp_layout layout;
    if (!ledger) {
        ledger = make_full();
        layout = ledger->layout;
    }
    struct {
        uint64_t at;
        char was[CONTENT];
    } patches[PATCHES_MOST];
    size_t count = 0;
    for (; count < PATCHES_MOST && (count + 1) * PATCH <= size; count++) {
        const uint8_t *patch = data + count * PATCH;
        const struct part part = part_of(ledger, &layout, patch[0]);
        uint64_t place = patch[1] | (uint64_t)patch[2] << 8 | (uint64_t)patch[3] << 16;
        patches[count].at = part.at + place % part.size;
        memcpy(patches[count].was, (char *)ledger + patches[count].at, CONTENT);
        memcpy((char *)ledger + patches[count].at, patch + PATCH - CONTENT, CONTENT);
    }
    use(ledger, layout.size);
    while (count--)
        memcpy((char *)ledger + patches[count].at, patches[count].was, CONTENT);
    return 0;
}
