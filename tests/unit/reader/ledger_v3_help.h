/* The ledger of version 3 that stands in tests/data, for tests that damage it. To be linked with zlib. */
#ifndef HP_TESTS_LEDGER_V3_HELP_H
#define HP_TESTS_LEDGER_V3_HELP_H

#include <stdlib.h>
#include <zlib.h>

#ifndef HP_LEDGER_V3
#error "HP_LEDGER_V3: tests/data/ledger.v3.gz"
#endif

enum { LEDGER_V3_SIZE = 4816896 }; /* that of 1 MiB of HEAPPROF_MEMORY */

/* To be freed. */
static inline void *read_ledger_v3(void)
{
    void *memory = aligned_alloc(4096, LEDGER_V3_SIZE);
    gzFile file = gzopen(HP_LEDGER_V3, "re");
    if (!memory || !file || gzread(file, memory, LEDGER_V3_SIZE) != LEDGER_V3_SIZE)
        abort();
    gzclose(file);
    return memory;
}

#endif
