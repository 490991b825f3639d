/* Over 400 lines, because the layouts, the search and the walk are about one and the same structures: apart, each would
 * have to tell the others what it knows of them. */
#include "ledger/glibc_heap.h"

#include <string.h>

#include "base/sys.h"

/* struct malloc_state, all versions: a lock and flags; since 2.27 have_fastchunks and 4 bytes of padding; then
 *   fast[10], top, last_remainder, bins[254] (pairs of links, an empty one to itself), 16 bytes of binmap, next,
 *   next_free, attached_threads (since 2.23, and in updates of versions before), system_mem, max_system_mem
 */
#define FAST_LISTS 10
#define BINS 127
#define BINS_EMPTY 20 /* at least; of the 63 for large chunks nearly all are */
#define TOP_AT(g) ((g)->fast_at + 8 * FAST_LISTS)
#define BINS_AT(g) (TOP_AT(g) + 16)
#define NEXT_AT(g) (BINS_AT(g) + 16 * BINS + 16)
#define FLAGS_AT 4
#define NONCONTIGUOUS 2u

/* struct malloc_par: trim_threshold, top_pad, mmap_threshold, arena_test, arena_max; since 2.35 thp_pagesize,
 * hp_pagesize, and hp_flags (32 bits); then four of 32 bits: n_mmaps, n_mmaps_max, max_n_mmaps, no_dyn_threshold;
 * mmapped_mem, max_mmapped_mem; until 2.24 or so max_total_mem; sbrk_base */
#define HUGE_PAGE_AT 48
#define MAPPED_AT(version) ((version) >= 2035 ? 80u : 56u)
#define COUNTS_AT(version) ((version) >= 2035 ? 60u : 40u)
#define PARAMETERS_SIZE 104u

/* struct heap_info: ar_ptr, prev, size, mprotect_size; since 2.35 pagesize and padding. */
#define HEAP_INFO(version) ((version) >= 2035 ? 48u : 32u)
#define HEAP_MOST (64ull << 20)

#define FIRST_VERSION 2017
#define LAST_VERSION 2041
#define LEAST_ADDRESS 65536u
#define ADDRESS_LIMIT (1ull << 56)
#define ARENAS_MOST 4096
#define PREV_INUSE 1u
#define IS_MAPPED 2u
#define NON_MAIN 4u
#define CHUNK_LEAST 32u
#define LARGE 1024u
#define FENCEPOST 16u
#define LOST_SHARE 100 /* more than one in so many bytes: again */
#define ATTEMPTS 3
#define WALL_BUDGETS 5
#define COPY_LEAST 4096u
#define CHAIN 8u /* chunks in a row that make a place one where a chunk begins */

uint32_t hp_glibc_version(const char *text)
{
    text += strncmp(text, "glibc ", 6) ? 0 : 6;
    if (strncmp(text, "2.", 2))
        return 0;
    uint32_t minor = 0;
    for (text += 2; *text >= '0' && *text <= '9' && minor < 100; text++)
        minor = minor * 10 + (uint32_t)(*text - '0');
    return minor && minor < 100 ? 2000 + minor : 0;
}

static uint64_t word_at(const void *data, uint64_t at)
{
    return __atomic_load_n((const uint64_t *)((const char *)data + at), __ATOMIC_RELAXED);
}

static uint32_t half_at(const void *data, uint64_t at)
{
    return __atomic_load_n((const uint32_t *)((const char *)data + at), __ATOMIC_RELAXED);
}

static bool is_pointer(uint64_t value)
{
    return value >= LEAST_ADDRESS && value < ADDRESS_LIMIT && value % 16 == 0;
}

static bool is_size(uint64_t now, uint64_t most)
{
    return now % HP_PAGE == 0 && now <= most && most % HP_PAGE == 0 && most < ADDRESS_LIMIT;
}

