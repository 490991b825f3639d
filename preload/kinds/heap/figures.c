#include "kinds/heap/figures.h"

#include <dlfcn.h>
#include <elf.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "allocators/next.h"
#include "kinds/heap/sampler.h"
#include "ledger/heap.h"
#include "ledger/sys.h"
#include "ledger/words.h"
#include "life/dump.h"
#include "life/library.h"
#include "process/busy.h"
#include "unwind/modules.h"
#include "unwind/stack.h"

#define AGE_LEAST_NS 10000000ull
#define AGE_COSTS 500                 /* the figures are kept for this many times what it took to read them */
#define COST_FIRST_NS 20000ull        /* what that is taken to be, before it was measured */
#define ASKING_MOST_NS 10000000000ull /* who asks for longer has jumped away from it, by a signal handler */
#define ASKING_STACK (16u << 10)
#define LOAD_EVERY_NS 1000000ull
#define LOAD_OF 8 /* samples: to look at the clock at each would take longer */

#define JEMALLOC_FIRST_NS 20000000ull /* after the start */

static uint64_t due_at_ns;               /* CLOCK_MONOTONIC */
static uint64_t asking_since;            /* CLOCK_MONOTONIC; 0: nobody asks */
static uint64_t cost_ns = COST_FIRST_NS; /* guarded by `asking_since` */
static uint32_t searches;                /* for glibc's structures */
static uint32_t was_found;               /* 1: a thread has found them, and writes them down */
/* Where they are; written once, `arena` last. Loads go by this one, not by the ledger's, which others can write. */
static struct hp_glibc glibc;

/* As exact as it may be. */
static uint64_t now_ns(void)
{
    return hp_library_may_time() ? hp_fine_ns() : hp_coarse_ns();
}

