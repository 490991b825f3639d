#include "symbolize/internal.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENTS_MAX 65536

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = hp_find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

struct hp_symbolizer *hp_symbolizer_new(const struct hp_symbol_options *options)
{
    struct hp_symbolizer *symbolizer = hp_symbol_realloc(NULL, 1, sizeof *symbolizer);
    *symbolizer = (struct hp_symbolizer){0};
    if (!options || !options->directory_count)
        return symbolizer;
    symbolizer->directories = hp_symbol_realloc(NULL, options->directory_count, sizeof *symbolizer->directories);
    for (size_t i = 0; i < options->directory_count; i++)
        symbolizer->directories[i] = hp_strings_intern(&symbolizer->strings, options->directories[i]);
    symbolizer->directory_count = options->directory_count;
    return symbolizer;
}

static void free_module(struct hp_symbol_module *module)
{
    hp_dwarf_free(module);
    hp_symtab_free(module);
    hp_intervals_free(&module->segments);
    free(module->segment_addresses);
    dwfl_end(module->dwfl);
    if (module->alternate)
        dwarf_end(module->alternate);
    elf_end(module->alternate_elf);
    if (module->alternate_file >= 0)
        close(module->alternate_file);
    free(module);
}

void hp_symbolizer_free(struct hp_symbolizer *symbolizer)
{
    if (!symbolizer)
        return;
    for (size_t i = 0; i < symbolizer->module_count; i++)
        free_module(symbolizer->modules[i]);
    free(symbolizer->modules);
    free(symbolizer->directories);
    hp_strings_free(&symbolizer->strings);
    hp_strings_free(&symbolizer->named);
    free(symbolizer);
}

/* objcopy --only-keep-debug leaves segments without bytes and with offsets that mean nothing. GNU
 * ld, which starts code on a page of its own, puts it at the offset that equals its distance from
 * the first segment; other linkers don't start it on a page boundary, and then nothing is known. */
static uint64_t segment_offset(const GElf_Phdr *segment, const GElf_Phdr *first)
{
    uint64_t page = segment->p_align > 1 ? segment->p_align : 4096;
    if (segment->p_filesz || segment->p_vaddr % page)
        return segment->p_offset;
    return segment->p_vaddr - first->p_vaddr;
}

static void read_segments(struct hp_symbol_module *module, Elf *elf)
{
    size_t count;
    GElf_Phdr segment, first = {.p_type = PT_NULL};
    if (elf_getphdrnum(elf, &count) != 0)
        count = 0;
    for (size_t i = 0; i < count && i < SEGMENTS_MAX; i++) {
        if (!gelf_getphdr(elf, (int)i, &segment) || segment.p_type != PT_LOAD)
            continue;
        if (first.p_type == PT_NULL)
            first = segment;
        bool debug_only = !segment.p_filesz && segment.p_flags & PF_X;
        uint64_t size = debug_only ? segment.p_memsz : segment.p_filesz;
        uint64_t offset = debug_only ? segment_offset(&segment, &first) : segment.p_offset;
        if (debug_only && offset == segment.p_offset && segment.p_vaddr != first.p_vaddr)
            continue;
        if (offset + size < offset)
            continue;
        module->segment_addresses =
            hp_symbol_realloc(module->segment_addresses, module->segment_count + 1, sizeof *module->segment_addresses);
        /* Where two segments share a page of the file, the code is what is asked for. */
        hp_intervals_add(&module->segments, offset, offset + size, (uint32_t)module->segment_count,
                         segment.p_flags & PF_X ? 1 : 0);
        module->segment_addresses[module->segment_count++] = segment.p_vaddr - offset;
    }
    hp_intervals_flatten(&module->segments);
}

