#include "kinds/heap/trace.h"

#include "arch/arch.h"
#include "base/decimal.h"
#include "kinds/heap/figures.h"
#include "ledger/snapshot.h"
#include "base/sys.h"
#include "process/complain.h"
#include "process/library.h"

#define MIB 1048576.0
#define WALK_NS 1000000ull /* at most, for HeapInuse and HeapIdle */

/* All but `tracing` and `due_ns` is guarded by `tracing`. */
static uint32_t tracing;             /* 1: a thread is at it; others leave the line to it */
static uint64_t due_ns;              /* CLOCK_MONOTONIC; 0: one period after the start */
static uint64_t number;              /* of the last line */
static uint64_t last_ns;             /* CLOCK_MONOTONIC of the last line; 0: the start */
static double last_live, last_alloc; /* bytes, as of the last line */

struct line {
    char text[256]; /* the longest, of numbers of 20 digits, has less */
    size_t used;
};

static void put(struct line *line, const char *text)
{
    while (*text && line->used < sizeof line->text)
        line->text[line->used++] = *text++;
}

static void put_whole(struct line *line, uint64_t value, unsigned least_digits)
{
    char digits[HP_DECIMAL_MOST + 1];
    digits[hp_put_decimal(digits, value, least_digits)] = '\0';
    put(line, digits);
}

/* One decimal; none from 100 up, where nobody reads it. */
static void put_short(struct line *line, double value)
{
    uint64_t tenths = value > 0 ? value < 1e15 ? (uint64_t)(value * 10 + 0.5) : (uint64_t)1e16 : 0;
    put_whole(line, tenths >= 1000 ? (tenths + 5) / 10 : tenths / 10, 1);
    if (tenths < 1000) {
        put(line, ".");
        put_whole(line, tenths % 10, 1);
    }
}

/* The library's part of the process's CPU time, in percent. */
static double own_share(const struct hp_ledger *ledger)
{
    const struct hp_audit audit = hp_audit_read(ledger);
    uint64_t own = hp_audit_own_ns(&audit), all = hp_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    return own < all ? 100.0 * (double)own / (double)all : 100;
}

static void write_line(struct hp_ledger *ledger, uint64_t now)
{
    struct hp_ledger_view view;
    struct line line = {.used = 0};
    if (hp_ledger_view_open(&view, ledger, hp_library.region.store.chunks, ledger->size) < 0)
        return;
    struct hp_ledger_estimate estimate = hp_ledger_view_estimate(&view);
    struct hp_figures figures = {.source = HP_FIGURES_NONE};
    if (!hp_figures_walk(ledger, WALK_NS, &figures) || figures.error > figures.inuse / 4)
        figures.source = HP_FIGURES_NONE;
    figures = hp_figures_shown(ledger, &figures, (uint64_t)estimate.live, now);
    uint64_t since_start = now - ledger->start_clock_ns;
    double seconds = (double)(now - (last_ns ? last_ns : ledger->start_clock_ns)) / 1e9;
    double idle = figures.sys > figures.inuse ? (double)(figures.sys - figures.inuse) : 0;
    put(&line, "heapprof ");
    put_whole(&line, ++number, 1);
    put(&line, " @");
    put_whole(&line, since_start / 1000000000, 1);
    put(&line, ".");
    put_whole(&line, since_start / 1000000 % 1000, 3);
    put(&line, "s: ");
    put_short(&line, last_live / MIB);
    put(&line, "->");
    put_short(&line, estimate.live / MIB);
    put(&line, " MiB live (est. \u00b1");
    put_short(&line, estimate.live_error / MIB);
    put(&line, "), ");
    put_short(&line, (double)figures.inuse / MIB);
    put(&line, " MiB inuse, ");
    put_short(&line, idle / MIB);
    put(&line, " MiB idle, ");
    put_short(&line, seconds > 0 ? (estimate.alloc - last_alloc) / seconds / MIB : 0);
    put(&line, " MiB/s allocated, ");
    put_short(&line, own_share(ledger));
    put(&line, "% cpu\n");
    hp_say(line.text, line.used);
    last_live = estimate.live;
    last_alloc = estimate.alloc;
    last_ns = now;
}

static __attribute__((noinline)) void trace(struct hp_ledger *ledger, uint64_t now)
{
    const uint32_t kept = hp_float_begin();
    write_line(ledger, now);
    hp_float_end(kept);
}

void hp_trace_trigger(struct hp_ledger *ledger)
{
    uint64_t period = hp_library.options.trace_ns;
    if (!period)
        return;
    uint64_t due = __atomic_load_n(&due_ns, __ATOMIC_RELAXED);
    if (hp_coarse_ns() < (due ? due : ledger->start_clock_ns + period) ||
        __atomic_exchange_n(&tracing, 1, __ATOMIC_ACQUIRE))
        return;
    uint64_t now = hp_coarse_ns(); /* a line says milliseconds */
    due = __atomic_load_n(&due_ns, __ATOMIC_RELAXED);
    if (now >= (due ? due : ledger->start_clock_ns + period)) { /* else another thread has just written it */
        hp_figures_refresh(ledger, true);
        trace(ledger, now);
        __atomic_store_n(&due_ns, now + period, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&tracing, 0, __ATOMIC_RELEASE);
}

void hp_trace_forked(void)
{
    last_ns = 0;
    last_live = last_alloc = 0;
    number = 0;
    __atomic_store_n(&tracing, 0, __ATOMIC_RELEASE);
}