static uint64_t jemalloc_value(const char *name)
{
    size_t value = 0, size = sizeof value;
    return hp_next.mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

/* "jemalloc" becomes "jemalloc 5.3.0"; without the commit that follows. Whoever reads meanwhile sees the one or the
 * other. */
static void add_jemalloc_version(char *name, size_t size)
{
    const char *version = "";
    size_t given = sizeof version, length = strnlen(name, size);
    if (strchr(name, ' ') || hp_next.mallctl("version", &version, &given, NULL, 0) != 0)
        return;
    size_t more = strcspn(version, "-");
    if (!more || length + 1 + more >= size)
        return;
    memcpy(name + length + 1, version, more);
    __atomic_store_n(name + length, ' ', __ATOMIC_RELEASE);
}

static void read_jemalloc(struct hp_ledger *ledger, struct hp_figures *figures)
{
    uint64_t epoch = 1;
    size_t size = sizeof epoch;
    add_jemalloc_version(ledger->allocator, sizeof ledger->allocator);
    hp_next.mallctl("epoch", &epoch, &size, &epoch, sizeof epoch); /* figures are as of the last such call */
    figures->alloc = jemalloc_value("stats.allocated");
    figures->inuse = jemalloc_value("stats.active");
    figures->sys = jemalloc_value("stats.mapped") + jemalloc_value("stats.retained");
    uint64_t resident = jemalloc_value("stats.resident");
    figures->released = figures->sys > resident && resident >= figures->inuse ? figures->sys - resident : 0;
    figures->released_known = 1;
    figures->metadata = jemalloc_value("stats.metadata");
    figures->metadata_in_idle = 1;
}

static uint64_t tcmalloc_value(const char *name)
{
    size_t value = 0;
    return hp_next.tcmalloc_property && hp_next.tcmalloc_property(name, &value) ? value : 0;
}

static void read_tcmalloc(struct hp_figures *figures)
{
    uint64_t heap = tcmalloc_value("generic.heap_size");
    uint64_t free_pages = tcmalloc_value("tcmalloc.pageheap_free_bytes");
    uint64_t unmapped = tcmalloc_value("tcmalloc.pageheap_unmapped_bytes");
    figures->alloc = tcmalloc_value("generic.current_allocated_bytes");
    figures->inuse = heap > free_pages + unmapped ? heap - free_pages - unmapped : 0;
    figures->sys = heap;
    figures->released = unmapped;
    figures->released_known = 1;
    uint64_t physical = tcmalloc_value("generic.total_physical_bytes"); /* heap less unmapped, and metadata */
    figures->metadata = physical > heap - unmapped ? physical - (heap - unmapped) : 0;
}

static void publish(struct hp_ledger *ledger, const struct hp_figures *figures)
{
    struct hp_figures *there = &ledger->figures;
    uint32_t version = __atomic_load_n(&there->version, __ATOMIC_RELAXED) | 1;
    __atomic_store_n(&there->version, version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    hp_words_store(&there->source, &figures->source, sizeof *figures - offsetof(struct hp_figures, source));
    __atomic_store_n(&there->version, version + 1, __ATOMIC_RELEASE);
}

static bool asks(void)
{
    return hp_next.allocator == HP_ALLOCATOR_JEMALLOC || hp_next.allocator == HP_ALLOCATOR_TCMALLOC;
}

/* Module part of the frames in the object that `address` lies in; 0: it is not known. */
static uint64_t module_of(uintptr_t address)
{
    struct dl_find_object object;
    return address && hp_find_object(address, &object) ? hp_module_frame(address, &object) >> HP_FRAME_MODULE_SHIFT : 0;
}

static bool may_ask(const uint64_t *frames, unsigned depth, const struct hp_met *met, bool ending)
{
    if (!met->whole || met->signal || met->truncated)
        return false;
    const uint64_t linker = module_of(getauxval(AT_BASE)), allocator = module_of((uintptr_t)hp_next.malloc);
    if (!linker || !allocator)
        return false;
    for (unsigned i = 0; i < depth; i++) {
        uint64_t module = frames[i] >> HP_FRAME_MODULE_SHIFT;
        if (!module || module == allocator || (module == linker && !ending))
            return false;
    }
    return true;
}

/* jemalloc, when first asked, makes room for its answers: half a millisecond, which a short process can do without unless
 * it is to leave a profile by itself. */
static uint64_t first_due_ns(const struct hp_ledger *ledger)
{
    const struct hp_options *options = &hp_library.options;
    bool leaves_profiles = options->at_exit || options->every_ns || options->growth || options->trace_ns;
    return hp_next.allocator == HP_ALLOCATOR_JEMALLOC && !leaves_profiles ? ledger->start_clock_ns + JEMALLOC_FIRST_NS
                                                                          : 0;
}

static bool is_due(const struct hp_ledger *ledger)
{
    uint64_t due = __atomic_load_n(&due_at_ns, __ATOMIC_RELAXED);
    return hp_coarse_ns() >= (due ? due : first_due_ns(ledger));
}

void hp_figures_weigh(const struct hp_ledger *ledger, const uint64_t *frames, unsigned depth, const struct hp_met *met)
{
    hp_thread.may_ask = asks() && (is_due(ledger) || hp_library.options.trace_ns) && may_ask(frames, depth, met, false);
}

static bool begin_asking(uint64_t now)
{
    uint64_t since = __atomic_load_n(&asking_since, __ATOMIC_RELAXED);
    return (!since || now - since > ASKING_MOST_NS) &&
           __atomic_compare_exchange_n(&asking_since, &since, now, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void ask_unblocked(struct hp_ledger *ledger)
{
    struct hp_figures figures = {.source = HP_FIGURES_ASKED};
    uint64_t start = now_ns();
    if (hp_stack_room() < ASKING_STACK || !begin_asking(start))
        return;
    figures.live = __atomic_load_n(&ledger->live_estimate, __ATOMIC_RELAXED);
    if (hp_next.allocator == HP_ALLOCATOR_JEMALLOC) {
        read_jemalloc(ledger, &figures);
    } else {
        /* It allocates while it tells; what a signal handler allocates meanwhile is lost, and counted. */
        hp_thread.own_call = true;
        read_tcmalloc(&figures);
        hp_thread.own_call = false;
    }
    figures.time_ns = now_ns();
    /* A thread that loses its processor in between seems to take long: believe in twice what was expected. */
    uint64_t cost = figures.time_ns - start;
    cost_ns = cost < 2 * cost_ns ? cost : 2 * cost_ns;
    if (cost_ns < COST_FIRST_NS)
        cost_ns = COST_FIRST_NS;
    if (figures.sys) { /* tcmalloc knows nothing before its constructors have run */
        publish(ledger, &figures);
        __atomic_store_n(&due_at_ns, figures.time_ns + AGE_LEAST_NS + AGE_COSTS * cost_ns, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&asking_since, 0, __ATOMIC_RELEASE);
}

/* The caller is in the cold path, and holds no lock of the allocator. The allocator takes its own while it answers, which
 * no handler may meet that allocates, forks or jumps away; where signals can't be blocked any more, it is not asked. */
static __attribute__((noinline)) void ask(struct hp_ledger *ledger)
{
    uint64_t before = 0;
    if (hp_region_is_sealed() || !hp_signals_block(&before))
        return;
    ask_unblocked(ledger);
    hp_signals_restore(before);
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
static void publish_glibc(struct hp_glibc *to, const struct hp_glibc *from)
{
    hp_words_store(to, from, offsetof(struct hp_glibc, arena));
    __atomic_store_n(&to->arena, from->arena, __ATOMIC_RELEASE);
}

/* glibc makes its structures as it needs them: while they aren't there they are looked for at the 1st, 2nd, 4th, 8th time. */
static bool find_glibc(void)
{
    struct hp_glibc found;
    uint32_t number = __atomic_add_fetch(&searches, 1, __ATOMIC_RELAXED);
    if (number & (number - 1) || !search(&found) || __atomic_exchange_n(&was_found, 1, __ATOMIC_RELAXED))
        return false;
    publish_glibc(&glibc, &found);
    return true;
}

/* No call, no lock; a word for each arena. */
static void load_glibc(struct hp_ledger *ledger)
{
    struct hp_heap_now *heap = &ledger->heap;
    uint64_t sys, mapped, now = hp_coarse_ns();
    if (now - __atomic_load_n(&heap->time_ns, __ATOMIC_RELAXED) < LOAD_EVERY_NS ||
        (!__atomic_load_n(&glibc.arena, __ATOMIC_ACQUIRE) && !find_glibc()))
        return;
    if (!__atomic_load_n(&heap->glibc.arena, __ATOMIC_RELAXED))
        publish_glibc(&heap->glibc, &glibc);
    hp_glibc_load(&glibc, &sys, &mapped);
    __atomic_store_n(&heap->sys, sys, __ATOMIC_RELAXED);
    __atomic_store_n(&heap->mapped, mapped, __ATOMIC_RELAXED);
    __atomic_store_n(&heap->time_ns, now, __ATOMIC_RELAXED);
}

void hp_figures_refresh(struct hp_ledger *ledger, bool now)
{
    if (hp_next.allocator == HP_ALLOCATOR_GLIBC) {
        if (hp_thread.cold_calls % LOAD_OF == 0 || !__atomic_load_n(&ledger->heap.time_ns, __ATOMIC_RELAXED))
            load_glibc(ledger);
    } else if (hp_thread.may_ask && (now || is_due(ledger)))
        ask(ledger);
}

void hp_figures_ask(struct hp_ledger *ledger, const void *frame_address, bool ending)
{
    struct hp_thread *thread = &hp_thread;
    uint64_t frames[128];
    struct hp_met met;
    if (!asks() || !hp_is_idle(thread) || thread->own_call)
        return;
    hp_busy_begin(thread);
    unsigned depth = hp_unwind(frame_address, frames, sizeof frames / sizeof *frames, &met);
    if (may_ask(frames, depth, &met, ending))
        ask(ledger);
    hp_busy_end(thread);
}

bool hp_figures_walk(struct hp_ledger *ledger, uint64_t budget_ns, struct hp_figures *figures)
{
    struct hp_ledger_view view;
    if (hp_next.allocator != HP_ALLOCATOR_GLIBC ||
        hp_ledger_view_open(&view, ledger, hp_library.region.store.chunks, ledger->size) < 0)
        return false;
    load_glibc(ledger); /* of a process without samples */
    void *work = hp_sys_mmap(NULL, hp_heap_work_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (!work)
        return false;
    bool done = hp_heap_walk(&view, "self", hp_library.pid, budget_ns, work, figures);
    hp_sys_munmap(work, hp_heap_work_size());
    if (done)
        publish(ledger, figures);
    return done;
}

void hp_figures_forked(void)
{
    __atomic_store_n(&asking_since, 0, __ATOMIC_RELEASE);
}
