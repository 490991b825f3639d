#include "cli/run/target_check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "report/core/memory.h"
#include "report/core/units.h"

/* Scripts whose interpreter is a script: the kernel allows 4. */
#define MOST_SCRIPTS 4

/* A copy of the path that execvp would run; NULL and errno if there is none. */
static char *find_program(const char *command)
{
    if (strchr(command, '/'))
        return access(command, X_OK) ? NULL : hp_strdup(command);
    const char *path = getenv("PATH");
    int reason = ENOENT;
    for (path = path ? path : "/bin:/usr/bin"; path; path = strchr(path, ':') ? strchr(path, ':') + 1 : NULL) {
        int length = (int)strcspn(path, ":");
        char *candidate = hp_print("%.*s%s%s", length, path, length ? "/" : "", command);
        struct stat file;
        bool is_there = !stat(candidate, &file) && !access(candidate, X_OK);
        if (is_there && S_ISREG(file.st_mode))
            return candidate;
        if (!is_there && errno == EACCES)
            reason = EACCES;
        free(candidate);
    }
    errno = reason;
    return NULL;
}

static int check_privileges(const char *path, int descriptor, const struct stat *file, struct hp_error *error)
{
    bool other_user = (file->st_mode & S_ISUID) && file->st_uid != getuid();
    bool other_group = (file->st_mode & S_ISGID) && (file->st_mode & S_IXGRP) && file->st_gid != getgid();
    if (other_user || other_group)
        return hp_error_set(error, -EPERM, "%s is set-%s-id: the system ignores LD_PRELOAD for it; run it as that %s",
                            path, other_user ? "user" : "group", other_user ? "user" : "group");
    if (getuid() != 0 && fgetxattr(descriptor, "security.capability", NULL, 0) > 0)
        return hp_error_set(error, -EPERM,
                            "%s has file capabilities: the system ignores LD_PRELOAD for it; "
                            "profile a copy without",
                            path);
    return 0;
}

struct machine {
    unsigned char class;
    uint16_t number;
};

static struct machine own_machine(void)
{
    struct machine machine = {0};
    Elf32_Ehdr header; /* e_machine is at the same place in both classes */
    int descriptor = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0 && read(descriptor, &header, sizeof header) == (ssize_t)sizeof header)
        machine = (struct machine){header.e_ident[EI_CLASS], header.e_machine};
    if (descriptor >= 0)
        close(descriptor);
    return machine;
}

static bool has_interpreter(Elf *elf)
{
    size_t count = 0;
    if (elf_getphdrnum(elf, &count))
        return false;
    for (size_t i = 0; i < count && i < INT_MAX; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(elf, (int)i, &header) && header.p_type == PT_INTERP)
            return true;
    }
    return false;
}

/* ld.so, which starts the program that its arguments name. */
static bool is_loader(Elf *elf)
{
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || header.sh_type != SHT_DYNAMIC || !header.sh_entsize)
            continue;
        Elf_Data *data = elf_getdata(section, NULL);
        for (size_t i = 0; data && i < header.sh_size / header.sh_entsize && i < INT_MAX; i++) {
            GElf_Dyn entry;
            if (!gelf_getdyn(data, (int)i, &entry) || entry.d_tag != DT_SONAME)
                continue;
            const char *name = elf_strptr(elf, header.sh_link, entry.d_un.d_val);
            return name && (!strncmp(name, "ld-", 3) || !strncmp(name, "ld64.so", 7));
        }
    }
    return false;
}

/* What an allocator that is linked in defines: malloc itself, or the names under which Rust
 * programs call the jemalloc that they bring along. */
static const char *own_allocator(Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
    static const char *const names[] = {"malloc", "_rjem_malloc"};
    Elf_Data *data = elf_getdata(section, NULL);
    size_t count = data && header->sh_entsize ? header->sh_size / header->sh_entsize : 0;
    for (size_t i = 0; i < count && i < INT_MAX; i++) {
        GElf_Sym symbol;
        if (!gelf_getsym(data, (int)i, &symbol) || symbol.st_shndx == SHN_UNDEF ||
            GELF_ST_TYPE(symbol.st_info) != STT_FUNC || GELF_ST_BIND(symbol.st_info) == STB_LOCAL)
            continue;
        const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);
        for (size_t j = 0; name && j < sizeof names / sizeof *names; j++)
            if (!strcmp(name, names[j]))
                return names[j];
    }
    return NULL;
}

/* A sanitizer's library that the program needs; NULL if none. */
static const char *sanitizer(Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
    static const char *const libraries[] = {"libasan.so", "libtsan.so", "liblsan.so", "libhwasan.so"};
    Elf_Data *data = elf_getdata(section, NULL);
    size_t count = data && header->sh_entsize ? header->sh_size / header->sh_entsize : 0;
    for (size_t i = 0; i < count && i < INT_MAX; i++) {
        GElf_Dyn entry;
        if (!gelf_getdyn(data, (int)i, &entry) || entry.d_tag != DT_NEEDED)
            continue;
        const char *name = elf_strptr(elf, header->sh_link, entry.d_un.d_val);
        for (size_t j = 0; name && j < sizeof libraries / sizeof *libraries; j++)
            if (!strncmp(name, libraries[j], strlen(libraries[j])))
                return libraries[j];
    }
    return NULL;
}

