/* answer.h - what stands behind each address, apart from HTTP: bodies made from a collector.
 *
 * Names, headers, status codes and messages are those of Go's net/http/pprof, so that its clients know them.
 */
#ifndef HP_SERVE_ANSWER_H
#define HP_SERVE_ANSWER_H

#include <stddef.h>
#include <stdio.h>

#include "serve/collector.h"
#include "serve/history.h"

struct hp_answer {
    unsigned status;       /* 200, ... */
    const char *type;      /* Content-Type */
    const char *file_name; /* Content-Disposition: attachment; NULL: none */
    const char *more;      /* Location of a 302, Allow of a 405, or NULL */
    bool failed;           /* X-Go-Pprof: 1 */
    char *body;            /* the caller frees it */
    size_t size;
};

/* An error as net/http/pprof writes it: one line of text. */
void hp_answer_fail(struct hp_answer *answer, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a target that can't be read; that is not the request's fault, and the target may come back. */
void hp_answer_fail_to_load(struct hp_answer *answer, const struct hp_error *error);

/* A stream that becomes the body; NULL: the answer is an error already. */
FILE *hp_answer_open(struct hp_answer *answer);
void hp_answer_close(FILE *out, struct hp_answer *answer, const char *type);

/* Those that are the same for everybody who asks at one moment. */
typedef void hp_answer_fn(struct hp_collector *collector, struct hp_answer *answer);
hp_answer_fn hp_answer_index, hp_answer_heap, hp_answer_heap_text, hp_answer_allocs, hp_answer_command,
    hp_answer_metrics;

/* The page, live where there is a history, which may be NULL; and its document alone, for the page to go on with. */
void hp_answer_page(struct hp_collector *collector, struct hp_history *history, struct hp_answer *answer);
void hp_answer_page_data(struct hp_collector *collector, struct hp_history *history, struct hp_answer *answer);

/* `question`: addresses with + between them. */
void hp_answer_symbol(struct hp_collector *collector, const char *question, struct hp_answer *answer);

/* The difference of two profiles; both are freed. `allocs`: of /debug/pprof/allocs. */
void hp_answer_delta(struct hp_profile *before, struct hp_profile *after, bool allocs, struct hp_answer *answer);

#endif
