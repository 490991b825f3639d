/* view.h - a ledger that is read and not trusted: the target's own, another process's, or a dead one's.
 *
 * Every offset that is found is checked, and unreserved blocks are never touched: they are holes in the file. Counters
 * are read while writers go on; a row whose slot went to another one meanwhile is left out, and rows that are being
 * folded are counted once (ledger.h).
 *
 * No malloc, no stdio, no lock, no libm; async-signal-safe.
 */
#ifndef HP_LEDGER_LEDGER_VIEW_H
#define HP_LEDGER_LEDGER_VIEW_H

#include "ledger/ledger.h"
#include "base/text_writer.h"

/* Where the tables stand is copied, so that a hostile writer cannot change it under us. */
struct hp_ledger_view {
    const struct hp_ledger *ledger;
    char *const *chunks; /* as in hp_store */
    uint64_t size;       /* bytes of the file that are mapped */
    struct hp_bucket_level buckets[HP_BUCKET_LEVELS];
    struct hp_live_level live[HP_LIVE_LEVELS];
    struct hp_journal journal;
};

/* 0; -EINVAL: no ledger; -EPROTONOSUPPORT: of another version; -EBADMSG: damaged. `chunks` NULL: it lies in one piece
 * of `size` bytes. */
int hp_ledger_view_open(struct hp_ledger_view *view, const struct hp_ledger *ledger, char *const *chunks,
                        uint64_t size);
/* Tables that were made since are seen as well. */
void hp_ledger_view_refresh(struct hp_ledger_view *view);

/* `size` readable bytes at this byte offset, or NULL. */
const void *hp_ledger_view_bytes(const struct hp_ledger_view *view, uint64_t at, uint64_t size);

/* A row's counters and key as they were at one moment. */
struct hp_row_reading {
    hp_offset row;
    uint64_t life; /* DEAD and generation of its slot */
    uint64_t hash, interval;
    struct hp_tally alloc, freed;
    uint16_t size_class;
    uint8_t kind, folded;
};

/* Calls `visit` for each row, in no order, until it returns false. Folds that come in between may have rows counted
 * twice or not at all: *view tells before and after (hp_ledger_view_folds). */
void hp_ledger_view_each(const struct hp_ledger_view *view,
                         bool (*visit)(void *state, const struct hp_row_reading *reading), void *state);
/* Changes with each fold that begins or ends. */
uint64_t hp_ledger_view_folds(const struct hp_ledger_view *view);

/* The frames of a row, innermost first, into frames[HP_DEPTH_MAX]; how many. 0 also when its slot is another row's now.
 * */
unsigned hp_ledger_view_frames(const struct hp_ledger_view *view, hp_offset row, uint64_t life, uint64_t *frames);

/* As hp_live_each; `data` may be of no object where the ledger is damaged. */
void hp_ledger_view_live(const struct hp_ledger_view *view,
                         void (*visit)(void *state, uint64_t address, const struct hp_live_data *data), void *state);
/* The interval of the row that a live object belongs to; 0: there is no such row. */
uint64_t hp_ledger_view_interval_of(const struct hp_ledger_view *view, hp_offset row);

/* The module of this index, or NULL. */
const struct hp_ledger_module *hp_ledger_view_module(const struct hp_ledger_view *view, uint32_t index);
uint32_t hp_ledger_view_module_count(const struct hp_ledger_view *view);
/* The kernel's number of a thread; 0: not known. */
uint32_t hp_ledger_view_tid(const struct hp_ledger_view *view, uint32_t number);

/* The interval that a profile is given in: the one in force, or, when sampling is off, the last one that was. */
uint64_t hp_ledger_view_interval(const struct hp_ledger_view *view);
/* At most so many rows are there now. */
uint64_t hp_ledger_view_row_count(const struct hp_ledger_view *view);

/* A row as it goes into a profile. */
struct hp_entry_row {
    struct hp_counts counts; /* as sampled, or converted to the profile's interval */
    struct hp_counts drawn;  /* as sampled */
    uint64_t interval;       /* that they were sampled at, bytes */
    uint64_t hash;           /* the same for the same kind, stack, class and interval, as long as the target lives */
    uint64_t life;           /* of its slot, for hp_ledger_view_frames */
    hp_offset row;
};

/* All rows that anything was ever counted in, at most `most`, in the profile's interval; how many. */
uint64_t hp_rows_collect(const struct hp_ledger_view *view, struct hp_entry_row *rows, uint64_t most);
/* By live bytes, then allocated bytes, descending. */
void hp_rows_sort(struct hp_entry_row *rows, uint64_t count);
/* Have the processor fetch what will be read in a moment: rows lie in the order in which they were made, and are read
 * in another. Any offset will do. HP_AHEAD: so many rows before. */
#define HP_AHEAD 32
void hp_ledger_view_expect(const struct hp_ledger_view *view, hp_offset row);

/* 1 - exp(-size / interval); 1 if everything is sampled. Both in bytes. */
double hp_probability(double size, double interval);
/* Add the estimates of what `raw_objects` samples with `raw_bytes` in all stand for. */
void hp_add_scaled(double *bytes, double *objects, uint64_t raw_bytes, uint64_t raw_objects, double interval);
/* As a whole number; what does not fit becomes the largest that does. */
uint64_t hp_whole(double value);

/* All rows together, each scaled by the interval that it was sampled at. */
struct hp_ledger_estimate {
    double live, live_error; /* bytes; half-width of the 95 % interval, by the formulas of src/profile/scale.c */
    double alloc;            /* bytes, ever */
};
struct hp_ledger_estimate hp_ledger_view_estimate(const struct hp_ledger_view *view);
/* Half-width of the 95 % interval: of a sum of estimates with this variance, and sum of the squares of their variances.
 * */
double hp_error_of(double variance, double variance_squares);

#endif
