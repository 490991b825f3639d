/* What is read out of glibc's structures: of this process's own heap it is what mallinfo2 says; of heaps made by hand,
 * of each version's layout, what was put there; and of damaged ones it is nonsense at worst, in bounded time. */
#include "ledger/glibc_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"

#define SECOND 1000000000ull
#ifdef HP_OTHER_MALLOC /* a sanitizer's: this process has no heap of glibc's */
#define OTHER_MALLOC true
#else
#define OTHER_MALLOC false
#endif

static struct hp_glibc_scratch *scratch;

static uint64_t now(void)
{
    return hp_clock_ns(CLOCK_MONOTONIC);
}

/* This process. */

struct data {
    uint64_t address, size;
};

static int find_data(struct dl_phdr_info *info, size_t size, void *state)
{
    struct data *data = state;
    if (!strstr(info->dlpi_name, "libc.so"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && header->p_flags & PF_W)
            *data = (struct data){info->dlpi_addr + header->p_vaddr, header->p_filesz};
    }
    return 1;
}

static bool find_own(struct hp_glibc *glibc)
{
    struct data data = {0};
    dl_iterate_phdr(find_data, &data);
    assert_int_not_equal(data.size, 0);
    uint64_t start = (data.address + 7) & ~7ull;
    return hp_glibc_find(glibc, hp_glibc_version(gnu_get_libc_version()), (const void *)(uintptr_t)start,
                         data.size - (start - data.address), start);
}

static int memory = -1;

static long read_own(void *state, uint64_t address, void *to, size_t size)
{
    return hp_sys_pread(memory, to, size, address);
}

static uint64_t *own_live;
static size_t own_live_count;

static size_t live_of_own(void *state, const uint64_t **addresses)
{
    *addresses = own_live;
    return own_live_count;
}

static const struct hp_heap_source own = {read_own, live_of_own, NULL};

static void same_as_mallinfo(const char *what, uint64_t tolerance)
{
    struct hp_glibc glibc;
    struct hp_glibc_figures figures;
    uint64_t sys, mapped;
    assert_true(find_own(&glibc));
    struct mallinfo2 info = mallinfo2();
    assert_true(hp_glibc_walk(&glibc, &own, 60 * SECOND, scratch, &figures));
    hp_glibc_load(&glibc, &sys, &mapped);
    print_message("%s: %u arenas, sys %lu, mapped %lu, inuse %lu (mallinfo2: %zu), lost %lu\n", what, figures.arenas,
                  (unsigned long)figures.sys, (unsigned long)figures.mapped, (unsigned long)figures.inuse,
                  info.uordblks + info.hblkhd, (unsigned long)figures.lost);
    assert_int_equal(figures.sys, info.arena + info.hblkhd);
    assert_int_equal(figures.mapped, info.hblkhd);
    assert_int_equal(sys, figures.sys);
    assert_int_equal(mapped, figures.mapped);
    assert_int_equal(figures.lost, 0);
    assert_false(figures.sampled);
    uint64_t wanted = info.uordblks + info.hblkhd;
    assert_in_range(figures.inuse, wanted - tolerance, wanted + tolerance);
}

#define OBJECTS 8000
static void *objects[4][OBJECTS];
static pthread_barrier_t barrier;

static void fill(void **mine, unsigned seed)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        seed = seed * 1103515245 + 12345;
        unsigned size = seed >> 16 & 15;
        mine[i] = malloc(size < 8 ? size * 16 + 1 : size < 14 ? size * 113 : size < 15 ? 5000 : 40000);
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        seed = seed * 1103515245 + 12345;
        if (seed >> 16 & 1) {
            free(mine[i]);
            mine[i] = NULL;
        }
    }
}

static void *fill_and_wait(void *state)
{
    void **mine = state;
    fill(mine, (unsigned)(uintptr_t)mine);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < OBJECTS; i++)
        free(mine[i]);
    return NULL;
}

static void agrees_with_mallinfo(void **state)
{
    pthread_t threads[3];
    same_as_mallinfo("at first", 0);
    fill(objects[3], 7);
    same_as_mallinfo("one arena, fast chunks, tcache", 0);
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, fill_and_wait, objects[i]);
    pthread_barrier_wait(&barrier);
    void *large[] = {malloc(1 << 20), malloc(50 << 20), memalign(1 << 16, 3 << 20)};
    __asm__ volatile("" ::"r"(large) : "memory"); /* else the compiler does without some */
    same_as_mallinfo("four arenas of several heaps, mapped objects", 0);
    for (int i = 0; i < 3; i++)
        free(large[i]);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    same_as_mallinfo("all free", 0);
    malloc_trim(0);
    same_as_mallinfo("trimmed", 0);
}

