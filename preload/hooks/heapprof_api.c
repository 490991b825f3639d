/* The functions of heapprof.h. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "heapprof.h"
#include "hooks/hooks.h"
#include "kinds/heap/figures.h"
#include "ledger/snapshot.h"
#include "life/dump.h"
#include "life/fork.h"
#include "life/interval.h"
#include "process/library.h"

int heapprof_v1_dump(const char *path);
int heapprof_v1_enable(int on);
int heapprof_v1_interval(uint64_t bytes);
int heapprof_v1_read_stats(struct heapprof_stats *stats, size_t size);

HP_HOOK int heapprof_v1_dump(const char *path)
{
    struct hp_ledger *ledger = hp_ledger_now();
    int kept = errno;
    if (ledger && !hp_library_was_forked())
        hp_figures_ask(ledger, HP_FRAME, false);
    errno = kept;
    return hp_dump(path);
}

static int set_interval(uint64_t bytes)
{
    const int error = hp_library_set_interval(bytes);
    hp_hooks_follow();
    return error;
}

HP_HOOK int heapprof_v1_interval(uint64_t bytes)
{
    return set_interval(bytes);
}

HP_HOOK int heapprof_v1_enable(int on)
{
    return set_interval(on ? __atomic_load_n(&hp_library.armed_interval, __ATOMIC_RELAXED) : 0);
}

static void add_live(void *state, uint64_t address, const struct hp_live_data *data)
{
    struct heapprof_stats *stats = state;
    stats->live_objects++;
    stats->live_bytes += data->size;
}

HP_HOOK int heapprof_v1_read_stats(struct heapprof_stats *stats, size_t size)
{
    hp_library_check_fork();
    struct hp_ledger *ledger = hp_library_ledger();
    struct heapprof_stats now = {.size = sizeof now};
    if (!ledger)
        return -ENOSYS;
    const struct hp_audit audit = hp_audit_read(ledger);
    now.interval = hp_interval_now(ledger);
    now.samples = audit.samples;
    now.lost = audit.lost;
    now.truncated = audit.truncated;
    now.unmatched_frees = audit.unmatched_frees;
    now.own_bytes = hp_ledger_own_bytes(ledger);
    now.own_ns = hp_audit_own_ns(&audit);
    hp_live_each(&hp_library.region.store, add_live, &now);
    __builtin_memcpy(stats, &now, size < sizeof now ? size : sizeof now);
    return 0;
}

/* The plain names, for dlsym and debuggers; in C they are the inline functions of heapprof.h. */
__asm__(".globl heapprof_dump\n.set heapprof_dump, heapprof_v1_dump\n.type heapprof_dump, @function\n"
        ".globl heapprof_enable\n.set heapprof_enable, heapprof_v1_enable\n.type heapprof_enable, @function\n"
        ".globl heapprof_interval\n.set heapprof_interval, heapprof_v1_interval\n"
        ".type heapprof_interval, @function\n"
        ".globl heapprof_read_stats\n.set heapprof_read_stats, heapprof_v1_read_stats\n"
        ".type heapprof_read_stats, @function\n");