/* `bins_at`: of bins in data, which is at `address`. */
static bool are_bins(const void *data, uint64_t bins_at, uint64_t address)
{
    unsigned empty = 0;
    for (unsigned i = 0; i < BINS; i++) {
        uint64_t itself = address + bins_at + 16 * i - 16;
        uint64_t forward = word_at(data, bins_at + 16 * i), back = word_at(data, bins_at + 16 * i + 8);
        if (forward == itself && back == itself)
            empty++;
        else if (!is_pointer(forward) || !is_pointer(back))
            return false;
    }
    return empty > BINS_EMPTY;
}

/* Of an arena that begins at `at`: where system_mem is, 0 if it is no arena. */
static uint32_t find_system(const struct hp_glibc *glibc, const void *data, uint64_t at)
{
    uint64_t after = at + NEXT_AT(glibc) + 16, attached = word_at(data, after);
    if (attached < 65536 && word_at(data, after + 8) && is_size(word_at(data, after + 8), word_at(data, after + 16)))
        return (uint32_t)(after + 8 - at);
    if (glibc->version < 2024 && attached && is_size(attached, word_at(data, after + 8)))
        return (uint32_t)(after - at);
    return 0;
}

static bool is_arena(struct hp_glibc *glibc, const void *data, uint64_t at, uint64_t address)
{
    uint64_t next = word_at(data, at + NEXT_AT(glibc));
    /* An arena that isn't the main one stands behind the heap_info of its first heap. */
    if (next != address + at && (!is_pointer(next) || next % (1u << 20) != HEAP_INFO(glibc->version)))
        return false;
    if (half_at(data, at) > 3 || half_at(data, at + FLAGS_AT) > 7 || !is_pointer(word_at(data, at + TOP_AT(glibc))))
        return false;
    glibc->system_at = find_system(glibc, data, at);
    return glibc->system_at != 0;
}

/* At its place in the data; false: there is none, or several. */
static bool find_arena(struct hp_glibc *glibc, const void *data, size_t size, uint64_t address, uint64_t *found)
{
    unsigned count = 0;
    struct hp_glibc here = *glibc;
    const uint64_t end = NEXT_AT(&here) + 16 + 24;
    for (uint64_t at = 0; at + end <= size; at += 8) {
        if (!are_bins(data, at + BINS_AT(&here), address) || !is_arena(&here, data, at, address))
            continue;
        *glibc = here;
        glibc->arena = address + at;
        *found = at;
        count++;
    }
    return count == 1;
}

static uint64_t base_of(uint32_t version, const void *data, uint64_t at, bool earlier)
{
    return word_at(data, at + MAPPED_AT(version) + (earlier ? 24 : 16));
}

static bool are_parameters(const struct hp_glibc *glibc, const void *data, uint64_t at)
{
    uint64_t mapped_at = at + MAPPED_AT(glibc->version), counts_at = at + COUNTS_AT(glibc->version);
    if (!is_size(word_at(data, mapped_at), word_at(data, mapped_at + 8)))
        return false;
    uint32_t count = half_at(data, counts_at), most = half_at(data, counts_at + 8);
    if (count > INT32_MAX || most > INT32_MAX || half_at(data, counts_at + 4) > INT32_MAX ||
        half_at(data, counts_at + 12) > 1)
        return false;
    if ((most == 0) != (word_at(data, mapped_at + 8) == 0) || count > most)
        return false;
    return word_at(data, at + 24) && word_at(data, at + 24) <= INT32_MAX &&
           word_at(data, at + 32) <= INT32_MAX &&                                /* arena_test, arena_max */
           word_at(data, at + 16) > 0 && word_at(data, at + 16) < ADDRESS_LIMIT; /* mmap_threshold */
}

/* sbrk_base tells them from all else: the main arena's memory begins there. */
static bool is_base(const struct hp_glibc *glibc, const void *data, uint64_t arena_at, uint64_t base)
{
    uint64_t top = word_at(data, arena_at + TOP_AT(glibc)), system = word_at(data, arena_at + glibc->system_at);
    if (base < LEAST_ADDRESS || base > top)
        return false;
    return half_at(data, arena_at + FLAGS_AT) & NONCONTIGUOUS || top - base < system;
}

