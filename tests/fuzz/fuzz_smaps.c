/* Any bytes as /proc/PID/smaps, whose names and numbers another process chooses: the sums hold,
 * with a buffer of any size. The first byte says which. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ledger/resident.h"

static void check(const struct hp_resident *resident)
{
    uint64_t sum = resident->heap + resident->anonymous + resident->stacks + resident->program + resident->files +
                   resident->shared + resident->own;
    if (sum != resident->rss || resident->maybe > resident->anonymous)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int smaps = -1;
    if (smaps < 0)
        smaps = memfd_create("smaps", 0);
    if (!size)
        return 0;
    size_t buffer_size = 16 + (size_t)data[0] * 16;
    const struct hp_resident_hints hints = {.own = {{0x7f0000000000, 0x7f0000100000}},
                                            .ledger_inode = 99,
                                            .stack_size = data[0] & 1 ? 1 << 20 : 0,
                                            .pagemap = -1};
    if (smaps < 0 || ftruncate(smaps, 0) || pwrite(smaps, data + 1, size - 1, 0) != (ssize_t)size - 1 ||
        lseek(smaps, 0, SEEK_SET))
        abort();
    char *buffer = malloc(buffer_size);
    struct hp_resident resident = hp_resident_read(smaps, &hints, buffer, buffer_size);
    free(buffer);
    check(&resident);
    hp_resident_add_arenas(&resident, 1ull << 26);
    check(&resident);
    hp_resident_add_heap(&resident, 1ull << 20);
    check(&resident);
    return 0;
}
