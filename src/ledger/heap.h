/* heap.h - a process's heap, walked: by the process itself for a dump, and by the command from outside. The process is
 * neither stopped nor asked.
 *
 * No malloc, stdio or locks; async-signal-safe (the caller brings the working memory).
 */
#ifndef HP_LEDGER_HEAP_H
#define HP_LEDGER_HEAP_H

#include "ledger/snapshot.h"

/* A process's memory, to be read. Pages that are not in memory are not: reading would bring them in. */
struct hp_memory {
    int pid;             /* asked for by number; 0: this process */
    int memory, pagemap; /* descriptors in /proc; below 0: can't be had */
};
void hp_memory_open(struct hp_memory *memory, const char *process, int pid);
void hp_memory_close(const struct hp_memory *memory);
/* `state`: a struct hp_memory; as hp_heap_source.read. */
long hp_memory_read(void *state, uint64_t address, void *to, size_t size);

/* HeapInuse and HeapSys now, in at most `budget_ns`. `process`: "self" (and pid 0) or a number, in /proc. `work`: zero
 * pages of hp_heap_work_size(). False: it is not glibc's, or not known where it is, or can't be read. */
bool hp_heap_walk(const struct hp_ledger_view *view, const char *process, int pid, uint64_t budget_ns, void *work,
                  struct hp_figures *figures);
size_t hp_heap_work_size(void);

#endif
