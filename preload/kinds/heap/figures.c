#include "kinds/heap/figures.h"

#include <dlfcn.h>
#include <stddef.h>
#include <sys/auxv.h>

#include "allocators/next.h"
#include "base/sys.h"
#include "base/atomic_copy.h"
#include "process/busy.h"
#include "process/library.h"
#include "process/thread.h"
#include "unwind/modules.h"
#include "unwind/stack.h"

#define AGE_LEAST_NS 10000000ull
#define AGE_COSTS 500                 /* the figures are kept for this many times what it took to read them */
#define COST_FIRST_NS 20000ull        /* what that is taken to be, before it was measured */
#define ASKING_MOST_NS 10000000000ull /* who asks for longer has jumped away from it, by a signal handler */
#define ASKING_STACK (16u << 10)
#define LOAD_OF 8 /* samples: to look at the clock at each would take longer */

static uint64_t due_at_ns;               /* CLOCK_MONOTONIC */
static uint64_t asking_since;            /* CLOCK_MONOTONIC; 0: nobody asks */
static uint64_t cost_ns = COST_FIRST_NS; /* guarded by `asking_since` */

/* As exact as it may be. */
static uint64_t now_ns(void)
{
    return hp_library_may_time() ? hp_fine_ns() : hp_coarse_ns();
}

static void publish(struct hp_ledger *ledger, const struct hp_figures *figures)
{
    struct hp_figures *there = &ledger->figures;
    uint32_t version = __atomic_load_n(&there->version, __ATOMIC_RELAXED) | 1;
    __atomic_store_n(&there->version, version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    hp_atomic_copy_in(&there->source, &figures->source, sizeof *figures - offsetof(struct hp_figures, source));
    __atomic_store_n(&there->version, version + 1, __ATOMIC_RELEASE);
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

static uint64_t first_due_ns(const struct hp_ledger *ledger)
{
    const struct hp_options *options = &hp_library.options;
    bool leaves_profiles = options->at_exit || options->every_ns || options->growth || options->trace_ns;
    const uint64_t after = hp_next.allocator->first_ask_ns;
    return leaves_profiles || !after ? 0 : ledger->start_clock_ns + after;
}

static bool is_due(const struct hp_ledger *ledger)
{
    uint64_t due = __atomic_load_n(&due_at_ns, __ATOMIC_RELAXED);
    return hp_coarse_ns() >= (due ? due : first_due_ns(ledger));
}

void hp_figures_weigh(const struct hp_ledger *ledger, const uint64_t *frames, unsigned depth, const struct hp_met *met)
{
    hp_thread.may_ask =
        hp_next.allocator->ask && (is_due(ledger) || hp_library.options.trace_ns) && may_ask(frames, depth, met, false);
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
    /* It may allocate while it tells: nothing of the target's. */
    hp_thread.own_call = true;
    hp_next.allocator->ask(&figures, ledger->allocator, sizeof ledger->allocator);
    hp_thread.own_call = false;
    figures.time_ns = now_ns();
    /* A thread that loses its processor in between seems to take long: believe in twice what was expected. */
    uint64_t cost = figures.time_ns - start;
    cost_ns = cost < 2 * cost_ns ? cost : 2 * cost_ns;
    if (cost_ns < COST_FIRST_NS)
        cost_ns = COST_FIRST_NS;
    if (figures.sys) {
        publish(ledger, &figures);
        __atomic_store_n(&due_at_ns, figures.time_ns + AGE_LEAST_NS + AGE_COSTS * cost_ns, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&asking_since, 0, __ATOMIC_RELEASE);
}

/* The caller is in the cold path, and holds no lock of the allocator. The allocator takes its own while it answers,
 * which no handler may meet that allocates, forks or jumps away; where signals can't be blocked any more, it is not
 * asked. */
static __attribute__((noinline)) void ask(struct hp_ledger *ledger)
{
    uint64_t before = 0;
    if (hp_region_is_sealed() || !hp_signals_block(&before))
        return;
    ask_unblocked(ledger);
    hp_signals_restore(before);
}

void hp_figures_refresh(struct hp_ledger *ledger, bool now)
{
    const struct hp_allocator *allocator = hp_next.allocator;
    if (allocator->load &&
        (hp_thread.cold_calls % LOAD_OF == 0 || !__atomic_load_n(&ledger->heap.time_ns, __ATOMIC_RELAXED)))
        allocator->load(ledger);
    if (hp_thread.may_ask && (now || is_due(ledger)))
        ask(ledger);
}

void hp_figures_ask(struct hp_ledger *ledger, const void *frame_address, bool ending)
{
    struct hp_thread *thread = &hp_thread;
    uint64_t frames[128];
    struct hp_met met;
    if (!hp_next.allocator->ask || !hp_is_idle(thread) || thread->own_call)
        return;
    hp_busy_begin(thread);
    unsigned depth = hp_unwind(frame_address, frames, sizeof frames / sizeof *frames, &met);
    if (may_ask(frames, depth, &met, ending))
        ask(ledger);
    hp_busy_end(thread);
}

bool hp_figures_walk(struct hp_ledger *ledger, uint64_t budget_ns, struct hp_figures *figures)
{
    const struct hp_allocator *allocator = hp_next.allocator;
    if (!allocator->walk || !allocator->walk(&hp_library.region.store, hp_library.pid, budget_ns, figures))
        return false;
    publish(ledger, figures);
    return true;
}

void hp_figures_forked(void)
{
    __atomic_store_n(&asking_since, 0, __ATOMIC_RELEASE);
}
