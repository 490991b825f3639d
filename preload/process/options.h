/* options.h - the settings, from the environment.
 *
 * Read once, before the target's main. No malloc, no stdio, no locale. A value that cannot be read keeps its default
 * and leaves a complaint, which hp_options_read reports through `complain` in one line.
 */
#ifndef HP_PRELOAD_OPTIONS_H
#define HP_PRELOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/ledger.h"
#include "unwind/unwind.h"

/* Paths come last, so that what a process touches at its start lies in few pages. */
struct hp_options {
    uint64_t interval; /* bytes; 0: not sampling */
    int signal;        /* 0: none */
    bool disable;
    bool at_exit;
    bool follow;
    uint64_t every_ns; /* 0: off */
    uint64_t growth;   /* bytes, 0: off */
    uint64_t trace_ns; /* 0: off */
    uint32_t depth;
    enum hp_engine engine;
    uint64_t memory;          /* bytes */
    const char *ledger;       /* "auto", "none" or a folder; in the environment, so it is for the start only */
    char output[HP_PATH_MAX]; /* pattern, absolute */
};

typedef void hp_complain_fn(const char *variable, const char *value, const char *default_used);

/* `directory`: what a relative output pattern starts from. */
void hp_options_read(struct hp_options *options, char **environment, const char *directory, hp_complain_fn *complain);

/* The file name that `pattern` makes: %e program, %p pid, %n number of the dump, %t Unix seconds, %%. -ENAMETOOLONG if
 * it does not fit into HP_PATH_MAX bytes. */
int hp_expand_pattern(char *path, const char *pattern, const char *program, int pid, uint32_t sequence,
                      uint64_t seconds);

#endif
