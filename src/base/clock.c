/* Clocks without libc's clock_gettime, which the target or another library may have replaced by one that
 * allocates. */
#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/sys.h"

typedef int clock_function(clockid_t, struct timespec *);

static clock_function *from_vdso;
static bool looked; /* it does not matter how many threads look: all find the same */

/* The kernel's object has a plain symbol table and no relocations: addresses in it are offsets from its first byte. */
static clock_function *find_in(const char *vdso)
{
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)vdso;
    const ElfW(Phdr) *segment = (const ElfW(Phdr) *)(vdso + header->e_phoff);
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    const uint32_t *hash = NULL, *gnu_hash = NULL;
    uint64_t bias = 0;
    for (unsigned i = 0; i < header->e_phnum; i++)
        if (segment[i].p_type == PT_LOAD)
            bias = segment[i].p_vaddr - segment[i].p_offset;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segment[i].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *dynamic = (const ElfW(Dyn) *)(vdso + segment[i].p_offset);
        for (; dynamic->d_tag != DT_NULL; dynamic++) {
            const char *table = vdso + (dynamic->d_un.d_ptr - bias);
            symbols = dynamic->d_tag == DT_SYMTAB ? (const ElfW(Sym) *)table : symbols;
            strings = dynamic->d_tag == DT_STRTAB ? table : strings;
            hash = dynamic->d_tag == DT_HASH ? (const uint32_t *)table : hash;
            gnu_hash = dynamic->d_tag == DT_GNU_HASH ? (const uint32_t *)table : gnu_hash;
        }
    }
    /* Newer kernels leave DT_HASH out; the strings follow the symbols in all. */
    uint64_t count = hash ? hash[1]
                     : gnu_hash && strings > (const char *)symbols
                         ? (uint64_t)(strings - (const char *)symbols) / sizeof *symbols
                         : 0;
    for (uint64_t i = 0; symbols && strings && i < count; i++)
        if (symbols[i].st_shndx != SHN_UNDEF && (!strcmp(strings + symbols[i].st_name, "__vdso_clock_gettime") ||
                                                 !strcmp(strings + symbols[i].st_name, "__kernel_clock_gettime")))
            return (clock_function *)(uintptr_t)(vdso + (symbols[i].st_value - bias));
    return NULL;
}

static uint64_t read_clock(clockid_t clock)
{
    if (!__atomic_load_n(&looked, __ATOMIC_ACQUIRE)) {
        const char *vdso = (const char *)getauxval(AT_SYSINFO_EHDR);
        __atomic_store_n(&from_vdso, vdso ? find_in(vdso) : NULL, __ATOMIC_RELAXED);
        __atomic_store_n(&looked, true, __ATOMIC_RELEASE);
    }
    clock_function *found = __atomic_load_n(&from_vdso, __ATOMIC_RELAXED);
    struct timespec now = {0};
    if (!found || found(clock, &now) != 0)
        return hp_clock_ns(clock);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t hp_coarse_ns(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

uint64_t hp_fine_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}
