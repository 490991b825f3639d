/* Any bytes as /tmp/perf-PID.map. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbolize/perf_map.h"

static char path[] = "/tmp/fuzz_perf_map.XXXXXX";

static void forget_file(void)
{
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int descriptor = -1;
    if (descriptor < 0) {
        descriptor = mkstemp(path);
        atexit(forget_file);
    }
    if (descriptor < 0 || ftruncate(descriptor, 0) || pwrite(descriptor, data, size, 0) != (ssize_t)size)
        abort();
    struct hp_perf_map *map = hp_perf_map_read(path, 0);
    if (!map)
        abort();
    uint64_t entry;
    for (uint64_t address = 1; address; address = address * 3 > address ? address * 3 : 0) {
        const char *name = hp_perf_map_find(map, address, &entry);
        if (name && (!*name || entry > address))
            abort();
    }
    hp_perf_map_free(map);
    return 0;
}