/* A dwz file that libdwfl did not find may be in one of the folders given. */
static void open_alternate(struct hp_symbol_module *module)
{
    const char *name;
    const void *id;
    ssize_t id_size = dwelf_dwarf_gnu_debugaltlink(module->dwarf, &name, &id);
    if (id_size <= 0 || dwarf_getalt(module->dwarf))
        return;
    int descriptor = hp_find_alternate(module->owner, name, id, (size_t)id_size);
    if (descriptor < 0)
        return;
    module->alternate_file = descriptor;
    module->trusted &= hp_find_is_trusted(descriptor);
    module->alternate_elf = elf_begin(descriptor, ELF_C_READ_MMAP, NULL);
    if (module->alternate_elf)
        module->alternate = dwarf_begin_elf(module->alternate_elf, DWARF_C_READ, NULL);
    if (module->alternate)
        dwarf_setalt(module->dwarf, module->alternate);
}

static bool has_units(Dwarf *dwarf)
{
    Dwarf_Off next;
    size_t header_size;
    return dwarf && dwarf_next_unit(dwarf, 0, &next, &header_size, NULL, NULL, NULL, NULL, NULL, NULL) == 0;
}

static void note_file(struct hp_symbol_module *module, int descriptor)
{
    struct stat status;
    if (module->file_is_own && !fstat(descriptor, &status))
        module->about.changed_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
}

