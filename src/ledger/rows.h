/* rows.h - the entries of a ledger, read with care, scaled and sorted: what a profile is written from.
 *
 * Internal to src/ledger. Async-signal-safe; floating point without libm.
 */
#ifndef HP_LEDGER_ROWS_H
#define HP_LEDGER_ROWS_H

#include "ledger/snapshot.h"

/* `size` readable bytes at `at`, or NULL. Unreserved blocks are never touched: they are holes in the file. */
const void *hp_ledger_view_bytes(const struct hp_ledger_view *view, uint64_t at, uint64_t size);
/* A record of this kind with at least `size` bytes, or NULL. */
const void *hp_ledger_view_record(const struct hp_ledger_view *view, hp_offset offset, enum hp_record_kind kind,
                                  uint64_t size);

/* Have the processor fetch what will be read in a moment: records lie in the order in which they were made, and are read in
 * another. Any offset will do. HP_AHEAD: so many records before. */
#define HP_AHEAD 32
void hp_ledger_view_expect(const struct hp_ledger_view *view, hp_offset offset);

/* The interval that the profile is given in: the one in force, or, when sampling is off, the last one that was. */
uint64_t hp_ledger_view_interval(const struct hp_ledger_view *view);

/* At most `most` entries, in the profile's interval; returns how many. */
uint64_t hp_rows_collect(const struct hp_ledger_view *view, struct hp_entry_row *rows, uint64_t most);
/* By live bytes, then allocated bytes, descending. */
void hp_rows_sort(struct hp_entry_row *rows, uint64_t count);

/* Add the estimates of what `raw_objects` samples with `raw_bytes` in all stand for. */
void hp_add_scaled(double *bytes, double *objects, uint64_t raw_bytes, uint64_t raw_objects, double interval);
/* As a whole number; what does not fit becomes the largest that does. */
uint64_t hp_whole(double value);

#endif
