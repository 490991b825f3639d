/* Any bytes as a program or library with symbols: each address gets frames that can be read, or
 * none. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbolize/symbolize.h"

enum { MOST = 16, STEP = 61 };

static size_t read_names(const struct hp_symbol_frame *frames, size_t count)
{
    size_t length = 0;
    for (size_t i = 0; i < count; i++)
        length += strlen(frames[i].function) + strlen(frames[i].linkage) + strlen(frames[i].file);
    return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[] = "/tmp/fuzz_symbols.XXXXXX";
    static int file = -1;
    if (file < 0)
        file = mkstemp(path);
    if (file < 0 || ftruncate(file, 0) || pwrite(file, data, size, 0) != (ssize_t)size)
        abort();
    struct hp_symbolizer *symbolizer = hp_symbolizer_new(NULL);
    struct hp_symbol_module *module = hp_symbolizer_module(symbolizer, path, "");
    for (uint64_t offset = 0; offset < size + STEP; offset += STEP) {
        struct hp_symbol_frame frames[MOST];
        size_t count = hp_symbolize(module, offset, frames, MOST);
        if (count > MOST || read_names(frames, count) > 1 << 24)
            abort();
    }
    hp_symbolizer_free(symbolizer);
    return 0;
}
