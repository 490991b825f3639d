/* snapshot.h - a ledger as a text profile. The same code serves the target itself, and the command that reads another
 * process's ledger, so it trusts no offset that it finds.
 *
 * No malloc, no stdio, no lock; async-signal-safe (the caller brings the scratch memory).
 */
#ifndef HP_LEDGER_SNAPSHOT_H
#define HP_LEDGER_SNAPSHOT_H

#include "ledger/ledger.h"
#include "ledger/resident.h"
#include "ledger/text.h"

/* A checked way into a ledger: its layout is copied once, so that a hostile writer cannot change it under us. */
struct hp_ledger_view {
    const struct hp_ledger *ledger;
    struct hp_layout layout;
    uint64_t size; /* bytes mapped */
};

/* 0; -EINVAL: no ledger; -EPROTONOSUPPORT: of another version; -EBADMSG: damaged. */
int hp_ledger_view_open(struct hp_ledger_view *view, const void *memory, uint64_t size);

/* An entry as it goes into the profile. */
struct hp_entry_row {
    struct hp_counts counts; /* as sampled, or converted to the profile's interval */
    struct hp_counts drawn;  /* as sampled */
    uint64_t interval;       /* that they were sampled at, bytes */
    hp_offset stack;
};

/* Calls `visit` for each entry, in no order, until it returns false. */
void hp_ledger_view_each(const struct hp_ledger_view *view, bool (*visit)(void *state, const struct hp_entry *entry),
                         void *state);

/* As hp_live_each, of a ledger that is not trusted; `data` may be of no object, then. */
void hp_ledger_view_live(const struct hp_ledger_view *view,
                         void (*visit)(void *state, uint64_t address, const struct hp_live_data *data), void *state);

/* 1 - exp(-size / interval); 1 if everything is sampled. Both in bytes. */
double hp_probability(double size, double interval);

/* All entries together, each scaled by the interval that it was sampled at. */
struct hp_ledger_estimate {
    double live, live_error; /* bytes; half-width of the 95 % interval, by the formulas of src/profile/scale.c */
    double alloc;            /* bytes, ever */
};
/* Half-width of the 95 % interval: of a sum of estimates with this variance, and sum of the squares of their variances. */
double hp_error_of(double variance, double variance_squares);
struct hp_ledger_estimate hp_ledger_view_estimate(const struct hp_ledger_view *view);

/* The allocator's figures as they were last told, all of one moment. */
struct hp_figures hp_figures_read(const struct hp_ledger *ledger);
/* What to show: `fresh` if it was found out for this purpose, else those that were last told, else, and where these are
 * too old to stand beside HeapSys as samples know it, an estimate from `live` bytes at `clock_ns`. */
struct hp_figures hp_figures_shown(const struct hp_ledger *ledger, const struct hp_figures *fresh, uint64_t live,
                                   uint64_t clock_ns);

/* What a profile says that does not stand in the ledger. */
struct hp_moment {
    uint64_t time_ns;  /* Unix time */
    uint64_t clock_ns; /* CLOCK_MONOTONIC, of the target */
    uint64_t own_ns;   /* CPU time the library spent */
    uint64_t max_rss;  /* bytes, 0 if unknown */
    struct hp_figures figures; /* found out just now; source HP_FIGURES_NONE: they were not */
    struct hp_resident resident;
    uint64_t resident_age_ns;
    const char *process; /* "self" or a number, in /proc; NULL: it is dead */
    uint32_t sequence;
};

/* Bytes of scratch memory that hp_ledger_view_write needs now (entries may be added meanwhile: they are left out). */
uint64_t hp_ledger_view_scratch_size(const struct hp_ledger_view *view);
/* Write the whole profile. Returns 0 or the sink's -errno, or -EBADMSG. `scratch` is 16-aligned. */
int hp_ledger_view_write(const struct hp_ledger_view *view, const struct hp_moment *moment, struct hp_text *text, void *scratch,
                  uint64_t scratch_size);

/* The same of these rows only, with hp_ledger_view_base_size() bytes of scratch memory. */
uint64_t hp_ledger_view_base_size(void);
int hp_ledger_view_write_rows(const struct hp_ledger_view *view, const struct hp_moment *moment,
                              const struct hp_entry_row *rows, uint64_t count, struct hp_text *text, void *scratch,
                              uint64_t scratch_size);
/* At most so many entries are there now. */
uint64_t hp_ledger_view_entries(const struct hp_ledger_view *view);

/* Nanoseconds for a number of hp_ticks(), from the ledger's start and now. */
uint64_t hp_ticks_to_ns(const struct hp_ledger *ledger, uint64_t ticks, uint64_t now_ticks, uint64_t now_clock_ns);

#endif
