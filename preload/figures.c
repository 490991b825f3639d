#include "figures.h"

#include <dlfcn.h>
#include <malloc.h>
#include <string.h>
#include <sys/auxv.h>

#include "ledger/sys.h"
#include "ledger/words.h"
#include "library.h"
#include "modules.h"
#include "next.h"
#include "sampler.h"

#define AGE_LEAST_NS 10000000ull
#define AGE_COSTS 500 /* the figures are kept for this many times what it took to read them */
#define COST_FIRST_NS 20000ull /* what that is taken to be, before it was measured */

#define JEMALLOC_FIRST_NS 20000000ull /* after the start */

static uint64_t due_at_ns; /* CLOCK_MONOTONIC; but for what was freed since */
static uint32_t reading;
static uint64_t cost_ns = COST_FIRST_NS; /* guarded by `reading` */

/* What was freed makes reading dearer, to an extent that shows only afterwards, with glibc's lock held. */
static uint64_t freed_cost_ns(void)
{
    return 0;
}

static void read_glibc(struct hp_figures *figures)
{
    struct mallinfo2 info = mallinfo2();
    figures->alloc = figures->inuse = info.uordblks + info.hblkhd;
    figures->sys = info.arena + info.hblkhd;
    figures->released = info.hblkhd;
    figures->released_known = 0;
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

/* mimalloc tells what it reserved only in a report for people: the line "  reserved:  PEAK  TOTAL  FREED  CURRENT ...".
 * The pieces come one by one. */
struct report {
    bool in_line;
    unsigned words;
    uint64_t reserved;
};

static uint64_t parse_amount(const char *text)
{
    uint64_t tenths = 0;
    bool point = false;
    unsigned decimals = 0;
    for (; (*text >= '0' && *text <= '9') || *text == '.'; text++) {
        if (*text == '.') {
            point = true;
        } else if (!point || decimals++ < 1) {
            tenths = tenths * 10 + (uint64_t)(*text - '0');
        }
    }
    if (!decimals)
        tenths *= 10;
    while (*text == ' ')
        text++;
    unsigned shift = *text == 'k' || *text == 'K' ? 10 : *text == 'm' || *text == 'M' ? 20 : *text == 'g' || *text == 'G' ? 30 : 0;
    return (tenths << shift) / 10;
}

static void read_report(const char *text, void *state)
{
    struct report *report = state;
    for (const char *p = text; *p; p++) {
        if (!strncmp(p, "reserved:", 9)) {
            report->in_line = true;
            report->words = 0;
            p += 8;
        } else if (*p == '\n') {
            report->in_line = false;
        } else if (report->in_line && *p >= '0' && *p <= '9') {
            if (++report->words == 4)
                report->reserved = parse_amount(p);
            while ((p[1] >= '0' && p[1] <= '9') || p[1] == '.')
                p++;
        }
    }
}

static void read_mimalloc(struct hp_figures *figures)
{
    size_t elapsed, user, sys, rss, peak_rss, commit = 0, peak_commit, faults;
    struct report report = {0};
    if (hp_next.mi_process_info)
        hp_next.mi_process_info(&elapsed, &user, &sys, &rss, &peak_rss, &commit, &peak_commit, &faults);
    if (hp_next.mi_stats_print_out)
        hp_next.mi_stats_print_out(read_report, &report);
    figures->alloc = 0;
    figures->estimated = 1;
    figures->inuse = commit;
    figures->sys = report.reserved > commit ? report.reserved : commit;
    figures->released = figures->sys - figures->inuse; /* reserved, not committed: never resident */
    figures->released_known = 1;
}

static void publish(struct hp_ledger *ledger, const struct hp_figures *figures)
{
    struct hp_figures *there = &ledger->figures;
    uint32_t version = __atomic_load_n(&there->version, __ATOMIC_RELAXED) | 1;
    __atomic_store_n(&there->version, version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    hp_words_store(&there->estimated, &figures->estimated, sizeof *figures - offsetof(struct hp_figures, estimated));
    __atomic_store_n(&there->version, version + 1, __ATOMIC_RELEASE);
}

static bool is_in_object_of(const struct dl_find_object *object, uintptr_t address)
{
    return address >= (uintptr_t)object->dlfo_map_start && address < (uintptr_t)object->dlfo_map_end;
}

/* The dynamic linker allocates for threads that are being made, and jemalloc makes threads while it holds the lock that
 * its figures need: redis's jemalloc-bg-thread would wait for itself for ever. */
static bool may_hold_locks(uintptr_t caller)
{
    struct dl_find_object object;
    return caller && hp_find_object(caller, &object) &&
           (is_in_object_of(&object, getauxval(AT_BASE)) ||
            (hp_next.allocator != HP_ALLOCATOR_GLIBC && is_in_object_of(&object, (uintptr_t)hp_next.malloc)));
}

/* jemalloc, when first asked, makes room for its answers: half a millisecond, which a short process can do without unless
 * it is to leave a profile by itself. */
static uint64_t first_due_ns(const struct hp_ledger *ledger)
{
    const struct hp_options *options = &hp_library.options;
    bool leaves_profiles = options->at_exit || options->every_ns || options->growth || options->trace_ns;
    return hp_next.allocator == HP_ALLOCATOR_JEMALLOC && !leaves_profiles ? ledger->start_clock_ns + JEMALLOC_FIRST_NS : 0;
}

static bool is_due(const struct hp_ledger *ledger)
{
    uint64_t due = __atomic_load_n(&due_at_ns, __ATOMIC_RELAXED);
    if (!due)
        due = first_due_ns(ledger);
    return hp_coarse_ns() >= due + AGE_COSTS * freed_cost_ns();
}

void hp_figures_refresh(struct hp_ledger *ledger, bool now)
{
    struct hp_figures figures = {0};
    if (!now && !is_due(ledger))
        return;
    if (may_hold_locks(hp_thread.caller))
        return;
    if (hp_next.allocator == HP_ALLOCATOR_UNKNOWN || __atomic_exchange_n(&reading, 1, __ATOMIC_ACQUIRE))
        return;
    uint64_t start = hp_clock_ns(CLOCK_MONOTONIC);
    uint64_t expected_ns = cost_ns + freed_cost_ns();
    /* The others do not allocate while they tell; what a signal handler allocates meanwhile is lost, and counted. */
    hp_thread.own_call = hp_next.allocator == HP_ALLOCATOR_TCMALLOC || hp_next.allocator == HP_ALLOCATOR_MIMALLOC;
    if (hp_next.allocator == HP_ALLOCATOR_JEMALLOC)
        read_jemalloc(ledger, &figures);
    else if (hp_next.allocator == HP_ALLOCATOR_TCMALLOC)
        read_tcmalloc(&figures);
    else if (hp_next.allocator == HP_ALLOCATOR_MIMALLOC)
        read_mimalloc(&figures);
    else
        read_glibc(&figures);
    hp_thread.own_call = false;
    figures.time_ns = hp_clock_ns(CLOCK_MONOTONIC);
    /* A thread that loses its processor in between seems to take long: believe in twice what was expected. */
    uint64_t cost = figures.time_ns - start;
    cost_ns = cost < 2 * expected_ns ? cost : 2 * expected_ns;
    if (cost_ns < COST_FIRST_NS)
        cost_ns = COST_FIRST_NS;
    if (figures.sys) { /* tcmalloc knows nothing before its constructors have run */
        publish(ledger, &figures);
        __atomic_store_n(&due_at_ns, figures.time_ns + AGE_LEAST_NS + AGE_COSTS * cost_ns, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&reading, 0, __ATOMIC_RELEASE);
}

void hp_figures_forked(void)
{
    __atomic_store_n(&reading, 0, __ATOMIC_RELEASE);
}
