/* text_writer.h - the one writer of the text profile (heap_v2), for the target and for the command alike.
 *
 * No malloc, no stdio, no locale, no lock: everything here may run in a signal handler of somebody else's program.
 *
 * Terms
 *   sink   where the bytes go: a callback with its own state (a descriptor, a deflate stream, a memory buffer)
 *   entry  one line of the profile: the counters of one (stack, size class), and the stack
 *
 * Order of calls: hp_text_header, then per entry hp_text_entry and any hp_text_frame lines and (after frame lines)
 * hp_text_blank, then hp_text_fact / hp_text_comment, then hp_text_maps_begin, hp_text_map..., and hp_text_end.
 * Errors are sticky: after the first failed write all calls do nothing, and hp_text_end returns the first error.
 */
#ifndef HP_BASE_TEXT_WRITER_H
#define HP_BASE_TEXT_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes all of `size` bytes, or returns -errno. Called with blocks of up to HP_TEXT_BUFFER bytes. */
typedef int hp_sink_fn(void *state, const void *data, size_t size);

#define HP_TEXT_BUFFER 32768
/* No line of a profile is longer (go tool pprof reads no more); longer stacks lose their outermost frames. */
#define HP_TEXT_LINE_MAX 65000
/* What one name may take of a line, escapes included, so that two of them and all figures fit: longer names, which
 * come from hostile files and wild templates, end in "...". */
#define HP_TEXT_NAME_MAX (HP_TEXT_LINE_MAX / 2 - 128)

struct hp_text {
    hp_sink_fn *sink;
    void *sink_state;
    char *buffer; /* HP_TEXT_BUFFER bytes, the caller's */
    size_t used;
    int error; /* 0, or the first -errno */
};

/* Counters of sampled objects, never scaled. bytes are those that the program asked for. */
struct hp_counts {
    uint64_t live_objects, live_bytes;
    uint64_t alloc_objects, alloc_bytes; /* >= live, cumulative */
};

/* `buffer` has HP_TEXT_BUFFER bytes and lives as long as the writer. */
void hp_text_init(struct hp_text *text, hp_sink_fn *sink, void *sink_state, char *buffer);

/* Line 1. interval 1: type heapprofile (exact, readers do not scale); otherwise heap_v2/interval. Where live equals
 * allocated, one is added to the allocated bytes: google/pprof drops the allocated columns otherwise. */
void hp_text_header(struct hp_text *text, const struct hp_counts *total, uint64_t interval);

/* `addresses` are return addresses, innermost first. None is put before them that readers would drop by its name,
 * inside the library's malloc for example: where the library has no debug information, go tool pprof has no name for
 * it. */
void hp_text_entry(struct hp_text *text, const struct hp_counts *counts, const uint64_t *addresses, size_t depth);

/* `# heapprof.drawn = 1: 2 [3: 4] @ INTERVAL` after an entry: what was sampled, and at which interval, where that is
 * not the profile's. The entry itself is then converted to the profile's interval, for readers that know but one. */
void hp_text_drawn(struct hp_text *text, const struct hp_counts *drawn, uint64_t interval);

/* `#<TAB>0xPC<TAB>function+0xoffset<TAB>file:line`, as Go's debug=1. pc is the return address less one. `file` may be
 * NULL. */
void hp_text_frame(struct hp_text *text, uint64_t pc, const char *function, uint64_t offset, const char *file,
                   unsigned line);
void hp_text_blank(struct hp_text *text);

/* `# name = value` */
void hp_text_fact(struct hp_text *text, const char *name, uint64_t value);
void hp_text_fact_string(struct hp_text *text, const char *name, const char *value);

/* A comment line is built from parts: hp_text_put... calls between hp_text_comment ("# ") and hp_text_line_end.
 * hp_text_put_name writes a file or program name with control characters and backslashes as \ooo (octal), as
 * /proc/PID/maps does, and not more than HP_TEXT_NAME_MAX bytes of it, so that no name can break a line. */
void hp_text_comment(struct hp_text *text);
void hp_text_put(struct hp_text *text, const char *string);
void hp_text_put_name(struct hp_text *text, const char *string);
void hp_text_put_dec(struct hp_text *text, uint64_t value);
void hp_text_put_hex(struct hp_text *text, uint64_t value); /* no 0x */
void hp_text_line_end(struct hp_text *text);

/* MAPPED_LIBRARIES: must be the last part of the file. One executable mapping a line, as in /proc/PID/maps. The build
 * id of the file mapped at `start` stands before, in a line `# heapprof.module = START BUILD-ID` (hp_text_module). */
void hp_text_module(struct hp_text *text, uint64_t start, const char *build_id);
void hp_text_maps_begin(struct hp_text *text);
void hp_text_map(struct hp_text *text, uint64_t start, uint64_t limit, uint64_t offset, const char *path);

/* Flush. Returns 0 or the first error. */
int hp_text_end(struct hp_text *text);

#endif