bool hp_glibc_find(struct hp_glibc *glibc, uint32_t version, const void *data, size_t size, uint64_t address)
{
    struct hp_glibc found = {.version = version, .fast_at = version >= 2027 ? 16 : 8};
    uint64_t arena_at = 0;
    unsigned count = 0;
    if (version < FIRST_VERSION || version > LAST_VERSION || address % 8 ||
        !find_arena(&found, data, size, address, &arena_at))
        return false;
    for (uint64_t at = 0; at + PARAMETERS_SIZE <= size; at += 8) {
        bool earlier = version <= 2025 && is_base(&found, data, arena_at, base_of(version, data, at, true));
        if (!earlier && !is_base(&found, data, arena_at, base_of(version, data, at, false)))
            continue;
        if (!are_parameters(&found, data, at))
            continue;
        found.parameters = address + at;
        found.base = base_of(version, data, at, earlier);
        count++;
    }
    if (count != 1)
        return false;
    *glibc = found;
    return true;
}

void hp_glibc_load(const struct hp_glibc *glibc, uint64_t *sys, uint64_t *mapped)
{
    const char *arena = (const char *)(uintptr_t)glibc->arena;
    *mapped = word_at((const char *)(uintptr_t)glibc->parameters, MAPPED_AT(glibc->version));
    *sys = *mapped;
    for (unsigned i = 0; i < ARENAS_MOST; i++) {
        *sys += word_at(arena, glibc->system_at);
        const uint64_t at = word_at(arena, NEXT_AT(glibc));
        arena = (const char *)(uintptr_t)at;
        if (!arena || at == glibc->arena)
            return;
    }
}

/* One that comes out of a ledger may be anything. */
static bool is_known(const struct hp_glibc *glibc)
{
    uint32_t counted = NEXT_AT(glibc) + 16;
    return glibc->version >= FIRST_VERSION && glibc->version <= LAST_VERSION &&
           (glibc->fast_at == 8 || glibc->fast_at == 16) &&
           (glibc->system_at == counted || glibc->system_at == counted + 8) && glibc->arena && glibc->parameters;
}

struct walk {
    const struct hp_glibc *glibc;
    const struct hp_heap_source *source;
    struct hp_glibc_scratch *scratch;
    struct hp_glibc_figures *figures;
    uint64_t start_ns, deadline_ns;      /* of the thread's CPU time: it can't help losing its processor */
    uint64_t quarter_ns;                 /* when a quarter is to be done; 0: no matter */
    uint64_t wall_ns;                    /* CLOCK_MONOTONIC, for what waits */
    uint64_t copy_at, copy_size, wanted; /* what scratch.copy holds, and how much to read next */
    uint64_t link_at, link_size;
    const uint64_t *live;
    size_t live_count;
    bool live_known, late, fast_cut;
    uint64_t fast; /* bytes seen in lists of fast chunks */
    size_t range_count;
    uint64_t total;            /* bytes of all ranges */
    uint64_t free, done, lost; /* bytes, of this attempt */
    uint64_t idle;             /* tops and fast chunks */
};

static bool read_all(struct walk *walk, uint64_t address, void *to, size_t size)
{
    return walk->source->read(walk->source->state, address, to, size) == (long)size;
}

static bool is_late(struct walk *walk)
{
    uint64_t now = hp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    walk->late |= now >= walk->deadline_ns || hp_clock_ns(CLOCK_MONOTONIC) >= walk->wall_ns;
    if (walk->quarter_ns && now >= walk->quarter_ns)
        walk->late |= walk->done + walk->lost < walk->total / 4;
    return walk->late;
}