static int check_elf(const char *path, Elf *elf, struct hp_error *error)
{
    GElf_Ehdr file;
    if (!gelf_getehdr(elf, &file))
        return hp_error_set(error, -ENOEXEC, "%s is a damaged ELF file: %s", path, elf_errmsg(-1));
    struct machine own = own_machine();
    if (own.class && (file.e_ident[EI_CLASS] != own.class || file.e_machine != own.number))
        return hp_error_set(error, -ENOEXEC,
                            "%s is a %s program for another kind of processor (ELF machine %u) than this heapprof "
                            "(%u): use a heapprof built for it",
                            path, file.e_ident[EI_CLASS] == ELFCLASS32 ? "32-bit" : "64-bit", (unsigned)file.e_machine,
                            (unsigned)own.number);
    if (!has_interpreter(elf) && is_loader(elf))
        return 0;
    if (!has_interpreter(elf))
        return hp_error_set(error, -ENOEXEC,
                            "%s is statically linked, no library can be preloaded into it: link it dynamically", path);
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header))
            continue;
        bool symbols = header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB;
        const char *function = symbols ? own_allocator(elf, section, &header) : NULL;
        if (function)
            return hp_error_set(error, -ENOTSUP,
                                "%s has an allocator of its own linked in (%s), which a preloaded "
                                "library can't replace: "
                                "link it as a shared library",
                                path, function);
        const char *library = header.sh_type == SHT_DYNAMIC ? sanitizer(elf, section, &header) : NULL;
        if (library)
            return hp_error_set(error, -ENOTSUP,
                                "%s is built with a sanitizer (%s), which has to be the first library: "
                                "build it without",
                                path, library);
    }
    return 0;
}

/* The program that a "#!" line runs: the interpreter, or what env(1) is told to start. NULL if it
 * names none. */
static char *script_program(char *line)
{
    char *state, *interpreter = strtok_r(line, " \t", &state);
    if (!interpreter)
        return NULL;
    char *word = interpreter;
    if (!strcmp(hp_basename(interpreter), "env")) {
        do
            word = strtok_r(NULL, " \t", &state);
        while (word && (*word == '-' || strchr(word, '=')));
    }
    return hp_strdup(word ? word : interpreter);
}

static int check_program(const char *command, unsigned depth, struct hp_error *error);

static int check_content(const char *path, int descriptor, unsigned depth, struct hp_error *error)
{
    char start[256];
    ssize_t size = pread(descriptor, start, sizeof start - 1, 0);
    if (size < 0)
        return hp_error_set(error, -errno, "%s: %s", path, strerror(errno));
    start[size] = 0;
    if (!strncmp(start, "#!", 2)) {
        start[strcspn(start, "\n")] = 0;
        char *program = script_program(start + 2);
        if (!program || depth == MOST_SCRIPTS) {
            free(program);
            return hp_error_set(error, -ENOEXEC, "%s: its first line names no program that could run it", path);
        }
        int status = check_program(program, depth + 1, error);
        free(program);
        return status;
    }
    if (size < 4 || memcmp(start, ELFMAG, SELFMAG))
        return hp_error_set(error, -ENOEXEC, "%s is neither an ELF program nor a script with a #! line", path);
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(descriptor, ELF_C_READ_MMAP, NULL);
    if (!elf)
        return hp_error_set(error, -ENOEXEC, "%s is a damaged ELF file: %s", path, elf_errmsg(-1));
    int status = check_elf(path, elf, error);
    elf_end(elf);
    return status;
}

static int check_program(const char *command, unsigned depth, struct hp_error *error)
{
    char *path = find_program(command);
    if (!path)
        return hp_error_set(error, -errno, "%s: %s", command,
                            errno == ENOENT && !strchr(command, '/') ? "no such command" : strerror(errno));
    struct stat file = {0};
    int status = 0, descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 && errno == EACCES) { /* may be run, not read: nothing can be known */
        free(path);
        return 0;
    }
    if (descriptor < 0 || fstat(descriptor, &file))
        status = hp_error_set(error, -errno, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(file.st_mode))
        status = hp_error_set(error, -EACCES, "%s is no program", path);
    if (!status)
        status = check_privileges(path, descriptor, &file, error);
    if (!status)
        status = check_content(path, descriptor, depth, error);
    if (descriptor >= 0)
        close(descriptor);
    free(path);
    return status;
}

int hp_target_check(const char *command, struct hp_error *error)
{
    return check_program(command, 0, error);
}
