/* operator_frames.h - where C++'s forms of operator new behind the library are, so that stacks begin with the function
 * that used new.
 *
 * libstdc++'s operators call malloc, so that a walk from there meets them first; those of tcmalloc and jemalloc, which
 * do not, are counted in the hook of the operator itself. Readers of dumps drop operator new by its name, but go tool
 * pprof has names from debug information only, which libstdc++ comes without, and the Perl tools see a name with a
 * version (operator new@@GLIBCXX_3.4), which none of their patterns is.
 */
#ifndef HP_PRELOAD_OPERATOR_FRAMES_H
#define HP_PRELOAD_OPERATOR_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#define HP_OPERATORS_NEW 8 /* forms of it */
/* new[] with nothrow calls new[], or new with nothrow, and that new: so many frames stand before the site at most. */
#define HP_OPERATORS_DEEP 3

/* The operator's code; size 0: not known. Each index is set once, or again to the same. */
void hp_operators_set(unsigned index, uintptr_t start, size_t size);

/* How many of the frames (innermost first) are operator new, at most HP_OPERATORS_DEEP and never all of them.
 * Async-signal-safe. */
unsigned hp_operators_in(const uint64_t *frames, unsigned depth);

#endif
