#include "ledger/heap.h"

#include <string.h>
#include <sys/uio.h>

#include "base/sys.h"
#include "base/atomic_copy.h"

#define LIVE_MOST 16384u /* sorted in a millisecond or two */
#define PRESENT (1ull << 63)

void hp_memory_open(struct hp_memory *memory, const char *process, int pid)
{
    memory->pid = pid;
    memory->memory = hp_proc_open(process, "mem");
    memory->pagemap = hp_proc_open(process, "pagemap");
}

void hp_memory_close(const struct hp_memory *memory)
{
    if (memory->memory >= 0)
        hp_sys_close(memory->memory);
    if (memory->pagemap >= 0)
        hp_sys_close(memory->pagemap);
}

/* Bytes from `address` on that lie in pages in memory. */
static size_t present(const struct hp_memory *memory, uint64_t address, size_t size)
{
    uint64_t entries[66] = {0}, first = address / HP_PAGE, pages = (address + size - 1) / HP_PAGE - first + 1,
             count = 0;
    if (memory->pagemap < 0)
        return size;
    if (pages > sizeof entries / sizeof *entries)
        pages = sizeof entries / sizeof *entries;
    long n = hp_sys_pread(memory->pagemap, entries, pages * sizeof *entries, first * sizeof *entries);
    if (n < 0)
        return size;
    while (count < (uint64_t)n / sizeof *entries && entries[count] & PRESENT)
        count++;
    uint64_t limit = (first + count) * HP_PAGE;
    return limit <= address ? 0 : limit - address < size ? (size_t)(limit - address) : size;
}

long hp_memory_read(void *state, uint64_t address, void *to, size_t size)
{
    const struct hp_memory *memory = state;
    size = present(memory, address, size);
    if (!size)
        return 0;
    if (memory->pid) {
        const struct iovec here = {to, size}, there = {(void *)(uintptr_t)address, size};
        long n = hp_syscall(SYS_process_vm_readv, memory->pid, (long)&here, 1, (long)&there, 1, 0);
        if (n > 0)
            return n;
    }
    return memory->memory < 0 ? -EBADF : hp_sys_pread(memory->memory, to, size, address);
}

struct work {
    struct hp_glibc_scratch scratch;
    uint64_t live[LIVE_MOST];
};

size_t hp_heap_work_size(void)
{
    return sizeof(struct work);
}

struct collection {
    struct hp_memory memory; /* first: hp_memory_read gets the collection */
    const struct hp_ledger_view *view;
    uint64_t *live;
    size_t count, seen, step; /* each step-th of those seen is taken */
};

static void count_object(void *state, uint64_t address, const struct hp_live_data *data)
{
    ((struct collection *)state)->seen++;
}

static void take_object(void *state, uint64_t address, const struct hp_live_data *data)
{
    struct collection *collection = state;
    if (collection->seen++ % collection->step == 0 && collection->count < LIVE_MOST)
        collection->live[collection->count++] = address;
}

static void sift(uint64_t *heap, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && heap[child + 1] > heap[child];
        if (heap[at] >= heap[child])
            return;
        uint64_t larger = heap[child];
        heap[child] = heap[at];
        heap[at] = larger;
    }
}

static void sort(uint64_t *heap, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift(heap, i, count);
    while (count > 1) {
        uint64_t largest = heap[0];
        heap[0] = heap[--count];
        heap[count] = largest;
        sift(heap, 0, count);
    }
}

static size_t collect_live(void *state, const uint64_t **addresses)
{
    struct collection *collection = state;
    hp_ledger_view_live(collection->view, count_object, collection);
    collection->step = collection->seen / LIVE_MOST + 1;
    collection->seen = 0;
    hp_ledger_view_live(collection->view, take_object, collection);
    sort(collection->live, collection->count);
    *addresses = collection->live;
    return collection->count;
}

bool hp_heap_walk(const struct hp_ledger_view *view, const char *process, int pid, uint64_t budget_ns, void *memory,
                  struct hp_figures *figures)
{
    const struct hp_ledger *ledger = view->ledger;
    struct work *work = memory;
    struct collection collection = {.view = view, .live = work->live};
    struct hp_glibc glibc;
    struct hp_glibc_figures walked;
    if (!__atomic_load_n(&ledger->heap.glibc.arena, __ATOMIC_ACQUIRE))
        return false;
    hp_atomic_copy_out(&glibc, &ledger->heap.glibc, sizeof glibc);
    const struct hp_heap_source source = {hp_memory_read, collect_live, &collection};
    hp_memory_open(&collection.memory, process, pid);
    bool done = hp_glibc_walk(&glibc, &source, budget_ns, &work->scratch, &walked);
    hp_memory_close(&collection.memory);
    if (!done)
        return false;
    *figures = (struct hp_figures){.source = walked.sampled ? HP_FIGURES_SAMPLED : HP_FIGURES_WALKED,
                                   .time_ns = hp_clock_ns(CLOCK_MONOTONIC),
                                   .alloc = walked.inuse,
                                   .inuse = walked.inuse,
                                   .sys = walked.sys,
                                   .released = walked.mapped,
                                   .lost = walked.lost,
                                   .error = walked.error,
                                   .live = __atomic_load_n(&ledger->live_estimate, __ATOMIC_RELAXED)};
    return true;
}
