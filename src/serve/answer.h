/* answer.h - what stands behind each address, apart from HTTP: bodies made from a feed.
 *
 * Names, headers, status codes and messages are those of Go's net/http/pprof, so that its clients know them.
 */
#ifndef HP_SERVE_ANSWER_H
#define HP_SERVE_ANSWER_H

#include <stddef.h>

#include "serve/feed.h"

struct hp_answer {
    unsigned status;          /* 200, ... */
    const char *type;         /* Content-Type */
    const char *file_name;    /* Content-Disposition: attachment; NULL: none */
    const char *more;         /* Location of a 302, Allow of a 405, or NULL */
    bool failed;              /* X-Go-Pprof: 1 */
    char *body;               /* the caller frees it */
    size_t size;
};

/* An error as net/http/pprof writes it: one line of text. */
void hp_answer_fail(struct hp_answer *answer, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Those that are the same for everybody who asks at one moment. */
typedef void hp_answer_fn(struct hp_feed *feed, struct hp_answer *answer);
hp_answer_fn hp_answer_page, hp_answer_index, hp_answer_heap, hp_answer_heap_text, hp_answer_allocs,
    hp_answer_command, hp_answer_metrics;

/* `question`: addresses with + between them. */
void hp_answer_symbol(struct hp_feed *feed, const char *question, struct hp_answer *answer);

/* The difference of two profiles; both are freed. `allocs`: of /debug/pprof/allocs. */
void hp_answer_delta(struct hp_profile *before, struct hp_profile *after, bool allocs, struct hp_answer *answer);

#endif
