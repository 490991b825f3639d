/* A target with a dl_iterate_phdr of its own, which allocates. */
#include "guest.h"

#include <dlfcn.h>
#include <link.h>

static void *volatile sink;

/* As programs do that throw without locks: a cache on the heap, made at first use. */
static int (*next_iterate)(int (*)(struct dl_phdr_info *, size_t, void *), void *);
static struct dl_phdr_info *cache;
static unsigned cached;

static int add(struct dl_phdr_info *info, size_t size, void *to)
{
    (void)size, (void)to;
    cache = realloc(cache, (cached + 1) * sizeof *cache);
    cache[cached++] = *info;
    return 0;
}

int dl_iterate_phdr(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
    int result = 0;
    if (!next_iterate)
        next_iterate = (__typeof__(next_iterate))dlsym(RTLD_NEXT, "dl_iterate_phdr");
    if (!cached)
        next_iterate(add, NULL);
    void *scratch = malloc(3000);
    for (unsigned i = 0; i < cached && result == 0; i++)
        result = callback(&cache[i], sizeof cache[i], data);
    free(scratch);
    return result;
}

static int look(struct dl_phdr_info *info, size_t size, void *count)
{
    (void)info, (void)size;
    sink = malloc(2000);
    free(sink);
    ++*(int *)count;
    return 0;
}

int main(void)
{
    int seen = 0;
    allocate_much(0, 1000);
    for (int i = 0; i < 500; i++)
        CHECK(dl_iterate_phdr(look, &seen) == 0);
    puts(seen > 1000 ? "iterated" : "nothing seen");
    return 0;
}