static bool open_dwfl(struct hp_symbol_module *module, int descriptor)
{
    note_file(module, descriptor);
    module->dwfl = dwfl_begin(&callbacks);
    if (!module->dwfl)
        return false;
    module->dwfl_module = dwfl_report_elf(module->dwfl, module->file, module->file, descriptor, 0, true);
    if (!module->dwfl_module || dwfl_report_end(module->dwfl, NULL, NULL) != 0) {
        if (!module->dwfl_module)
            close(descriptor);
        dwfl_end(module->dwfl);
        module->dwfl = NULL;
        return false;
    }
    void **userdata;
    dwfl_module_info(module->dwfl_module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
    *userdata = module;
    Elf *elf = dwfl_module_getelf(module->dwfl_module, &module->bias);
    if (!elf)
        return false;
    read_segments(module, elf);
    const void *build_id;
    module->about.has_build_id = dwelf_elf_gnu_build_id(elf, &build_id) > 0;
    module->status = HP_MODULE_SYMTAB;
    Dwarf *own = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
    module->has_debug_sections = has_units(own);
    dwarf_end(own);
    module->dwarf = dwfl_module_getdwarf(module->dwfl_module, &module->dwarf_bias);
    if (!has_units(module->dwarf)) {
        module->dwarf = NULL;
        return true;
    }
    module->status = HP_MODULE_OK;
    open_alternate(module);
    return true;
}

static int open_live(struct hp_symbol_module *module, const struct hp_symbol_process *process)
{
    return process ? hp_live_file_open(module->owner, module->path, module->build_id, process, &module->file) : -ENOENT;
}

static void open_module(struct hp_symbol_module *module, const struct hp_symbol_process *process)
{
    static const char deleted[] = " (deleted)";
    size_t length = strlen(module->path), suffix = sizeof deleted - 1;
    module->file = module->path;
    int descriptor = *module->build_id ? -ENOENT : open_live(module, process);
    if (descriptor < 0)
        descriptor = hp_find_open(module->path, module->build_id);
    if (descriptor == -ENOENT && *module->build_id && length > suffix &&
        !strcmp(module->path + length - suffix, deleted)) {
        /* As /proc/PID/maps says of a file replaced under a running process; the same may be back
         * by now. */
        module->file = hp_strings_intern_bytes(&module->owner->strings, module->path, length - suffix);
        descriptor = hp_find_open(module->file, module->build_id);
    }
    module->status = descriptor == -ESTALE ? HP_MODULE_REPLACED : HP_MODULE_MISSING;
    module->file_is_own = descriptor >= 0;
    if (descriptor < 0 && *module->build_id)
        descriptor = open_live(module, process);
    if (descriptor < 0)
        descriptor = hp_find_elsewhere(module->owner, module->file, module->build_id, &module->file);
    if (descriptor < 0)
        descriptor = hp_debuginfod_open(module->build_id);
    module->trusted = descriptor >= 0 && hp_find_is_trusted(descriptor);
    if (descriptor >= 0 && !open_dwfl(module, descriptor))
        module->status = HP_MODULE_MISSING;
}

static bool is_there(const struct hp_symbol_module *module)
{
    return module->status == HP_MODULE_OK || module->status == HP_MODULE_SYMTAB;
}

/* One that was found by its build id is the same for all processes. */
static bool is_known(const struct hp_symbol_module *module, const char *path, const char *build_id, int pid)
{
    return module->path == path && module->build_id == build_id &&
           (module->pid == pid || (*build_id && is_there(module)));
}

struct hp_symbol_module *hp_symbolizer_live_module(struct hp_symbolizer *symbolizer, const char *path,
                                                   const char *build_id, const struct hp_symbol_process *process)
{
    int pid = process ? process->pid : 0;
    path = hp_strings_intern(&symbolizer->strings, path);
    build_id = hp_strings_intern(&symbolizer->strings, build_id);
    for (size_t i = 0; i < symbolizer->module_count; i++)
        if (is_known(symbolizer->modules[i], path, build_id, pid))
            return symbolizer->modules[i];
    struct hp_symbol_module *module = hp_symbol_realloc(NULL, 1, sizeof *module);
    *module = (struct hp_symbol_module){
        .owner = symbolizer, .path = path, .build_id = build_id, .pid = pid, .alternate_file = -1};
    open_module(module, process);
    symbolizer->modules =
        hp_symbol_grow(symbolizer->modules, symbolizer->module_count, &symbolizer->module_capacity, sizeof module);
    return symbolizer->modules[symbolizer->module_count++] = module;
}

struct hp_symbol_module *hp_symbolizer_module(struct hp_symbolizer *symbolizer, const char *path, const char *build_id)
{
    return hp_symbolizer_live_module(symbolizer, path, build_id, NULL);
}

bool hp_symbolizer_names_source(const struct hp_symbolizer *symbolizer, const char *file)
{
    return hp_strings_has(&symbolizer->named, file);
}

enum hp_module_status hp_symbol_module_status(const struct hp_symbol_module *module)
{
    return module->status;
}

struct hp_symbol_file hp_symbol_module_file(const struct hp_symbol_module *module)
{
    return module->about;
}

int hp_symbol_module_fits(const struct hp_symbol_module *module, uint64_t offset, uint64_t size)
{
    GElf_Addr bias;
    Elf *elf = module->dwfl ? dwfl_module_getelf(module->dwfl_module, &bias) : NULL;
    size_t count = 0;
    GElf_Phdr segment;
    if (!elf || elf_getphdrnum(elf, &count))
        return 0;
    for (size_t i = 0; i < count && i < SEGMENTS_MAX; i++) {
        if (!gelf_getphdr(elf, (int)i, &segment) || segment.p_type != PT_LOAD || !(segment.p_flags & PF_X))
            continue;
        if (!segment.p_filesz) /* a debug file, whose offsets mean nothing */
            return 1;
        /* The largest page that systems have: mappings are rounded to whichever it was. */
        uint64_t page = 65536, end = offset + size;
        if (offset + page > segment.p_offset && end >= offset && end < segment.p_offset + segment.p_memsz + page)
            return 1;
    }
    return 0;
}

size_t hp_symbolize(struct hp_symbol_module *module, uint64_t file_offset, struct hp_symbol_frame *frames, size_t most)
{
    const struct hp_interval *segment = hp_intervals_find(&module->segments, file_offset);
    if (!segment || !most)
        return 0;
    uint64_t address = file_offset + module->segment_addresses[segment->value];
    size_t count = hp_dwarf_frames(module, address, frames, most);
    for (size_t i = 0; i < count && module->trusted; i++)
        hp_strings_intern(&module->owner->named, frames[i].file);
    if (count)
        return count;
    const struct symbol *symbol = hp_symtab_find(module, address);
    if (!symbol)
        return 0;
    struct hp_strings *strings = &module->owner->strings;
    const char *linkage = hp_strings_intern(strings, symbol->name);
    const char *function = hp_strings_demangle(strings, symbol->name);
    frames[0] = (struct hp_symbol_frame){.function = function,
                                         .linkage = linkage == function ? "" : linkage,
                                         .file = "",
                                         .entry_offset = address - symbol->address};
    return 1;
}
