/* snapshot.h - a ledger as a text profile. The same code serves the target itself, and the command that reads another
 * process's ledger, so it trusts no offset that it finds.
 *
 * No malloc, no stdio, no lock; async-signal-safe (the caller brings the scratch memory).
 */
#ifndef HP_LEDGER_SNAPSHOT_H
#define HP_LEDGER_SNAPSHOT_H

#include "ledger/resident.h"
#include "ledger/ledger_view.h"

/* The allocator's figures as they were last told, all of one moment. */
struct hp_figures hp_figures_read(const struct hp_ledger *ledger);
/* What to show: `fresh` if it was found out for this purpose, else those that were last told, else, and where these are
 * too old to stand beside HeapSys as samples know it, an estimate from `live` bytes at `clock_ns`. */
struct hp_figures hp_figures_shown(const struct hp_ledger *ledger, const struct hp_figures *fresh, uint64_t live,
                                   uint64_t clock_ns);

/* What a profile says that does not stand in the ledger. */
struct hp_moment {
    uint64_t time_ns;          /* Unix time */
    uint64_t clock_ns;         /* CLOCK_MONOTONIC, of the target */
    uint64_t own_ns;           /* CPU time the library spent */
    uint64_t max_rss;          /* bytes, 0 if unknown */
    struct hp_figures figures; /* found out just now; source HP_FIGURES_NONE: they were not */
    struct hp_resident resident;
    uint64_t resident_age_ns;
    const char *process; /* "self" or a number, in /proc; NULL: it is dead */
    uint32_t sequence;
};

/* Bytes of scratch memory that hp_snapshot_write needs now (rows may be added meanwhile: they are left out). */
uint64_t hp_snapshot_scratch_size(const struct hp_ledger_view *view);
/* Write the whole profile. Returns 0 or the sink's -errno, or -EBADMSG. `scratch` is 16-aligned. */
int hp_snapshot_write(const struct hp_ledger_view *view, const struct hp_moment *moment, struct hp_text *text,
                      void *scratch, uint64_t scratch_size);

/* The same of these rows only, with hp_snapshot_base_size() bytes of scratch memory. */
uint64_t hp_snapshot_base_size(const struct hp_ledger_view *view);
int hp_snapshot_write_rows(const struct hp_ledger_view *view, const struct hp_moment *moment,
                           const struct hp_entry_row *rows, uint64_t count, struct hp_text *text, void *scratch,
                           uint64_t scratch_size);

#endif
