/* profile.h - a heap profile in memory: what every reader makes, and every report and writer uses.
 *
 * Terms
 *   location  a code address: (module, file offset), or an absolute address when it lies in no module; with the lines
 *             of source that it stands for when they are known (several for inlined calls, innermost first)
 *   sample    one entry of a profile: a stack of locations with the counters of its sampled objects, all of one size
 *             class (so that size = bytes / objects scales them without bias)
 *   raw       as sampled; estimate: scaled up to what the program did, with its variance
 *   fact      a `# name = value` line of the text format (HeapInuse and the like)
 *
 * Invariants
 *   sample.first + sample.depth <= frame_count;  frames[i] < location_count
 *   location.module < module_count, or HP_NO_MODULE
 *   0 <= live <= alloc in the counts of each sample (differences are made of estimates, never of samples)
 *   all strings are interned: equal strings of one profile are the same pointer
 *
 * Ownership: a profile owns all that it points to; hp_profile_free frees it all. Not thread-safe.
 * Errors: functions that can fail return 0 or -errno and, where they take a `struct hp_error *`, say in one line what
 * is wrong and where (file, line or byte). Only src/cli prints.
 */
#ifndef HP_PROFILE_PROFILE_H
#define HP_PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text_writer.h"

struct hp_error {
    char text[1024]; /* without "heapprof: " and without a newline */
};