/* A fast chunk's size and link. Lists often lead to and fro in one page; where they don't, little is read. */
static bool read_link(struct walk *walk, uint64_t chunk, uint64_t *size, uint64_t *next)
{
    uint64_t *page = walk->scratch->link;
    const uint64_t page_size = sizeof walk->scratch->link, at = chunk / page_size * page_size;
    if (chunk < walk->link_at || chunk + 24 > walk->link_at + walk->link_size) {
        bool near = walk->link_at / page_size * page_size == at && chunk + 24 <= at + page_size;
        walk->link_at = near ? at : chunk;
        size_t wanted = near ? page_size : 24;
        long n = walk->source->read(walk->source->state, walk->link_at, page, wanted);
        walk->link_size = n > 0 ? (uint64_t)n : 0;
        if (chunk + 24 > walk->link_at + walk->link_size || is_late(walk))
            return false;
    }
    const uint64_t *words = page + (chunk - walk->link_at) / 8;
    *size = words[1] & ~7ull;
    /* Since 2.32 a link is changed by the address of its own page, against overruns. */
    *next = words[2] ^ (walk->glibc->version >= 2032 ? (chunk + 16) >> 12 : 0);
    return true;
}

/* Each link may take a read of its own, and there may be a million: a quarter of the time at most. What isn't seen
 * counts as in use, and the figure as one of a part. */
static uint64_t sum_fast(struct walk *walk, uint64_t most)
{
    const uint64_t deadline = walk->deadline_ns;
    uint64_t sum = 0;
    walk->deadline_ns = walk->start_ns + (deadline - walk->start_ns) / 4;
    for (unsigned i = 0; i < FAST_LISTS; i++) {
        uint64_t chunk = walk->scratch->arena[walk->glibc->fast_at / 8 + i], size, next;
        while (is_pointer(chunk) && read_link(walk, chunk, &size, &next) && size == CHUNK_LEAST + 16ull * i &&
               sum + size <= most) {
            sum += size;
            chunk = next;
        }
    }
    walk->deadline_ns = deadline;
    walk->fast_cut |= walk->late;
    walk->fast += sum;
    walk->late = false;
    return sum;
}

static void add_range(struct walk *walk, uint64_t start, uint64_t limit, uint64_t end, bool main)
{
    if (start >= limit || walk->range_count == HP_GLIBC_RANGES)
        return;
    walk->scratch->ranges[walk->range_count++] =
        (struct hp_glibc_range){.start = start, .limit = limit, .end = end, .main = main};
    walk->total += limit - start;
}

static uint64_t align(uint64_t address)
{
    return (address + 15) & ~15ull;
}

/* 0 when it can't be read. */
static uint64_t heap_most(struct walk *walk)
{
    uint64_t huge = 0;
    if (walk->glibc->version >= 2035 && !read_all(walk, walk->glibc->parameters + HUGE_PAGE_AT, &huge, sizeof huge))
        return 0;
    return huge && !(huge & (huge - 1)) && huge < ADDRESS_LIMIT / 4 ? 4 * huge : HEAP_MOST;
}

/* From the heap in which the top is, back to the first one. */
static bool add_heaps(struct walk *walk, uint64_t arena, uint64_t top, uint64_t end)
{
    const uint64_t most = heap_most(walk), arena_size = walk->glibc->system_at + 16;
    uint64_t heap = most ? top & ~(most - 1) : 0, info[3], limit = top;
    while (heap) {
        if (!read_all(walk, heap, info, sizeof info) || info[0] != arena || info[2] > most || info[2] < HP_PAGE)
            return false;
        bool first = arena - heap < most;
        uint64_t start = first ? align(arena + arena_size) : heap + HEAP_INFO(walk->glibc->version);
        add_range(walk, start, end ? limit : heap + info[2] - FENCEPOST, end, false);
        if (first)
            return true;
        if (walk->range_count == HP_GLIBC_RANGES)
            return false;
        end = 0;
        heap = info[1];
    }
    return false;
}