/* Threads that go on: chunks are split and joined all the time. */

static volatile bool stop;
static uint64_t held; /* bytes of all their chunks */

static uint64_t chunk_size(void *object)
{
    return object ? malloc_usable_size(object) + 8 : 0;
}

static void *race(void *state)
{
    void **mine = state;
    unsigned seed = (unsigned)(uintptr_t)mine;
    fill(mine, seed);
    for (unsigned i = 0; i < OBJECTS; i++)
        __atomic_fetch_add(&held, chunk_size(mine[i]), __ATOMIC_RELAXED);
    pthread_barrier_wait(&barrier);
    while (!stop) {
        seed = seed * 1103515245 + 12345;
        unsigned i = (seed >> 8) % OBJECTS;
        uint64_t before = chunk_size(mine[i]);
        free(mine[i]);
        __atomic_store_n(&mine[i], seed >> 30 & 1 ? malloc(1 + (seed >> 8) % 6000) : NULL, __ATOMIC_RELAXED);
        __atomic_fetch_add(&held, chunk_size(mine[i]) - before, __ATOMIC_RELAXED);
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        free(mine[i]);
    return NULL;
}

static int by_address(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* As of a ledger that is read meanwhile: some of them are freed by the time they are used. */
static void collect_live(uint64_t *live, int racers, int step)
{
    own_live_count = 0;
    for (int r = 0; r < racers; r++) {
        for (int k = 0; k < OBJECTS; k += step) {
            void *object = __atomic_load_n(&objects[r][k], __ATOMIC_RELAXED);
            if (object)
                live[own_live_count++] = (uint64_t)(uintptr_t)object;
        }
    }
    qsort(live, own_live_count, sizeof *live, by_address);
    own_live = live;
}

static void races(void **state)
{
    enum { RACERS = 4, WALKS = 20, STEP = 40 };
    pthread_t threads[RACERS];
    struct hp_glibc glibc;
    struct hp_glibc_figures figures;
    static uint64_t live[RACERS * OBJECTS / STEP];
    uint64_t lost = 0, worst = 0;
    double far = 0, sum = 0;
    assert_true(find_own(&glibc));
    assert_true(hp_glibc_walk(&glibc, &own, 60 * SECOND, scratch, &figures));
    const uint64_t others = figures.inuse;
    pthread_barrier_init(&barrier, NULL, RACERS + 1);
    for (int i = 0; i < RACERS; i++)
        pthread_create(&threads[i], NULL, race, objects[i]);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < WALKS; i++) {
        collect_live(live, RACERS, STEP);
        double before = (double)(others + __atomic_load_n(&held, __ATOMIC_RELAXED));
        assert_true(hp_glibc_walk(&glibc, &own, 60 * SECOND, scratch, &figures));
        double after = (double)(others + __atomic_load_n(&held, __ATOMIC_RELAXED)), inuse = (double)figures.inuse;
        double least = before < after ? before : after, most = before < after ? after : before;
        double off = inuse < least ? (least - inuse) / least : inuse > most ? (inuse - most) / most : 0;
        far = off > far ? off : far;
        sum += off;
        lost += figures.lost;
        worst = figures.lost > worst ? figures.lost : worst;
    }
    stop = true;
    for (int i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    own_live_count = 0;
    print_message("while 4 threads race, of %lu bytes: %.2f %% off, at most %.2f %%; %lu lost a walk, at most %lu\n",
                  (unsigned long)figures.sys, 100 * sum / WALKS, 100 * far, (unsigned long)(lost / WALKS),
                  (unsigned long)worst);
    assert_true(far < 0.1 && sum / WALKS < 0.02);
    assert_true(worst < figures.sys / 50 && lost / WALKS < figures.sys / 500);
}

/* Too little time: what is extrapolated is near what is. */
static void extrapolates(void **state)
{
    enum { MANY = 400000 };
    struct hp_glibc glibc;
    struct hp_glibc_figures figures, all;
    static void *many[MANY];
    static uint64_t live[MANY / 500];
    unsigned seed = 1;
    for (int i = 0; i < MANY; i++) {
        seed = seed * 1103515245 + 12345;
        many[i] = malloc(500 + (seed >> 16) % 3000);
    }
    for (int i = 0; i < MANY; i++) { /* the first half is emptier */
        seed = seed * 1103515245 + 12345;
        if (i % 500 && (seed >> 16) % 8 < (i < MANY / 2 ? 6 : 2)) {
            free(many[i]);
            many[i] = NULL;
        }
    }
    own_live_count = 0;
    for (int i = 0; i < MANY; i += 500)
        live[own_live_count++] = (uint64_t)(uintptr_t)many[i];
    qsort(live, own_live_count, sizeof *live, by_address);
    own_live = live;
    assert_true(find_own(&glibc));
    assert_true(hp_glibc_walk(&glibc, &own, 60 * SECOND, scratch, &all));
    uint64_t start = now();
    assert_true(hp_glibc_walk(&glibc, &own, 100000000, scratch, &figures));
    uint64_t took = now() - start;
    print_message("%lu bytes in use, extrapolated in %lu us: %lu ± %lu\n", (unsigned long)all.inuse,
                  (unsigned long)(took / 1000), (unsigned long)figures.inuse, (unsigned long)figures.error);
    assert_true(figures.sampled);
    assert_int_equal(figures.sys, all.sys);
    assert_true(took < 600000000);
    uint64_t off = figures.inuse > all.inuse ? figures.inuse - all.inuse : all.inuse - figures.inuse;
    assert_true(off < 2 * figures.error + all.sys / 50);
    own_live_count = 0;
    for (int i = 0; i < MANY; i++)
        free(many[i]);
}

/* Heaps made by hand. */

#define DATA_AT 0x7f0000001000ull
#define HEAP_AT 0x555500000000ull
#define OTHER_AT 0x7e0000000000ull /* a multiple of 64 MiB */
#define SIZE 32768u

struct world {
    uint32_t version;
    uint64_t data[SIZE / 8], heap[SIZE / 8], other[2][SIZE / 8];
    uint64_t wanted_inuse, wanted_sys;
    uint64_t reads;
};

static struct world world;

static long read_world(void *state, uint64_t address, void *to, size_t size)
{
    const struct {
        uint64_t at;
        const uint64_t *words;
    } parts[] = {{DATA_AT, world.data},
                 {HEAP_AT, world.heap},
                 {OTHER_AT, world.other[0]},
                 {OTHER_AT + (64 << 20), world.other[1]}};
    world.reads++;
    for (size_t i = 0; i < 4; i++) {
        if (address < parts[i].at || address >= parts[i].at + SIZE)
            continue;
        size_t left = parts[i].at + SIZE - address;
        memcpy(to, (const char *)parts[i].words + (address - parts[i].at), size < left ? size : left);
        return (long)(size < left ? size : left);
    }
    return -EFAULT;
}

static uint64_t world_live[64];
static size_t world_live_count;

static size_t live_of_world(void *state, const uint64_t **addresses)
{
    *addresses = world_live;
    return world_live_count;
}

static const struct hp_heap_source of_world = {read_world, live_of_world, NULL};

/* Chunks of these sizes, negative ones free, from `at`; the flag of the one before is set as it should be. */
static uint64_t put_chunks(uint64_t *words, uint64_t at, const int *sizes, uint64_t flags)
{
    bool free_before = false;
    for (; *sizes; sizes++) {
        uint64_t size = (uint64_t)abs(*sizes);
        words[at / 8 + 1] = size | (free_before ? 0 : 1) | (*sizes < 0 ? 0 : flags);
        free_before = *sizes < 0;
        at += size;
        if (free_before)
            words[at / 8] = size;
    }
    words[at / 8 + 1] = free_before ? 0 : 1;
    return at;
}

static void put_arena(uint64_t *words, uint64_t at, uint64_t address, uint64_t top, uint64_t next, uint64_t system)
{
    uint64_t fast_at = world.version >= 2027 ? 16 : 8, bins = at + fast_at + 80 + 16;
    words[(at + fast_at + 80) / 8] = top;
    for (unsigned i = 0; i < 127; i++)
        words[bins / 8 + 2 * i] = words[bins / 8 + 2 * i + 1] = address + bins - at + 16 * i - 16;
    words[bins / 8 + 12] = words[bins / 8 + 13] = top; /* one that isn't empty */
    uint64_t after = bins + 16 * 127 + 16;
    words[after / 8] = next;
    after += 16;
    if (world.version >= 2023) {
        words[after / 8] = 1;
        after += 8;
    }
    words[after / 8] = system;
    words[after / 8 + 1] = system + 4096;
}

static uint64_t arena_size(uint32_t version)
{
    return (version >= 2027 ? 16 : 8) + 80 + 16 + 16 * 127 + 16 + (version >= 2023 ? 40 : 32);
}

static void put_parameters(uint64_t at, uint64_t mapped, uint64_t base)
{
    uint64_t *words = world.data + at / 8;
    uint32_t *halves = (uint32_t *)words;
    words[0] = words[1] = words[2] = 131072;
    words[3] = 8;
    unsigned counts = world.version >= 2035 ? 15 : 10, mapped_at = world.version >= 2035 ? 10 : 7;
    halves[counts] = halves[counts + 2] = mapped ? 1 : 0;
    halves[counts + 1] = 65536;
    words[mapped_at] = mapped;
    words[mapped_at + 1] = mapped ? mapped + 4096 : 0;
    words[mapped_at + (world.version <= 2023 ? 3 : 2)] = base;
}

static void make_world(uint32_t version)
{
    static const int in_main[] = {1040, 32, -48, 32, -4096, 64, 48, 8192, -160, 32, 0};
    static const int in_first[] = {640, -320, 32, 0}, in_second[] = {48, -2048, 96, 0};
    memset(&world, 0, sizeof world);
    world.version = version;
    uint64_t info = version >= 2035 ? 48 : 32, arena = 0x900, mapped = 1 << 20;
    /* The main arena: its top is 8 KiB; the chunks of 64 and 48 are fast ones. */
    uint64_t top = put_chunks(world.heap, 0, in_main, 0), system = top + 8192;
    system = (system + 4095) & ~4095ull;
    world.heap[top / 8 + 1] = (system - top) | 1;
    uint64_t fast_at = version >= 2027 ? 16 : 8, fast_64 = 1040 + 32 + 48 + 32 + 4096, fast_48 = fast_64 + 64;
    put_arena(world.data, arena, DATA_AT + arena, HEAP_AT + top, OTHER_AT + info, system);
    world.data[(arena + fast_at) / 8 + 2] = HEAP_AT + fast_64;
    world.data[(arena + fast_at) / 8 + 1] = HEAP_AT + fast_48;
    world.heap[fast_64 / 8 + 2] = version >= 2032 ? (HEAP_AT + fast_64 + 16) >> 12 : 0;
    world.heap[fast_48 / 8 + 2] = version >= 2032 ? (HEAP_AT + fast_48 + 16) >> 12 : 0;
    put_parameters(0x100, mapped, HEAP_AT);
    /* Another, of two heaps; the first one ends in a fencepost. */
    uint64_t *first = world.other[0], *second = world.other[1];
    uint64_t start = (info + arena_size(version) + 15) & ~15ull, next = OTHER_AT + (64 << 20);
    first[0] = second[0] = OTHER_AT + info;
    second[1] = OTHER_AT;
    first[2] = 8192;
    second[2] = 16384;
    uint64_t end = put_chunks(first, start, in_first, 4);
    first[end / 8 + 1] = (8192 - 32 - end) | 1; /* free, up to the fencepost */
    first[(8192 - 32) / 8] = 8192 - 32 - end;
    first[(8192 - 32) / 8 + 1] = 16;
    first[(8192 - 16) / 8 + 1] = 1;
    uint64_t other_top = put_chunks(second, info, in_second, 4);
    second[other_top / 8 + 1] = (16384 - other_top) | 1;
    put_arena(first, info, OTHER_AT + info, next + other_top, DATA_AT + arena, 8192 + 16384);
    world.wanted_sys = system + 8192 + 16384 + mapped;
    world.wanted_inuse = world.wanted_sys - (system - top) - (64 + 48) - (48 + 4096 + 160) - 320 - (8192 - 32 - end) -
                         2048 - (16384 - other_top);
}

static void reads_each_layout(void **state)
{
    for (uint32_t version = 2017; version <= 2041; version++) {
        struct hp_glibc glibc = {0};
        struct hp_glibc_figures figures;
        make_world(version);
        assert_true(hp_glibc_find(&glibc, version, world.data, sizeof world.data, DATA_AT));
        assert_int_equal(glibc.arena, DATA_AT + 0x900);
        assert_int_equal(glibc.parameters, DATA_AT + 0x100);
        assert_int_equal(glibc.base, HEAP_AT);
        assert_true(hp_glibc_walk(&glibc, &of_world, SECOND, scratch, &figures));
        assert_int_equal(figures.arenas, 2);
        assert_int_equal(figures.sys, world.wanted_sys);
        assert_int_equal(figures.mapped, 1 << 20);
        assert_int_equal(figures.inuse, world.wanted_inuse);
        assert_int_equal(figures.lost, 0);
    }
}

static void knows_what_it_does_not_know(void **state)
{
    struct hp_glibc glibc = {0};
    make_world(2036);
    assert_false(hp_glibc_find(&glibc, 2016, world.data, sizeof world.data, DATA_AT));
    assert_false(hp_glibc_find(&glibc, 2042, world.data, sizeof world.data, DATA_AT));
    assert_false(hp_glibc_find(&glibc, 2031, world.data, sizeof world.data, DATA_AT)); /* another layout */
    assert_false(hp_glibc_find(&glibc, 2036, world.data, 0x900, DATA_AT));             /* the parameters alone */
    put_parameters(0x4000, 1 << 20, HEAP_AT);
    assert_false(hp_glibc_find(&glibc, 2036, world.data, sizeof world.data, DATA_AT)); /* two of them */
    make_world(2036);
    put_arena(world.data, 0x5000, DATA_AT + 0x5000, HEAP_AT + 4096, DATA_AT + 0x5000, 65536);
    assert_false(hp_glibc_find(&glibc, 2036, world.data, sizeof world.data, DATA_AT));
    make_world(2036);
    put_parameters(0x100, 1 << 20, 0); /* nothing was allocated yet */
    assert_false(hp_glibc_find(&glibc, 2036, world.data, sizeof world.data, DATA_AT));
    assert_int_equal(glibc.arena, 0);
    assert_int_equal(hp_glibc_version("2.36"), 2036);
    assert_int_equal(hp_glibc_version("glibc 2.17-326.el7"), 2017);
    assert_int_equal(hp_glibc_version("glibc"), 0);
    assert_int_equal(hp_glibc_version("musl 1.2"), 0);
    assert_int_equal(hp_glibc_version("2.123456789012345"), 0);
}

/* A chunk whose size was overwritten: the walk goes on where chunks follow each other again, or at the next live
 * sample. */
static void goes_on_behind_damage(void **state)
{
    const uint64_t damaged = 1040 + 32 + 48, after = damaged + 32 + 4096 + 64 + 48;
    struct hp_glibc glibc = {0};
    struct hp_glibc_figures figures;
    make_world(2036);
    assert_true(hp_glibc_find(&glibc, 2036, world.data, sizeof world.data, DATA_AT));
    world.heap[damaged / 8 + 1] = 0x123456789; /* before it is a free one of 48, behind it one of 4096 */
    assert_true(hp_glibc_walk(&glibc, &of_world, SECOND, scratch, &figures));
    assert_int_equal(figures.lost, 32);
    assert_int_equal(figures.sys, world.wanted_sys);
    assert_in_range(figures.inuse, world.wanted_inuse, world.wanted_inuse + 48);
    /* No head is left up to the live sample. */
    for (uint64_t at = damaged; at < after; at += 8)
        world.heap[at / 8] = 7;
    world_live[0] = HEAP_AT + 1040 + 16;
    world_live[1] = HEAP_AT + after + 16;
    world_live_count = 2;
    assert_true(hp_glibc_walk(&glibc, &of_world, SECOND, scratch, &figures));
    assert_int_equal(figures.lost, after - damaged);
    world_live_count = 0;
}

/* Anything at all: it ends, within its bounds. A heap is damaged in some words, or glibc's structures are. */
static void survives_anything(void **state)
{
    uint64_t random = 1;
    unsigned walked = 0, found = 0;
    for (unsigned round = 0; round < 8000; round++) {
        struct hp_glibc glibc = {0};
        struct hp_glibc_figures figures;
        make_world(2017 + round % 25);
        bool good = hp_glibc_find(&glibc, world.version, world.data, sizeof world.data, DATA_AT);
        assert_true(good);
        uint64_t *const parts[] = {world.data, world.heap, world.other[0], world.other[1]};
        for (unsigned i = 0; i <= round % 5; i++) {
            random = random * 6364136223846793005ull + 1442695040888963407ull;
            uint64_t *part = parts[random >> 60 & 3], at = (random >> 20) % (part == world.data ? 0x1200 : 0x2400) / 8;
            const uint64_t values[] = {0,
                                       ~0ull,
                                       part[at] ^ 1ull << (random >> 52 & 63),
                                       part[(random >> 33) % 512],
                                       HEAP_AT + (random >> 40 & 0xfff0),
                                       OTHER_AT + 48,
                                       random,
                                       16};
            part[at] = values[random >> 57 & 7];
        }
        world_live_count = 3;
        for (unsigned i = 0; i < 3; i++)
            world_live[i] = (i ? OTHER_AT : HEAP_AT) + 16 * i * (random >> 50 & 255);
        qsort(world_live, 3, sizeof *world_live, by_address);
        if (round % 3 == 0)
            ((uint64_t *)&glibc)[random % (sizeof glibc / 8)] ^= 1ull << (random >> 32 & 63);
        found += hp_glibc_find(&(struct hp_glibc){0}, world.version, world.data, sizeof world.data, DATA_AT);
        world.reads = 0;
        if (hp_glibc_walk(&glibc, &of_world, SECOND, scratch, &figures)) {
            walked++;
            assert_true(figures.inuse <= figures.sys);
            assert_true(figures.mapped <= figures.inuse);
        }
        assert_true(world.reads < 50000);
    }
    world_live_count = 0;
    print_message("%u of 8000 damaged heaps were walked, %u found\n", walked, found);
    assert_in_range(walked, 2000, 7600);
}

/* Links in a circle, and a source that never ends, are left at the deadline. */
static long read_endless(void *state, uint64_t address, void *to, size_t size)
{
    if (address - DATA_AT < SIZE)
        return read_world(state, address, to, size);
    memset(to, 0, size);
    for (size_t i = 1; i < size / 8; i += 2)
        ((uint64_t *)to)[i] = 33;
    return (long)size;
}

static void ends_in_time(void **state)
{
    struct hp_glibc glibc = {0};
    struct hp_glibc_figures figures;
    make_world(2031);
    assert_true(hp_glibc_find(&glibc, 2031, world.data, sizeof world.data, DATA_AT));
    uint64_t fast = 1040 + 32 + 48 + 32 + 4096;
    world.heap[fast / 8 + 2] = HEAP_AT + fast; /* to itself */
    assert_true(hp_glibc_walk(&glibc, &of_world, SECOND, scratch, &figures));
    const struct hp_heap_source endless = {read_endless, NULL, NULL};
    uint64_t after = (0x900 + arena_size(2031) - 16) / 8;
    world.data[after] = world.data[after + 1] = 1ull << 45;
    world.data[(0x900 + 16 + 80) / 8] = HEAP_AT + (1ull << 44);
    world.data[(0x900 + 16 + 80 + 16 + 16 * 127 + 16) / 8] = DATA_AT + 0x900;
    uint64_t start = now();
    bool good = hp_glibc_walk(&glibc, &endless, 20000000, scratch, &figures);
    uint64_t took = now() - start;
    print_message("an endless heap: %lu us, %s\n", (unsigned long)(took / 1000), good ? "sampled" : "not known");
    assert_true(took < 200000000);
    assert_true(!good || figures.sampled);
}

int main(void)
{
    scratch = mmap(NULL, sizeof *scratch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory = open("/proc/self/mem", O_RDONLY);
    const struct CMUnitTest of_this_process[] = {
        cmocka_unit_test(agrees_with_mallinfo),
        cmocka_unit_test(races),
        cmocka_unit_test(extrapolates),
    };
    const struct CMUnitTest by_hand[] = {
        cmocka_unit_test(reads_each_layout),     cmocka_unit_test(knows_what_it_does_not_know),
        cmocka_unit_test(goes_on_behind_damage), cmocka_unit_test(survives_anything),
        cmocka_unit_test(ends_in_time),
    };
    int failed = cmocka_run_group_tests(by_hand, NULL, NULL);
    return OTHER_MALLOC ? failed : failed + cmocka_run_group_tests(of_this_process, NULL, NULL);
}
