#include "unwind/modules.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>

#include "arch/arch.h"
#include "base/sys.h"

/* What hp_find_object says of the module's latest load, to see whether that is still there. Private to the process:
 * these are pointers. */
struct load {
    void *link_map, *start, *eh_frame;
};

static const struct hp_store *store;
static const char *start_directory;
#define LOAD_PAGE 512u /* had at once; few programs have more modules */
static struct load *load_pages[HP_MODULES / LOAD_PAGE + 1];

/* NULL: there never was such a load. */
static struct load *load_at(uint32_t index)
{
    struct load *page = __atomic_load_n(&load_pages[index / LOAD_PAGE], __ATOMIC_ACQUIRE);
    return page ? page + index % LOAD_PAGE : NULL;
}

/* The same, with memory for it if need be; NULL: there is none. */
static struct load *make_load(uint32_t index)
{
    struct load *none = NULL, **page = &load_pages[index / LOAD_PAGE];
    if (!load_at(index)) {
        const size_t size = LOAD_PAGE * sizeof **page;
        struct load *made = hp_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
        if (made && !__atomic_compare_exchange_n(page, &none, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            hp_sys_munmap(made, size); /* another thread was first */
    }
    return load_at(index);
}

/* Modules that were there when the library started are never unloaded. The others come and go, also without a call that
 * a hook could see (libc's own of iconv and NSS), and the next one may come to stand at the same place, with a link map
 * at the same place: they are told by their names as well. */
static const struct link_map *last_at_start;
static uint8_t permanent[HP_MODULES / 8 + 1];

static bool is_permanent(uint32_t index)
{
    return __atomic_load_n(&permanent[index / 8], __ATOMIC_RELAXED) >> index % 8 & 1;
}

static bool was_at_start(const struct link_map *wanted)
{
    for (const struct link_map *map = _r_debug.r_map; map; map = map->l_next) {
        if (map == wanted)
            return true;
        if (map == last_at_start)
            break;
    }
    return false;
}

void hp_modules_init(const struct hp_store *ledger, const char *directory)
{
    store = ledger;
    for (const struct link_map *map = _r_debug.r_map; map && !last_at_start; map = map->l_next)
        if (!map->l_next)
            last_at_start = map;
    start_directory = directory;
}

/* The mappings of the program, from its first to its last segment; 0: not looked up yet. They never change, so that it
 * does not matter which thread stores them. */
static uintptr_t program_start, program_limit;

static void find_program(uintptr_t base)
{
    const ElfW(Phdr) *segment = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    uintptr_t start = UINTPTR_MAX, limit = 0;
    for (unsigned long left = segment ? getauxval(AT_PHNUM) : 0; left; left--, segment++) {
        if (segment->p_type != PT_LOAD)
            continue;
        uintptr_t low = base + (segment->p_vaddr & ~(HP_PAGE - 1)), high = base + segment->p_vaddr + segment->p_memsz;
        start = low < start ? low : start;
        limit = high > limit ? high : limit;
    }
    __atomic_store_n(&program_start, start, __ATOMIC_RELAXED);
    __atomic_store_n(&program_limit, limit, __ATOMIC_RELEASE);
}

bool hp_find_object(uintptr_t address, struct dl_find_object *object)
{
    if (_dl_find_object((void *)address, object) != 0)
        return false;
    const struct link_map *map = object->dlfo_link_map;
    if (map->l_prev || !map->l_name || *map->l_name)
        return true; /* no program: ld.so maps libraries in one piece */
    if (!__atomic_load_n(&program_limit, __ATOMIC_ACQUIRE))
        find_program(map->l_addr);
    uintptr_t start = __atomic_load_n(&program_start, __ATOMIC_RELAXED);
    uintptr_t limit = __atomic_load_n(&program_limit, __ATOMIC_RELAXED);
    if (start < (uintptr_t)object->dlfo_map_start)
        object->dlfo_map_start = (void *)start;
    if (limit > (uintptr_t)object->dlfo_map_end)
        object->dlfo_map_end = (void *)limit;
    return true;
}

static struct hp_ledger_module *module_at(uint32_t index)
{
    return store->ledger ? hp_module_at(store, index) : NULL;
}

/* The same, with memory for it if need be; NULL: there is none. */
static struct hp_ledger_module *make_module(uint32_t index)
{
    uint64_t *page = &store->ledger->modules_at[index / HP_MODULE_PAGE], none = 0;
    if (!__atomic_load_n(page, __ATOMIC_ACQUIRE)) {
        uint64_t made = hp_ledger_allocate(store, HP_MODULE_PAGE * sizeof(struct hp_ledger_module));
        if (made) /* what another thread made first counts */
            __atomic_compare_exchange_n(page, &none, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    return module_at(index);
}

static const ElfW(Ehdr) * elf_header(const struct dl_find_object *object)
{
    const ElfW(Ehdr) *header = object->dlfo_map_start;
    if ((size_t)((char *)object->dlfo_map_end - (char *)object->dlfo_map_start) < sizeof *header ||
        memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_phentsize != sizeof(ElfW(Phdr)))
        return NULL;
    return header;
}

static void copy_build_id(struct hp_ledger_module *module, const char *notes, size_t size)
{
    for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
        const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)(notes + at);
        size_t name = (note->n_namesz + 3ul) & ~3ul, content = (note->n_descsz + 3ul) & ~3ul;
        at += sizeof *note + name + content;
        if (at > size)
            return;
        const char *text = (const char *)(note + 1);
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && !memcmp(text, "GNU", 4) &&
            note->n_descsz <= sizeof module->build_id) {
            memcpy(module->build_id, text + name, note->n_descsz);
            module->build_id_size = note->n_descsz;
            return;
        }
    }
}

/* Fill in all but the state, the path and the key, from the program headers in memory. */
static void describe(struct hp_ledger_module *module, const struct dl_find_object *object)
{
    const char *start = object->dlfo_map_start;
    uint64_t size = (uint64_t)((char *)object->dlfo_map_end - start);
    const ElfW(Ehdr) *header = elf_header(object);
    module->base = object->dlfo_link_map->l_addr;
    module->start = (uint64_t)start;
    module->limit = (uint64_t)object->dlfo_map_end;
    if (!header || header->e_phoff > size || header->e_phnum > (size - header->e_phoff) / sizeof(ElfW(Phdr)))
        return;
    const ElfW(Phdr) *segments = (const ElfW(Phdr) *)(start + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        const ElfW(Phdr) *segment = &segments[i];
        uint64_t at = module->base + segment->p_vaddr - module->start;
        if (segment->p_type == PT_NOTE && at < size && segment->p_filesz <= size - at && !module->build_id_size)
            copy_build_id(module, start + at, segment->p_filesz);
        if (segment->p_type == PT_LOAD && segment->p_flags & PF_X && module->segment_count < HP_MODULE_SEGMENTS) {
            uint64_t down = segment->p_vaddr & (HP_PAGE - 1);
            module->segments[module->segment_count++] =
                (struct hp_segment){.address = segment->p_vaddr - down,
                                    .size = (segment->p_memsz + down + HP_PAGE - 1) & ~(HP_PAGE - 1),
                                    .offset = segment->p_offset - down};
        }
    }
}

struct path {
    const char *directory, *name; /* joined by a slash when directory is not "" */
};

static struct path path_of(const struct dl_find_object *object)
{
    const char *name = object->dlfo_link_map->l_name;
    if (!name || !*name)
        return (struct path){"", store->ledger->exe};
    bool relative = name[0] != '/' && strchr(name, '/'); /* not linux-vdso.so.1 */
    return (struct path){relative ? start_directory : "", name};
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3ull; /* FNV-1a */
    return hash;
}

static uint64_t key_of(const struct hp_ledger_module *module, const struct path *path)
{
    uint64_t key = hash_text(0xcbf29ce484222325ull, path->directory);
    key = hash_text(key, path->name);
    for (unsigned i = 0; i < module->build_id_size; i++)
        key = (key ^ module->build_id[i]) * 0x100000001b3ull;
    if (!module->build_id_size)
        key = (key ^ (module->limit - module->start)) * 0x100000001b3ull;
    return key;
}

static uint64_t store_path(const struct path *path)
{
    size_t directory = strlen(path->directory), name = strlen(path->name);
    uint64_t at = hp_ledger_allocate(store, directory + name + 2);
    if (!at)
        return 0;
    char *text = hp_store_at(store, at);
    memcpy(text, path->directory, directory);
    if (directory)
        text[directory++] = '/';
    memcpy(text + directory, path->name, name + 1);
    return at;
}

static uint32_t known_count(void)
{
    uint32_t count = store->ledger ? __atomic_load_n(&store->ledger->module_count, __ATOMIC_ACQUIRE) : 0;
    return count < HP_MODULES ? count : HP_MODULES;
}

/* The link map last, and read first: who finds it finds the module that was described before. */
static void remember_load(uint32_t index, const struct dl_find_object *object)
{
    struct load *load = make_load(index);
    if (!load)
        return;
    __atomic_store_n(&load->start, object->dlfo_map_start, __ATOMIC_RELAXED);
    __atomic_store_n(&load->eh_frame, object->dlfo_eh_frame, __ATOMIC_RELAXED);
    __atomic_store_n(&load->link_map, object->dlfo_link_map, __ATOMIC_RELEASE);
    if (object->dlfo_link_map && was_at_start(object->dlfo_link_map))
        __atomic_fetch_or(&permanent[index / 8], (uint8_t)(1u << index % 8), __ATOMIC_RELAXED);
}

static bool has_path(const struct hp_ledger_module *module, const struct path *path)
{
    const char *text = hp_store_at(store, module->path_at);
    size_t directory = strlen(path->directory);
    if (directory && (strncmp(text, path->directory, directory) || text[directory] != '/'))
        return false;
    return !strcmp(text + directory + (directory > 0), path->name);
}

/* One that is half written matches nothing: its parts are of two loads. */
static bool is_load(uint32_t index, const struct dl_find_object *object)
{
    const struct load *load = load_at(index);
    if (!load || __atomic_load_n(&load->link_map, __ATOMIC_ACQUIRE) != object->dlfo_link_map ||
        __atomic_load_n(&load->start, __ATOMIC_RELAXED) != object->dlfo_map_start ||
        __atomic_load_n(&load->eh_frame, __ATOMIC_RELAXED) != object->dlfo_eh_frame)
        return false;
    if (is_permanent(index))
        return true;
    const struct path path = path_of(object);
    const struct hp_ledger_module *module = module_at(index);
    return module && module->path_at && has_path(module, &path);
}

/* Two threads that meet the same new module at once may both add it; readers join what has equal addresses. */
static uint32_t add_module(const struct hp_ledger_module *described, const struct path *path)
{
    uint32_t index = __atomic_load_n(&store->ledger->module_count, __ATOMIC_RELAXED);
    do {
        if (index >= HP_MODULES)
            return HP_MODULES;
    } while (!__atomic_compare_exchange_n(&store->ledger->module_count, &index, index + 1, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    uint64_t path_at = store_path(path);
    struct hp_ledger_module *module = path_at ? make_module(index) : NULL;
    if (!module)
        return HP_MODULES;
    /* All but the state, which others may be looking at. */
    const size_t rest = offsetof(struct hp_ledger_module, build_id_size);
    memcpy((char *)module + rest, (const char *)described + rest, sizeof *described - rest);
    module->path_at = path_at;
    __atomic_store_n(&module->state, HP_MODULE_LOADED, __ATOMIC_RELEASE);
    return index;
}

static uint32_t find_or_add(const struct dl_find_object *object)
{
    struct hp_ledger_module described = {0};
    describe(&described, object);
    struct path path = path_of(object);
    described.key = key_of(&described, &path);
    uint32_t index, count = known_count();
    for (index = 0; index < count; index++) {
        struct hp_ledger_module *module = module_at(index);
        if (!module || __atomic_load_n(&module->state, __ATOMIC_ACQUIRE) != HP_MODULE_LOADED ||
            module->key != described.key)
            continue;
        /* Loaded again elsewhere: its offsets are what counts, its latest place is what people will look for. */
        __atomic_store_n(&module->base, described.base, __ATOMIC_RELAXED);
        __atomic_store_n(&module->start, described.start, __ATOMIC_RELAXED);
        __atomic_store_n(&module->limit, described.limit, __ATOMIC_RELAXED);
        break;
    }
    if (index == count)
        index = add_module(&described, &path);
    if (index < HP_MODULES)
        remember_load(index, object);
    return index;
}

void hp_modules_forget(void)
{
    const struct dl_find_object none = {0};
    for (uint32_t index = 0, count = known_count(); index < count; index++)
        remember_load(index, &none);
}

uint64_t hp_module_frame(uintptr_t address, const struct dl_find_object *object)
{
    if (!object)
        return address & HP_FRAME_OFFSET_MASK;
    for (uint32_t index = 0, count = known_count(); index < count; index++)
        if (is_load(index, object) && module_at(index))
            return (uint64_t)(index + 1) << HP_FRAME_MODULE_SHIFT |
                   ((address - object->dlfo_link_map->l_addr) & HP_FRAME_OFFSET_MASK);
    uint32_t index = store->ledger ? find_or_add(object) : HP_MODULES;
    if (index >= HP_MODULES) {
        if (store->ledger)
            hp_count(&store->ledger->audit.unnamed_frames, 1u);
        return address & HP_FRAME_OFFSET_MASK;
    }
    return (uint64_t)(index + 1) << HP_FRAME_MODULE_SHIFT |
           ((address - object->dlfo_link_map->l_addr) & HP_FRAME_OFFSET_MASK);
}

static struct hp_ledger_module *module_of(uint64_t frame)
{
    uint32_t index = (uint32_t)(frame >> HP_FRAME_MODULE_SHIFT) - 1;
    return index < HP_MODULES ? module_at(index) : NULL;
}

uintptr_t hp_module_address(uint64_t frame)
{
    const struct hp_ledger_module *module = module_of(frame);
    return (module ? __atomic_load_n(&module->base, __ATOMIC_RELAXED) : 0) + (frame & HP_FRAME_OFFSET_MASK);
}

static bool frame_holds(uint64_t frame)
{
    struct dl_find_object object;
    if (!module_of(frame))
        return true;
    return hp_find_object(hp_module_address(frame) - 1, &object) &&
           is_load((uint32_t)(frame >> HP_FRAME_MODULE_SHIFT) - 1, &object);
}

bool hp_modules_hold(const uint64_t *frames, size_t depth)
{
    uint64_t seen = 1; /* modules by number; 0: no module */
    for (size_t i = 0; i < depth; i++) {
        if (i && !((frames[i] ^ frames[i - 1]) >> HP_FRAME_MODULE_SHIFT)) /* most are of the module of the one before */
            continue;
        uint64_t number = frames[i] >> HP_FRAME_MODULE_SHIFT, bit = number < 64 ? 1ull << number : 0;
        if (seen & bit || (number && is_permanent((uint32_t)number - 1)))
            continue;
        if (!frame_holds(frames[i]))
            return false;
        seen |= bit;
    }
    return true;
}
