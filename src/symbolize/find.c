#include "symbolize/internal.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUILD_ID_MAX 64 /* bytes; 20 is usual */

static const char system_debug[] = "/usr/lib/debug";

static void to_hex(const unsigned char *id, size_t size, char hex[2 * BUILD_ID_MAX + 1])
{
    for (size_t i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", id[i]);
    hex[2 * size] = '\0';
}

static bool file_build_id(Elf *elf, char hex[2 * BUILD_ID_MAX + 1])
{
    const void *id;
    ssize_t size = dwelf_elf_gnu_build_id(elf, &id);
    if (size <= 0 || size > BUILD_ID_MAX)
        size = 0;
    to_hex(id, (size_t)size, hex);
    return size > 0;
}

static int check_elf(int descriptor, const char *build_id)
{
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(descriptor, ELF_C_READ_MMAP, NULL);
    if (!elf)
        return -ENOENT;
    int result = -ENOENT;
    GElf_Ehdr header;
    if (elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &header) &&
        (header.e_type == ET_EXEC || header.e_type == ET_DYN)) {
        char hex[2 * BUILD_ID_MAX + 1];
        file_build_id(elf, hex);
        result = !*build_id || !strcmp(hex, build_id) ? 0 : -ESTALE;
    }
    elf_end(elf);
    return result;
}

int hp_find_open(const char *path, const char *build_id)
{
    /* Not blocking: a profile from elsewhere may name a FIFO or a device. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0)
        return -ENOENT;
    struct stat status;
    int error = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) ? 0 : -ENOENT;
    if (!error)
        error = check_elf(descriptor, build_id);
    if (!error)
        return descriptor;
    close(descriptor);
    return error;
}

bool hp_find_is_trusted(int descriptor)
{
    struct stat status;
    return !fstat(descriptor, &status) && (!status.st_uid || status.st_uid == geteuid()) && !(status.st_mode & S_IWOTH);
}

/* Forms of the name under which a file may be kept in a folder. */
enum place { SAME_PATH, BASENAME, BASENAME_DEBUG, ID, ID_DEBUG, PLACES };

/* False where the place needs what is not known, or the name is too long. */
static bool place_name(char name[PATH_MAX], enum place place, const char *directory, const char *path,
                       const char *build_id)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    int length = 0;
    if ((place == ID || place == ID_DEBUG ? strlen(build_id) < 4 : !*base))
        return false;
    switch (place) {
    case SAME_PATH:
        length = snprintf(name, PATH_MAX, "%s/%s", directory, path);
        break;
    case BASENAME:
    case BASENAME_DEBUG:
        length = snprintf(name, PATH_MAX, "%s/%s%s", directory, base, place == BASENAME ? "" : ".debug");
        break;
    case ID:
    case ID_DEBUG:
    default:
        length = snprintf(name, PATH_MAX, "%s/.build-id/%.2s/%s%s", directory, build_id, build_id + 2,
                          place == ID ? "" : ".debug");
        break;
    }
    return length > 0 && length < PATH_MAX;
}

int hp_find_elsewhere(struct hp_symbolizer *symbolizer, const char *path, const char *build_id, const char **found)
{
    for (size_t i = 0; i <= symbolizer->directory_count; i++) {
        bool is_system = i == symbolizer->directory_count;
        if (is_system && !*build_id)
            break; /* a name alone proves nothing there */
        const char *directory = is_system ? system_debug : symbolizer->directories[i];
        for (int place = is_system ? ID : SAME_PATH; place < PLACES; place++) {
            char name[PATH_MAX];
            if (!place_name(name, place, directory, path, build_id))
                continue;
            int descriptor = hp_find_open(name, build_id);
            if (descriptor >= 0) {
                *found = hp_strings_intern(&symbolizer->strings, name);
                return descriptor;
            }
        }
    }
    return -ENOENT;
}

static bool has_debug_sections(int descriptor)
{
    Elf *elf = elf_begin(descriptor, ELF_C_READ_MMAP, NULL);
    Dwarf *dwarf = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
    Dwarf_Off next;
    size_t header_size;
    bool result = dwarf && dwarf_next_unit(dwarf, 0, &next, &header_size, NULL, NULL, NULL, NULL, NULL, NULL) == 0;
    dwarf_end(dwarf);
    elf_end(elf);
    return result;
}

static int search_debuginfo(struct hp_symbol_module *module, const char *link, char **debug_file)
{
    char build_id[2 * BUILD_ID_MAX + 1];
    GElf_Addr bias;
    Elf *elf = dwfl_module_getelf(module->dwfl_module, &bias);
    if (!elf)
        return -1;
    file_build_id(elf, build_id);
    struct hp_symbolizer *symbolizer = module->owner;
    for (size_t i = 0; i < symbolizer->directory_count; i++) {
        for (int place = SAME_PATH; place < 2 * PLACES; place++) {
            /* First by the module's name, then by that in .gnu_debuglink. */
            const char *path = place < PLACES ? module->path : link;
            char name[PATH_MAX];
            if (!path || !place_name(name, place % PLACES, symbolizer->directories[i], path, build_id))
                continue;
            int descriptor = hp_find_open(name, build_id);
            if (descriptor < 0)
                continue;
            if (has_debug_sections(descriptor)) {
                *debug_file = strdup(name);
                return descriptor;
            }
            close(descriptor);
        }
    }
    return -1;
}

/* Named, or in the places where libdwfl looks. */
static int find_debuginfo(Dwfl_Module *dwfl_module, void **userdata, const char *name, Dwarf_Addr base,
                          const char *file, const char *link, GElf_Word crc, char **debug_file)
{
    struct hp_symbol_module *module = *userdata;
    /* libdwfl calls this for the debug file and then for what that one shares with others (dwz),
     * and says in no argument which of the two it is. */
    bool wants_alternate = module->has_debug_sections || module->debug_searched;
    module->debug_searched = true;
    if (!wants_alternate) {
        int descriptor = search_debuginfo(module, link, debug_file);
        if (descriptor >= 0)
            return descriptor;
    }
    return dwfl_standard_find_debuginfo(dwfl_module, userdata, name, base, file, link, crc, debug_file);
}

int hp_find_debuginfo(Dwfl_Module *dwfl_module, void **userdata, const char *name, Dwarf_Addr base, const char *file,
                      const char *link, GElf_Word crc, char **debug_file)
{
    struct hp_symbol_module *module = *userdata;
    int descriptor = find_debuginfo(dwfl_module, userdata, name, base, file, link, crc, debug_file);
    module->trusted &= descriptor < 0 || hp_find_is_trusted(descriptor);
    return descriptor;
}

int hp_find_alternate(struct hp_symbolizer *symbolizer, const char *name, const void *id, size_t id_size)
{
    char build_id[2 * BUILD_ID_MAX + 1];
    if (!id_size || id_size > BUILD_ID_MAX)
        return -ENOENT;
    to_hex(id, id_size, build_id);
    const char *found;
    return hp_find_elsewhere(symbolizer, name, build_id, &found);
}