static bool add_arena(struct walk *walk, uint64_t arena, uint64_t *next)
{
    const struct hp_glibc *glibc = walk->glibc;
    uint64_t *words = walk->scratch->arena, top_head[2];
    if (!read_all(walk, arena, words, glibc->system_at + 16))
        return false;
    uint64_t system = words[glibc->system_at / 8], top = words[TOP_AT(glibc) / 8];
    *next = words[NEXT_AT(glibc) / 8];
    if (!is_size(system, words[glibc->system_at / 8 + 1]))
        return false;
    walk->figures->sys += system;
    walk->figures->arenas++;
    if (!system)
        return true;
    if (!is_pointer(top) || !read_all(walk, top, top_head, sizeof top_head))
        return false;
    uint64_t top_size = top_head[1] & ~7ull;
    if (top_size > system)
        return false;
    walk->idle += top_size + sum_fast(walk, system - top_size);
    if (arena != glibc->arena)
        return add_heaps(walk, arena, top, top + top_size);
    uint64_t start = align(glibc->base);
    if ((words[0] >> 32 & NONCONTIGUOUS) || top < start || top - start > system)
        return false; /* pieces here and there, of which nothing says where they are */
    add_range(walk, start, top, top + top_size, true);
    return true;
}

static bool add_arenas(struct walk *walk)
{
    uint64_t arena = walk->glibc->arena, next;
    for (unsigned i = 0; i < ARENAS_MOST; i++) {
        if (!add_arena(walk, arena, &next))
            return false;
        if (next == walk->glibc->arena)
            return true;
        if (!is_pointer(next))
            return false;
        arena = next;
    }
    return false;
}

/* The head of the chunk at `at`, of at most `limit` + 16: the size of the one before (if that is free), its own with
 * its flags. NULL: it can't be read, or time is over. Large chunks are jumped over: then little is read at once. */
static const uint64_t *head_at(struct walk *walk, uint64_t at, uint64_t limit)
{
    if (at < walk->copy_at || at + 16 > walk->copy_at + walk->copy_size) {
        bool far = at > walk->copy_at + walk->copy_size + 2 * (uint64_t)COPY_LEAST || at < walk->copy_at;
        walk->wanted = far || !walk->wanted           ? COPY_LEAST
                       : walk->wanted < HP_GLIBC_COPY ? 4 * walk->wanted
                                                      : HP_GLIBC_COPY;
        uint64_t wanted = limit + 16 - at < walk->wanted ? limit + 16 - at : walk->wanted;
        walk->copy_size = 0;
        if (is_late(walk))
            return NULL;
        long n = walk->source->read(walk->source->state, at, walk->scratch->copy, wanted);
        if (n < 16)
            return NULL;
        walk->copy_at = at;
        walk->copy_size = (uint64_t)n;
    }
    return (const uint64_t *)(const void *)(walk->scratch->copy + (at - walk->copy_at));
}

