/* mapping.h - another process's ledger in our memory.
 *
 * Internal to src/ledger. A ledger that is cut while it is read raises SIGBUS. Read as follows:
 *
 *     hp_guard_begin(&guard);
 *     if (sigsetjmp(hp_on_cut, 1))
 *         (it was cut)
 *     else
 *         (read)
 *     hp_guard_end(&guard);
 */
#ifndef HP_READER_MAPPING_H
#define HP_READER_MAPPING_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

struct hp_mapping {
    void *memory;
    size_t size;
};

/* 0 or -errno; *uid: the file's owner. Unmap with hp_sys_munmap. */
int hp_mapping_open(const char *path, bool writable, struct hp_mapping *mapping, unsigned *uid);

struct hp_guard {
    struct sigaction old;
};

/* Handlers are the whole process's, so one thread reads at a time. */
extern sigjmp_buf hp_on_cut;
void hp_guard_begin(struct hp_guard *guard);
void hp_guard_end(const struct hp_guard *guard);

#endif
