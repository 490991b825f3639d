/* view.h - stacks as reports show them.
 *
 * Terms
 *   frame  one line of source (or one bare address) of a stack; a location of inlined calls stands for several frames
 *   row    what a report adds up by: a function, a file, a line or an address, by the granularity asked for
 *   site   one (row, file, line): tells which line of a function allocates most
 *
 * Rows are identified by name, never by address, so that the rows of profiles of different runs meet: an address is
 * (build id or path, offset in the file).
 *
 * From the stack of a sample to that of a report: inlined calls are expanded; the allocator's own frames at the
 * innermost end are dropped (the outermost of them stays if there is nothing else; all stay with --show, which can ask
 * for them); samples without a stack get one of a frame, HP_NO_STACK; --focus and --ignore choose samples; --hide and
 * --show choose frames. A regular expression matches a frame by its function, its file or its module's path.
 */
#ifndef HP_REPORT_CORE_VIEW_H
#define HP_REPORT_CORE_VIEW_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"
#include "report/core/names.h"

enum hp_granularity { HP_BY_FUNCTION, HP_BY_FILE, HP_BY_LINE, HP_BY_ADDRESS, HP_GRANULARITIES };
extern const char *const hp_granularity_names[HP_GRANULARITIES]; /* "functions", ... */

struct hp_view_options {
    enum hp_granularity granularity;
    const char *focus, *ignore, *hide, *show; /* POSIX extended regular expressions, or NULL */
};

struct hp_filter {
    regex_t focus, ignore, hide, show;
    bool has_focus, has_ignore, has_hide, has_show;
};

/* -EINVAL and *error when an expression is none. */
int hp_filter_compile(struct hp_filter *filter, const struct hp_view_options *options, struct hp_error *error);
void hp_filter_free(struct hp_filter *filter);

/* What a row or a site is called. The strings belong to the hp_places. */
struct hp_place {
    const char *label;    /* as a table shows it: function, file, function and line, address and function */
    const char *function; /* "" for files */
    const char *file;     /* "" if unknown */
    uint32_t line;        /* 0 if unknown */
    uint32_t row;         /* of a site: the row that it belongs to */
};

/* Rows and sites, common to all the profiles of one report. */
struct hp_places {
    struct hp_names row_names, site_names, strings;
    struct hp_place *rows, *sites;
    size_t row_capacity, site_capacity;
};
void hp_places_free(struct hp_places *places);

struct hp_frame {
    uint32_t row, site; /* numbers in hp_places */
    uint32_t location;
    uint32_t line; /* index into the location's lines; UINT32_MAX: a bare address */
    bool inlined;  /* into the next frame outwards */
    bool allocator, focused, ignored, hidden;
};

struct hp_view {
    const struct hp_profile *profile;
    size_t *first; /* location_count + 1: the frames of location i are frames[first[i]] up to
                      frames[first[i + 1]] */
    struct hp_frame *frames;
    size_t frame_count, frame_capacity;
    bool drop_allocator, has_focus;
    struct hp_frame *stack; /* of the last hp_view_stack */
    size_t stack_capacity;
};

void hp_view_init(struct hp_view *view, const struct hp_profile *profile, enum hp_granularity granularity,
                  const struct hp_filter *filter, struct hp_places *places);
void hp_view_free(struct hp_view *view);

/* The frames of `sample`, innermost first, valid until the next call. Returns how many; 0: not part
 * of the report. */
size_t hp_view_stack(struct hp_view *view, const struct hp_sample *sample, const struct hp_frame **frames);

/* "libc.so.6+0x1234" or "0x1234", for a location without a name; the caller frees it. */
char *hp_location_name(const struct hp_profile *profile, const struct hp_location *location);
/* What stays the same between runs: build id or path, and offset; the caller frees it. */
char *hp_location_identity(const struct hp_profile *profile, const struct hp_location *location);

#endif