static size_t live_after(struct walk *walk, uint64_t address)
{
    if (!walk->live_known && walk->source->live)
        walk->live_count = walk->source->live(walk->source->state, &walk->live);
    walk->live_known = true;
    size_t low = 0, high = walk->live_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (walk->live[middle] > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The chunk of the first live sample above `at`, at most `limit`. */
static uint64_t next_known(struct walk *walk, uint64_t at, uint64_t limit)
{
    for (size_t i = live_after(walk, at + 16); i < walk->live_count && walk->live[i] < limit + 16; i++)
        if (walk->live[i] % 16 == 0)
            return walk->live[i] - 16;
    return limit;
}

static bool is_chunk(const struct hp_glibc_range *range, uint64_t head)
{
    uint64_t size = head & ~7ull;
    return size % 16 == 0 && size >= FENCEPOST && !(head & IS_MAPPED) && !(range->main && head & NON_MAIN);
}

/* True if from `at` on so many chunks follow each other as glibc would have them. What a program keeps in its objects
 * hardly looks so. */
static bool is_chain(struct walk *walk, const struct hp_glibc_range *range, uint64_t at, uint64_t limit)
{
    const uint64_t *head = head_at(walk, at, limit);
    for (unsigned i = 0; i < CHAIN && head && at < limit; i++) {
        uint64_t size = head[1] & ~7ull, own = head[1];
        if (!is_chunk(range, own) || size < CHUNK_LEAST || size > limit - at)
            return false;
        at += size;
        if (i && (at < walk->copy_at || at + 16 > walk->copy_at + walk->copy_size))
            return i >= CHAIN / 2;
        head = head_at(walk, at, limit);
        if (!head)
            return false;
        bool in_use = head[1] & PREV_INUSE;
        if (in_use ? !range->main && !(own & NON_MAIN) : head[0] != size)
            return false;
    }
    return head != NULL;
}

/* Where to go on after a chunk that made no sense at `at`: a place from which a chain of chunks starts, at the latest
 * the next live sample, of which that is known. */
static uint64_t resynchronise(struct walk *walk, const struct hp_glibc_range *range, uint64_t at, uint64_t limit)
{
    uint64_t known = next_known(walk, at, limit);
    for (uint64_t next = at + 16; next < known; next += 16) {
        const uint64_t *head = head_at(walk, next, limit);
        if (walk->late || !head)
            break;
        if (is_chunk(range, head[1]) && (head[1] & ~7ull) <= limit - next && is_chain(walk, range, next, limit))
            return next;
    }
    return known;
}

/* All chunks from `at` to `limit`, both places where one begins. */
static void walk_chunks(struct walk *walk, const struct hp_glibc_range *range, uint64_t at, uint64_t limit)
{
    uint64_t last = 0; /* bytes of the chunk before; 0: not known */
    while (!walk->late) {
        const uint64_t *head = head_at(walk, at, limit);
        if (walk->late)
            return;
        bool good = head && (at == limit || is_chunk(range, head[1]));
        if (good && last && !(head[1] & PREV_INUSE)) {
            /* Of a large one a piece may have been taken, at its start, since its own head was read. */
            good = head[0] == last || (last >= LARGE && head[0] % 16 == 0 && head[0] >= CHUNK_LEAST && head[0] < last);
            walk->free += good ? head[0] : 0;
        }
        if (good && at == limit)
            return;
        uint64_t size = good ? head[1] & ~7ull : 0;
        if (good && size > limit - at) {
            /* The top has grown down to here since it was looked at. */
            good = limit == range->limit && range->end && at + size <= range->end;
            if (good) {
                walk->free += limit - at;
                walk->done += limit - at;
                return;
            }
        }
        if (good && range->main && size == FENCEPOST && last == FENCEPOST)
            good = false; /* two of them: what follows is not glibc's, but came from the program's own sbrk */
        if (!good) {
            uint64_t next = at >= limit ? limit : resynchronise(walk, range, at, limit);
            walk->lost += next - at;
            if (next == limit)
                return;
            at = next;
            last = 0;
            continue;
        }
        walk->done += size;
        at += size;
        last = size;
    }
}

static void begin(struct walk *walk)
{
    walk->free = walk->done = walk->lost = 0;
    walk->copy_size = walk->wanted = 0;
}

/* False: it would take too long, as is seen after a quarter of the time. */
static bool walk_all(struct walk *walk)
{
    begin(walk);
    uint64_t now = hp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    walk->quarter_ns = now < walk->deadline_ns ? now + (walk->deadline_ns - now) / 4 : now;
    for (size_t i = 0; i < walk->range_count && !walk->late; i++) {
        const struct hp_glibc_range *range = &walk->scratch->ranges[i];
        walk_chunks(walk, range, range->start, range->limit);
    }
    walk->quarter_ns = 0;
    return !walk->late;
}

/* What is between two places known to begin a chunk, around the byte `position` of all ranges. */
struct piece {
    const struct hp_glibc_range *range;
    uint64_t start, limit;
};

static struct piece piece_at(struct walk *walk, uint64_t position)
{
    const struct hp_glibc_range *range = walk->scratch->ranges;
    while (position >= range->limit - range->start) {
        position -= range->limit - range->start;
        range++;
    }
    uint64_t address = range->start + position;
    size_t after = live_after(walk, address + 16);
    struct piece piece = {range, range->start, next_known(walk, address, range->limit)};
    while (after-- && walk->live[after] - 16 > range->start) {
        if (walk->live[after] % 16 == 0) {
            piece.start = walk->live[after] - 16;
            break;
        }
    }
    return piece;
}

/* Student's t for 95 %. */
static double quantile(unsigned count)
{
    static const float few[] = {12.7f, 12.7f, 4.30f, 3.18f, 2.78f, 2.57f, 2.45f, 2.36f, 2.31f, 2.26f};
    unsigned freedom = count - 1;
    return freedom < sizeof few / sizeof *few ? (double)few[freedom] : freedom < 30 ? 2.2 : 1.96;
}

/* Pieces are chosen in proportion to their size, evenly over the heap (multiples of the golden ratio), so that the
 * mean of their shares is the heap's (Hansen and Hurwitz 1943). One that isn't finished in time is left out, unless it
 * is the only one. */
static bool extrapolate(struct walk *walk)
{
    double sum = 0, squares = 0;
    unsigned count = 0;
    walk->late = false;
    for (uint64_t turn = 0; !is_late(walk);) {
        turn += 0x9e3779b97f4a7c15ull;
        begin(walk);
        struct piece piece = piece_at(walk, (uint64_t)((unsigned __int128)turn * walk->total >> 64));
        walk_chunks(walk, piece.range, piece.start, piece.limit);
        if (walk->done < CHUNK_LEAST || (walk->late && count) || walk->lost > walk->done / LOST_SHARE)
            continue;
        double share = (double)walk->free / (double)walk->done;
        sum += share;
        squares += share * share;
        count++;
    }
    if (!count)
        return false;
    double mean = sum / count, variance = count > 1 ? (squares - sum * mean) / (count - 1) / count : mean * (1 - mean);
    /* Half-width without sqrt: libm is not here. Newton's method, from above. */
    double root = variance > 0 ? 1 : 0;
    for (unsigned i = 0; i < 40 && root > 0; i++)
        root = (root + variance / root) / 2;
    double error = quantile(count) * root * (double)walk->total;
    walk->free = (uint64_t)(mean * (double)walk->total);
    walk->figures->error = (uint64_t)(error < (double)walk->total ? error : (double)walk->total);
    walk->figures->sampled = true;
    walk->figures->lost = 0;
    return true;
}

/* The attempt that lost least; what it lost is taken to be free in the same proportion as the rest. */
static bool walk_best(struct walk *walk)
{
    uint64_t best_lost = UINT64_MAX, best_free = 0;
    for (unsigned attempt = 0; attempt < ATTEMPTS && best_lost > walk->total / LOST_SHARE && walk_all(walk);
         attempt++) {
        if (walk->lost >= best_lost)
            continue;
        best_lost = walk->lost;
        best_free = walk->free;
        if (walk->lost && walk->done)
            best_free += (uint64_t)((double)walk->free / (double)walk->done * (double)walk->lost);
    }
    walk->free = best_free;
    walk->figures->lost = best_lost;
    return best_lost != UINT64_MAX;
}

bool hp_glibc_walk(const struct hp_glibc *glibc, const struct hp_heap_source *source, uint64_t budget_ns,
                   struct hp_glibc_scratch *scratch, struct hp_glibc_figures *figures)
{
    struct walk walk = {.glibc = glibc,
                        .source = source,
                        .scratch = scratch,
                        .figures = figures,
                        .start_ns = hp_clock_ns(CLOCK_THREAD_CPUTIME_ID)};
    walk.deadline_ns = walk.start_ns + budget_ns;
    walk.wall_ns = hp_clock_ns(CLOCK_MONOTONIC) + WALL_BUDGETS * budget_ns;
    *figures = (struct hp_glibc_figures){.sys = 0};
    if (!is_known(glibc) ||
        !read_all(&walk, glibc->parameters + MAPPED_AT(glibc->version), &figures->mapped, sizeof figures->mapped) ||
        figures->mapped >= ADDRESS_LIMIT || !add_arenas(&walk))
        return false;
    figures->sys += figures->mapped;
    if (!walk_best(&walk) && !extrapolate(&walk))
        return false;
    if (walk.fast_cut) {
        figures->sampled = true;
        figures->error += walk.fast;
    }
    uint64_t idle = walk.free + walk.idle;
    figures->inuse = idle < figures->sys ? figures->sys - idle : 0;
    if (figures->inuse < figures->mapped)
        figures->inuse = figures->mapped;
    return true;
}