/* printf into error->text (if error is not NULL) and return `code`, which is negative. */
int hp_error_set(struct hp_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

enum hp_sample_type { HP_INUSE_SPACE, HP_INUSE_OBJECTS, HP_ALLOC_SPACE, HP_ALLOC_OBJECTS, HP_SAMPLE_TYPES };
extern const char *const hp_sample_type_names[HP_SAMPLE_TYPES]; /* "inuse_space", ... */
extern const char *const hp_sample_type_units[HP_SAMPLE_TYPES]; /* "bytes" or "count" */

/* The type of that name, or of the name that others gave it (space, inuse-space, Unreleased malloc size); or
 * HP_SAMPLE_TYPES. */
enum hp_sample_type hp_sample_type_named(const char *name);
struct hp_profile;
/* What a report is of when nobody says: the profile's own wish, or else inuse_space. */
enum hp_sample_type hp_profile_default_type(const struct hp_profile *profile);

#define HP_NO_MODULE UINT32_MAX
/* What stands for the stack of samples without locations, whose stacks a ledger without room for more did not keep: in
 * reports, and in profile.proto, whose readers leave out what has no function. */
#define HP_NO_STACK "(stack not kept)"

struct hp_module {
    uint64_t start, limit; /* addresses of this mapping in the profiled process, [start, limit) */
    uint64_t offset;       /* of `start` in the file */
    const char *path;      /* "" if unknown */
    const char *build_id;  /* lower-case hex, "" if unknown */
};

struct hp_line {
    const char *function;  /* as a person reads it (demangled); never NULL, "" if unknown */
    const char *linkage;   /* the name in the symbol table, "" if unknown or the same */
    const char *file;      /* "" if unknown */
    uint32_t line;         /* 0 if unknown */
    uint32_t start_line;   /* of the function, 0 if unknown */
    uint64_t entry_offset; /* location address minus the function's entry address, 0 if unknown */
};

struct hp_location {
    uint64_t address; /* the call itself: return address less one, in the profiled process */
    uint64_t offset;  /* of it in the module's file: address - module.start + module.offset */
    uint32_t module;  /* index, or HP_NO_MODULE */
    uint32_t line_count;
    struct hp_line *lines; /* innermost (inlined) call first; NULL until symbolized */
    bool symbolized;       /* lines were looked up, or came with the file; line_count may still be 0 */
};

struct hp_sample {
    size_t first; /* index into frames: the innermost location */
    uint32_t depth;
    struct hp_counts counts; /* raw */
    double interval;         /* when not the profile's: that of counts; 0 otherwise */
    /* When profile.prescaled, or interval is not 0: the file's own figures, scaled or converted to the profile's
     * interval. */
    double live_objects, live_bytes, alloc_objects, alloc_bytes;
};

struct hp_fact {
    const char *name, *value;
    uint32_t group; /* neighbours of one group stand in one `# heapprof: a=1 b=2` line; 0: a line of its own */
};

struct hp_profile {
    const char *name; /* the file's, for messages */
    /* Mean bytes between samples; objects of size s are sampled with p = 1 - exp(-s / interval).
     * 1 or less: exact, nothing to scale. */
    double interval;
    bool mixed; /* the interval was changed: some samples have one of their own, which may be coarser */
    /* Read from a profile.proto of someone else, whose figures are scaled already, or merged from different intervals.
     * The estimates are then the file's figures, and `counts` holds the raw ones, as far as they can be told (label
     * "bytes" and the period). A profile.proto that heapprof wrote becomes what it was made from again. */
    bool prescaled;
    /* The entries of the file have so many allocated objects less than its first line tells: it is cut off. */
    uint64_t missing_objects;
    bool delta;               /* made by hp_profile_delta: prescaled, and the figures of its samples may be below 0 */
    int64_t duration_ns;      /* of a delta, between the two; otherwise 0 */
    const char *default_type; /* profile.proto's default_sample_type; "" otherwise */

    struct hp_module *modules;
    size_t module_count;
    struct hp_location *locations;
    size_t location_count;
    uint32_t *frames; /* location indices of all stacks */
    size_t frame_count;
    struct hp_sample *samples;
    size_t sample_count;
    struct hp_fact *facts; /* in the file's order */
    size_t fact_count;
    int64_t time_ns; /* when it was taken, Unix time; 0 if unknown */
    int live_pid;    /* the process that it was just read from, by this machine's numbers; 0: from a file, or merged */

    struct hp_profile_private *private; /* intern tables, capacities */
};

struct hp_profile *hp_profile_new(const char *name);
void hp_profile_free(struct hp_profile *profile);

const char *hp_profile_intern(struct hp_profile *profile, const char *string);
const char *hp_profile_intern_bytes(struct hp_profile *profile, const char *data, size_t size);
/* The building blocks of readers and of merge. All die with a message on standard error and exit status 1 when memory
 * runs out (hp_alloc in profile/alloc.h); indices, not pointers, stay valid while the profile grows. */
uint32_t hp_profile_add_module(struct hp_profile *profile, const struct hp_module *module);
/* The location of this call address (return address less one): found if known, added if not. After all modules are
 * there, hp_profile_resolve_modules fills in module and offset of all locations. */
uint32_t hp_profile_add_location(struct hp_profile *profile, uint64_t address);
void hp_profile_resolve_modules(struct hp_profile *profile);
void hp_profile_set_lines(struct hp_profile *profile, uint32_t location, const struct hp_line *lines, size_t count);
struct hp_sample *hp_profile_add_sample(struct hp_profile *profile, const uint32_t *locations, size_t depth,
                                        const struct hp_counts *counts);
/* Facts of the usual `# heapprof:` lines get their group by name. "heapprof.time" and "heapprof.time_ns" set time_ns.
 * At most 4096 facts of 8 KiB are kept. */
void hp_profile_add_fact(struct hp_profile *profile, const char *name, const char *value);
/* NULL if the profile has no such fact. `heapprof: a=1 b=2` lines give facts named "heapprof.a", "heapprof.b". */
const char *hp_profile_fact(const struct hp_profile *profile, const char *name);
/* Both were taken from the same run of one process: the facts heapprof.pid, heapprof.exe and heapprof.start are there
 * and equal. Their surviving samples are then shared. */
bool hp_profile_same_process(const struct hp_profile *a, const struct hp_profile *b);

/* The name that the profiled program was started by; NULL if the profile does not say. */
const char *hp_profile_program(const struct hp_profile *profile);

/* An estimate: value, its variance, and how many samples it rests on. Estimates of disjoint samples add up. */
struct hp_estimate {
    double value, variance;
    uint64_t samples;
    double variance_squares; /* sum of the squared variances of the single samples; 0: not known, then all are alike */
};

/* No sampling noise in it: every allocation was recorded. */
static inline bool hp_profile_exact(const struct hp_profile *profile)
{
    return profile->interval <= 1 && !profile->mixed;
}

static inline double hp_sample_interval(const struct hp_profile *profile, const struct hp_sample *sample)
{
    return sample->interval > 0 ? sample->interval : profile->interval;
}

/* The estimate of one sample (docs/statistics.md): for n objects of mean size s,
 *   bytes  n s / p,  variance n s^2 (1-p) / p^2
 *   objects  n / p,  variance n (1-p) / p^2          p = 1 - exp(-s / interval)
 * raw: the sampled figures themselves, variance 0. */
struct hp_estimate hp_sample_estimate(const struct hp_profile *profile, const struct hp_sample *sample,
                                      enum hp_sample_type type, bool raw);
void hp_estimate_add(struct hp_estimate *sum, const struct hp_estimate *term);
/* Of all samples, scaled. */
struct hp_estimate hp_profile_total(const struct hp_profile *profile, enum hp_sample_type type);
/* Half-width of the 95 % interval. For few samples the normal approximation is too narrow; the formula and its source
 * stand in scale.c. */
double hp_estimate_error(const struct hp_estimate *estimate);

/* Reading: any format of docs/dump-format.md (heapprof, Go debug=1, gperftools, jemalloc heap_v2, profile.proto),
 * plain or gzip, told by content. Returns 0 and *profile, or -errno and *error with file and line or byte. Only
 * executable mappings are kept; the address inside the library's malloc (`# heapprof.front`) with which the stacks of
 * older dumps begin is taken off. */
int hp_profile_read(const char *path, struct hp_profile **profile, struct hp_error *error);
int hp_profile_read_memory(const char *name, const void *data, size_t size, struct hp_profile **profile,
                           struct hp_error *error);

/* One profile with the samples of all, locations joined by (build id, or else path, and file offset), without a module
 * by address and function. Modules whose addresses are taken by another one get new ones. Profiles of different
 * intervals: the result is prescaled. Facts that are byte or object counters (HeapInuse, Mallocs, ...) are added up, of
 * MaxRSS the largest is kept, others where all are equal. time_ns is the latest. */
int hp_profile_merge(const struct hp_profile *const *profiles, size_t count, struct hp_profile **merged,
                     struct hp_error *error);

/* What changed from `before` to `after`, stack by stack, with the facts of `after`. Only for
 * hp_profile_write_proto: its readers add figures up, of whichever sign. Both are changed on the way, and are of no
 * more use. */
int hp_profile_delta(struct hp_profile *before, struct hp_profile *after, struct hp_profile **delta,
                     struct hp_error *error);

/* Writing. Text is written through base/text_writer.h; `with_lines` adds Go's debug=1 symbol lines. A prescaled
 * profile is written as an exact one (heapprofile), with its scaled figures. Both return 0 or the sink's error. */
int hp_profile_write_text(const struct hp_profile *profile, bool with_lines, hp_sink_fn *sink, void *sink_state);
/* gzip-compressed profile.proto, as its readers want it (docs/dump-format.md). */
int hp_profile_write_proto(const struct hp_profile *profile, hp_sink_fn *sink, void *sink_state);

#endif
