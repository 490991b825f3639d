#include "ledger/inherit.h"

#include <string.h>

#include "base/sys.h"
#include "base/atomic_copy.h"

/* One piece of memory: this, the objects, the modules, an index by row, the rows. Rows are referred to by offsets from
 * `rows`, in units of 16 bytes, plus 1. */
struct hp_heritage {
    uint64_t size; /* bytes of all of it */
    uint64_t object_count, object_most;
    uint64_t missed; /* objects for which there was no room: other threads' samples came in between */
    uint64_t index_mask;
    uint32_t module_count;
    uint64_t rows_size, rows_most;
    struct object {
        uint64_t address;
        struct hp_live_data data; /* row: in here */
    } * objects;
    struct module {
        struct hp_ledger_module module;
        uint64_t text_size; /* of the path, with its end, which stands behind the rows' memory */
    } * modules;
    struct indexed {
        hp_offset row; /* in the parent's ledger; 0: free */
        uint32_t copy;
    } * index;
    char *rows, *texts;
    uint64_t texts_size;
};

struct count {
    const struct hp_store *store;
    uint64_t objects, row_bytes;
};

static uint64_t row_size(const struct hp_ledger_row *row)
{
    return sizeof *row + hp_slot_depth(row->slot_class % HP_ROW_CLASSES) * sizeof row->frames[0];
}

static void count_object(void *state, uint64_t address, const struct hp_live_data *data)
{
    struct count *count = state;
    count->objects++;
    count->row_bytes += row_size(hp_row_at(count->store, data->row));
}

struct copy {
    const struct hp_store *store;
    struct hp_heritage *heritage;
};

/* Where a row's copy stands, plus 1; 0: there is no room any more. */
static uint32_t copy_row(struct copy *copy, hp_offset row)
{
    struct hp_heritage *heritage = copy->heritage;
    uint64_t at = (uint64_t)row * 0x9e3779b97f4a7c15ull >> 20;
    struct indexed *indexed;
    while (indexed = &heritage->index[at++ & heritage->index_mask], indexed->row)
        if (indexed->row == row)
            return indexed->copy;
    const struct hp_ledger_row *there = hp_row_at(copy->store, row);
    uint64_t size = row_size(there);
    if (size > heritage->rows_most - heritage->rows_size)
        return 0;
    hp_atomic_copy_out(heritage->rows + heritage->rows_size, there, size);
    *indexed = (struct indexed){row, (uint32_t)(heritage->rows_size / 16) + 1};
    heritage->rows_size += size;
    return indexed->copy;
}

static void copy_object(void *state, uint64_t address, const struct hp_live_data *data)
{
    struct copy *copy = state;
    struct hp_heritage *heritage = copy->heritage;
    struct object object = {.address = address, .data = *data};
    object.data.thread = 0; /* numbers of threads are the parent's */
    object.data.row = heritage->object_count < heritage->object_most ? copy_row(copy, data->row) : 0;
    if (object.data.row)
        heritage->objects[heritage->object_count++] = object;
    else
        heritage->missed++;
}

static uint32_t count_modules(const struct hp_store *store)
{
    uint32_t count = __atomic_load_n(&store->ledger->module_count, __ATOMIC_ACQUIRE);
    return count < HP_MODULES ? count : HP_MODULES;
}

static bool is_known(const struct hp_ledger_module *module)
{
    return module && __atomic_load_n(&module->state, __ATOMIC_ACQUIRE) >= HP_MODULE_LOADED && module->path_at;
}

static uint64_t measure_texts(const struct hp_store *store, uint32_t modules)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < modules; i++) {
        const struct hp_ledger_module *module = hp_module_at(store, i);
        size += is_known(module) ? strlen(hp_store_at(store, module->path_at)) + 1 : 0;
    }
    return size;
}

/* One that came since the texts were measured stays behind: what is alive at the fork does not need it. */
static void copy_modules(struct hp_heritage *heritage, const struct hp_store *store, uint64_t texts_most)
{
    for (uint32_t i = 0; i < heritage->module_count; i++) {
        const struct hp_ledger_module *there = hp_module_at(store, i);
        struct module *module = &heritage->modules[i];
        module->module.state = HP_MODULE_FREE;
        if (!is_known(there))
            continue;
        const char *text = hp_store_at(store, there->path_at);
        uint64_t size = strlen(text) + 1;
        if (size > texts_most - heritage->texts_size)
            continue;
        hp_atomic_copy_out(&module->module, there, sizeof *there);
        module->text_size = size;
        memcpy(heritage->texts + heritage->texts_size, text, size);
        heritage->texts_size += size;
    }
}

/* A copy with room for `more` samples of other threads that come in between, and for an eighth more than there are now.
 * NULL: there is nothing to take along, or no memory. */
