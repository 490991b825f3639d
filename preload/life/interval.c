#include "life/interval.h"

#include <errno.h>

#include "life/fork.h"
#include "process/library.h"

int hp_library_set_interval(uint64_t bytes)
{
    struct hp_ledger *ledger = hp_library_ledger();
    if (!ledger)
        return -ENOSYS;
    if (bytes > 1ull << 40)
        return -EINVAL;
    __atomic_store_n(&ledger->wanted_interval, bytes, __ATOMIC_RELAXED);
    if (bytes) {
        __atomic_store_n(&ledger->armed_interval, bytes, __ATOMIC_RELAXED);
        __atomic_store_n(&hp_library.armed_interval, bytes, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&ledger->interval, bytes, __ATOMIC_SEQ_CST);
    return 0;
}
