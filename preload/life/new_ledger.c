#include "life/new_ledger.h"

#include <string.h>

#include "allocators/next.h"
#include "base/sys.h"
#include "life/describe.h"
#include "process/complain.h"
#include "process/library.h"
#include "unwind/modules.h"

bool hp_library_new_ledger(uint64_t interval)
{
    const struct hp_options *options = &hp_library.options;
    const char *folder = hp_library.folder;
    int file_error = 0;
    if (hp_region_create(&hp_library.region, folder, options->memory, options->depth, interval, &file_error) < 0)
        return false;
    if (file_error < 0 && strcmp(folder, "none") && strcmp(folder, "auto")) {
        const char *const parts[] = {"no ledger in HEAPPROF_LEDGER=", folder, " (", hp_error_text(-file_error),
                                     "); using private memory"};
        hp_complain(parts, 5);
    }
    struct hp_ledger *ledger = hp_library.region.store.ledger;
    ledger->pid = hp_library.pid;
    ledger->uid = hp_sys_getuid();
    ledger->signal = options->signal;
    if (!hp_library.start_time_ns) {
        hp_library.start_time_ns = hp_clock_ns(CLOCK_REALTIME);
        hp_library.start_clock_ns = hp_clock_ns(CLOCK_MONOTONIC);
    }
    ledger->start_time_ns = hp_library.start_time_ns;
    ledger->start_clock_ns = hp_library.start_clock_ns;
    ledger->armed_interval = hp_library.armed_interval;
    memcpy(ledger->allocator, hp_next.version, strnlen(hp_next.version, sizeof ledger->allocator - 1));
    hp_describe_start(ledger, hp_library.directory);
    hp_modules_init(&hp_library.region.store, hp_library.directory);
    return true;
}
