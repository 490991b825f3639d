/* gzip.h - a gzip stream without malloc, for dumps whose name ends in .gz. Uses zlib, linked in and hidden. */
#ifndef HP_PRELOAD_GZIP_H
#define HP_PRELOAD_GZIP_H

#include <stddef.h>
#include <zlib.h>

#include "base/text_writer.h"

/* deflate takes (1 << (windowBits + 2)) + (1 << (memLevel + 9)) bytes and its state (zconf.h): 268 KB and some. */
#define HP_GZIP_MEMORY (300u << 10)

struct hp_gzip {
    z_stream stream;
    hp_sink_fn *sink;
    void *sink_state;
    size_t used;
    unsigned char output[16384];
    unsigned char memory[HP_GZIP_MEMORY] __attribute__((aligned(16)));
};

int hp_gzip_begin(struct hp_gzip *gzip, hp_sink_fn *sink, void *sink_state);
/* A hp_sink_fn; `state` is a struct hp_gzip. */
int hp_gzip_write(void *state, const void *data, size_t size);
int hp_gzip_end(struct hp_gzip *gzip);

#endif
