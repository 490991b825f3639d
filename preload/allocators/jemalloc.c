/* jemalloc(3). Its answers are as of the last call of "epoch". */
#include <string.h>

#include "allocators/allocators.h"

static int (*mallctl)(const char *, void *, size_t *, void *, size_t);

/* The version comes with the first figures: to ask takes half a millisecond the first time. */
static void recognised(void *const addresses[], char *version, size_t size)
{
    mallctl = (int (*)(const char *, void *, size_t *, void *, size_t))addresses[0];
}

static uint64_t value_of(const char *name)
{
    size_t value = 0, size = sizeof value;
    return mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

/* "jemalloc" becomes "jemalloc 5.3.0"; without the commit that follows. Whoever reads meanwhile sees the one or the
 * other. */
static void add_version(char *name, size_t size)
{
    const char *version = "";
    size_t given = sizeof version, length = strnlen(name, size);
    if (strchr(name, ' ') || mallctl("version", &version, &given, NULL, 0) != 0)
        return;
    size_t more = strcspn(version, "-");
    if (!more || length + 1 + more >= size)
        return;
    memcpy(name + length + 1, version, more);
    __atomic_store_n(name + length, ' ', __ATOMIC_RELEASE);
}

static void ask(struct hp_figures *figures, char *name, size_t size)
{
    uint64_t epoch = 1;
    size_t epoch_size = sizeof epoch;
    add_version(name, size);
    mallctl("epoch", &epoch, &epoch_size, &epoch, sizeof epoch);
    figures->alloc = value_of("stats.allocated");
    figures->inuse = value_of("stats.active");
    figures->sys = value_of("stats.mapped") + value_of("stats.retained");
    uint64_t resident = value_of("stats.resident");
    figures->released = figures->sys > resident && resident >= figures->inuse ? figures->sys - resident : 0;
    figures->released_known = 1;
    figures->metadata = value_of("stats.metadata");
    figures->metadata_in_idle = 1;
}

const struct hp_allocator hp_allocator_jemalloc = {
    .name = "jemalloc",
    .functions = {"mallctl"},
    .recognised = recognised,
    .ask = ask,
    /* When first asked it makes room for its answers: half a millisecond, which a short process can do without. */
    .first_ask_ns = 20000000,
};
