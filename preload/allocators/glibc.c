/* glibc's malloc: samples read HeapSys by plain loads, dumps walk the heap (glibc_heap.h). Its mallinfo2 would take the
 * locks of all arenas, one after the other, for as long as it takes to count their free chunks. */
#include <dlfcn.h>
#include <elf.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#include "allocators/allocators.h"
#include "ledger/heap.h"
#include "base/sys.h"
#include "base/atomic_copy.h"
#include "unwind/modules.h"

#define LOAD_EVERY_NS 1000000ull

static uint32_t searches;  /* for its structures */
static uint32_t was_found; /* 1: a thread has found them, and writes them down */
/* Where they are; written once, `arena` last. Loads go by this one, not by the ledger's, which others can write. */
static struct hp_glibc glibc;

static void recognised(void *const addresses[], char *version, size_t size)
{
    const char *text = gnu_get_libc_version();
    if (strlen(text) < size)
        memcpy(version, text, strlen(text) + 1);
}

/* libc's writable data, as far as it comes from its file. */
static bool search(struct hp_glibc *found)
{
    struct dl_find_object object;
    if (!hp_find_object((uintptr_t)gnu_get_libc_version, &object))
        return false;
    const char *start = object.dlfo_map_start;
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)(const void *)start;
    const ElfW(Phdr) *segments = (const ElfW(Phdr) *)(const void *)(start + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type != PT_LOAD || !(segments[i].p_flags & PF_W))
            continue;
        uint64_t first = object.dlfo_link_map->l_addr + segments[i].p_vaddr, at = (first + 7) & ~7ull;
        uint64_t size = segments[i].p_filesz - (at - first);
        if (size < segments[i].p_filesz + 8 &&
            hp_glibc_find(found, hp_glibc_version(gnu_get_libc_version()), (const void *)(uintptr_t)at, size, at))
            return true;
    }
    return false;
}

/* Any number of threads may do so at once: all write the same. */
static void publish(struct hp_glibc *to, const struct hp_glibc *from)
{
    hp_atomic_copy_in(to, from, offsetof(struct hp_glibc, arena));
    __atomic_store_n(&to->arena, from->arena, __ATOMIC_RELEASE);
}

/* glibc makes its structures as it needs them: while they aren't there they are looked for at the 1st, 2nd, 4th, 8th
 * time. */
static bool find(void)
{
    struct hp_glibc found;
    uint32_t number = __atomic_add_fetch(&searches, 1, __ATOMIC_RELAXED);
    if (number & (number - 1) || !search(&found) || __atomic_exchange_n(&was_found, 1, __ATOMIC_RELAXED))
        return false;
    publish(&glibc, &found);
    return true;
}

/* No call, no lock; a word for each arena. */
static void load(struct hp_ledger *ledger)
{
    struct hp_heap_now *heap = &ledger->heap;
    uint64_t sys, mapped, now = hp_coarse_ns();
    if (now - __atomic_load_n(&heap->time_ns, __ATOMIC_RELAXED) < LOAD_EVERY_NS ||
        (!__atomic_load_n(&glibc.arena, __ATOMIC_ACQUIRE) && !find()))
        return;
    if (!__atomic_load_n(&heap->glibc.arena, __ATOMIC_RELAXED))
        publish(&heap->glibc, &glibc);
    hp_glibc_load(&glibc, &sys, &mapped);
    __atomic_store_n(&heap->sys, sys, __ATOMIC_RELAXED);
    __atomic_store_n(&heap->mapped, mapped, __ATOMIC_RELAXED);
    __atomic_store_n(&heap->time_ns, now, __ATOMIC_RELAXED);
}

static bool walk(const struct hp_store *store, int pid, uint64_t budget_ns, struct hp_figures *figures)
{
    struct hp_ledger_view view;
    if (hp_ledger_view_open(&view, store->ledger, store->chunks, store->ledger->size) < 0)
        return false;
    load(store->ledger); /* of a process without samples */
    void *work = hp_sys_mmap(NULL, hp_heap_work_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (!work)
        return false;
    bool done = hp_heap_walk(&view, "self", pid, budget_ns, work, figures);
    hp_sys_munmap(work, hp_heap_work_size());
    return done;
}

const struct hp_allocator hp_allocator_glibc = {
    .name = "glibc",
    .functions = {"gnu_get_libc_version"},
    .recognised = recognised,
    .arrays_by_realloc = true,
    .load = load,
    .walk = walk,
};
