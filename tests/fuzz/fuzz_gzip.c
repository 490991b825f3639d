/* Any bytes as a gzip file, and any bytes packed: never more memory than the limits allow. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "profile/profile.h"

static void read_it(const void *data, size_t size)
{
    struct hp_error error = {""};
    struct hp_profile *profile = NULL;
    if (!hp_profile_read_memory("input", data, size, &profile, &error))
        hp_profile_free(profile);
    else if (strncmp(error.text, "input", 5))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_it(data, size);
    z_stream packer = {0};
    if (deflateInit2(&packer, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    size_t room = deflateBound(&packer, size);
    unsigned char *packed = malloc(room);
    packer.next_in = (unsigned char *)data;
    packer.avail_in = (unsigned)size;
    packer.next_out = packed;
    packer.avail_out = (unsigned)room;
    if (packed && deflate(&packer, Z_FINISH) == Z_STREAM_END)
        read_it(packed, room - packer.avail_out);
    deflateEnd(&packer);
    free(packed);
    return 0;
}
