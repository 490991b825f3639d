#include "life/gzip.h"

#include <errno.h>

static voidpf take(voidpf opaque, uInt items, uInt size)
{
    struct hp_gzip *gzip = opaque;
    size_t wanted = ((size_t)items * size + 15) & ~(size_t)15;
    if (wanted > sizeof gzip->memory - gzip->used)
        return Z_NULL;
    gzip->used += wanted;
    return gzip->memory + gzip->used - wanted;
}

static void give_back(voidpf opaque, voidpf address)
{
    /* The memory goes with the struct. */
}

int hp_gzip_begin(struct hp_gzip *gzip, hp_sink_fn *sink, void *sink_state)
{
    gzip->sink = sink;
    gzip->sink_state = sink_state;
    gzip->used = 0;
    gzip->stream = (z_stream){.zalloc = take, .zfree = give_back, .opaque = gzip};
    /* 16: a gzip header */
    return deflateInit2(&gzip->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK
               ? 0
               : -ENOMEM;
}

static int run(struct hp_gzip *gzip, int flush)
{
    int result, error;
    do {
        gzip->stream.next_out = gzip->output;
        gzip->stream.avail_out = sizeof gzip->output;
        result = deflate(&gzip->stream, flush);
        if (result == Z_STREAM_ERROR)
            return -EIO;
        size_t size = sizeof gzip->output - gzip->stream.avail_out;
        error = size ? gzip->sink(gzip->sink_state, gzip->output, size) : 0;
        if (error < 0)
            return error;
    } while (gzip->stream.avail_out == 0);
    return 0;
}

int hp_gzip_write(void *state, const void *data, size_t size)
{
    struct hp_gzip *gzip = state;
    gzip->stream.next_in = (z_const Bytef *)data;
    gzip->stream.avail_in = (uInt)size;
    return run(gzip, Z_NO_FLUSH);
}

int hp_gzip_end(struct hp_gzip *gzip)
{
    int error = run(gzip, Z_FINISH);
    deflateEnd(&gzip->stream);
    return error;
}