static struct hp_heritage *copy_with_room(const struct hp_store *store, uint64_t more)
{
    struct count count = {.store = store};
    hp_live_each(store, count_object, &count);
    if (!count.objects)
        return NULL;
    const uint64_t objects = count.objects + count.objects / 8 + more,
                   all = __atomic_load_n(&store->ledger->row_bytes, __ATOMIC_RELAXED);
    uint64_t rows = count.row_bytes < all ? count.row_bytes : all; /* many objects may be of one row */
    rows += rows / 8 + more * (HP_DEPTH_MAX * sizeof(uint64_t));
    uint64_t cells = 64;
    while (cells < 2 * objects)
        cells *= 2;
    const uint32_t modules = count_modules(store);
    const uint64_t texts = measure_texts(store, modules);
    uint64_t size = sizeof(struct hp_heritage) + objects * sizeof(struct object) + modules * sizeof(struct module) +
                    cells * sizeof(struct indexed) + rows + texts + 64;
    struct hp_heritage *heritage =
        hp_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!heritage)
        return NULL;
    heritage->size = size;
    heritage->object_most = objects;
    heritage->rows_most = rows;
    heritage->index_mask = cells - 1;
    heritage->module_count = modules;
    heritage->objects = (struct object *)(heritage + 1);
    heritage->modules = (struct module *)(heritage->objects + objects);
    heritage->index = (struct indexed *)(heritage->modules + modules);
    heritage->rows = (char *)(((uintptr_t)(heritage->index + cells) + 15) & ~15ul);
    heritage->texts = heritage->rows + rows;
    copy_modules(heritage, store, texts);
    struct copy copy = {.store = store, .heritage = heritage};
    hp_live_each(store, copy_object, &copy);
    return heritage;
}

struct hp_heritage *hp_heritage_copy(const struct hp_store *store)
{
    struct hp_heritage *heritage = copy_with_room(store, 16);
    if (!heritage || !heritage->missed)
        return heritage;
    /* A program whose live heap grows by more than an eighth meanwhile. What even this has no room for counts as lost.
     * */
    hp_heritage_free(heritage);
    return copy_with_room(store, 4096);
}

void hp_heritage_free(struct hp_heritage *heritage)
{
    if (heritage)
        hp_sys_munmap(heritage, heritage->size);
}

/* Under the same numbers, which the frames have. */
static void build_modules(const struct hp_heritage *heritage, const struct hp_store *store)
{
    struct hp_ledger *ledger = store->ledger;
    const char *text = heritage->texts;
    for (uint32_t i = 0; i < heritage->module_count; i++) {
        const struct module *from = &heritage->modules[i];
        uint64_t *page = &ledger->modules_at[i / HP_MODULE_PAGE];
        if (!*page)
            *page = hp_ledger_allocate(store, HP_MODULE_PAGE * sizeof(struct hp_ledger_module));
        if (!*page)
            return;
        ledger->module_count = i + 1;
        if (from->module.state == HP_MODULE_FREE)
            continue;
        struct hp_ledger_module *module = (struct hp_ledger_module *)hp_store_at(store, *page) + i % HP_MODULE_PAGE;
        uint64_t path_at = hp_ledger_allocate(store, from->text_size);
        if (path_at) {
            memcpy(hp_store_at(store, path_at), text, from->text_size);
            *module = from->module;
            module->path_at = path_at;
        }
        text += from->text_size;
    }
}

/* A place that was freed and given out again while it was copied has two objects, of which one is gone. */
static bool is_there(const struct hp_store *store, uint64_t address)
{
    struct hp_live_ref ref;
    if (!hp_live_take(store, address, &ref))
        return false;
    hp_live_restore(&ref);
    return true;
}

uint64_t hp_heritage_build(const struct hp_heritage *heritage, const struct hp_store *store,
                           bool (*keep)(uint64_t address))
{
    uint64_t lost = heritage->missed;
    build_modules(heritage, store);
    for (uint64_t i = 0; i < heritage->object_count; i++) {
        const struct object *object = &heritage->objects[i];
        const struct hp_ledger_row *row =
            (const struct hp_ledger_row *)(heritage->rows + (uint64_t)(object->data.row - 1) * 16);
        struct hp_key key = {.frames = row->frames,
                             .interval = row->interval,
                             .label = row->label,
                             .depth = row->depth,
                             .size_class = row->size_class,
                             .kind = row->kind};
        bool truncated;
        if ((keep && !keep(object->address)) || is_there(store, object->address))
            continue;
        key.hash = hp_key_hash(&key);
        struct hp_live_data data = object->data;
        data.row = hp_row_count(store, &key, data.size, 0, NULL, &truncated);
        if (!data.row) {
            lost++;
        } else if (!hp_live_insert(store, object->address, &data)) {
            hp_tally_add(&hp_row_at(store, data.row)->freed, 1, data.size);
            lost++;
        }
    }
    return lost;
}
