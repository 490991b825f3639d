#include "ledger/resident.h"

#include <string.h>

#include "base/sys.h"
#include "base/atomic_copy.h"

/* glibc's HEAP_MAX_SIZE on 64-bit machines (malloc/arena.c): an arena other than the main one starts at a multiple. */
#define ARENA_ALIGNMENT (64ull << 20)
/* Where mimalloc asks the kernel to put its memory (mi_os_get_aligned_hint in its os.c), and the kernel by itself puts
 * nothing. */
#define HINTED_START (2ull << 40)
#define HINTED_LIMIT (30ull << 40)
/* Below a thread's stack lies a mapping without any right, of a page for most. */
#define GUARD_MOST (64ull << 10)
#define STACK_UNLIMITED (2ull << 20) /* what glibc takes where RLIMIT_STACK is none */
#define RSS_MOST (1ull << 62)        /* so that no sum overflows, whatever the text says */
/* Linux maps programs below, and libraries and all other mappings above, where an anonymous mapping beside a file may
 * be anything. */
#define PROGRAMS_LIMIT 0x600000000000ull
#define OWN_DATA_MOST (8ull << 20) /* bytes of the library's own variables, most of them untouched */

enum class { HEAP, ARENA, ANONYMOUS, STACK, PROGRAM, FILE_OF_UNKNOWN_KIND, SHARED, OWN, CLASSES };

struct mapping {
    uint64_t start, limit;
    uint64_t device, inode;
    enum class class;
    bool guard;
    bool library; /* a part of our own */
    bool stack;   /* of a thread other than the first */
    uint64_t rss;
};

struct scan {
    const struct hp_resident_hints *hints;
    struct mapping now;
    uint64_t file_rss; /* of the mappings of one file so far, which lie side by side */
    bool file_executable;
    struct hp_resident sums;
};

static bool parse_hex(const char **text, uint64_t *value)
{
    const char *start = *text;
    for (*value = 0;; (*text)++) {
        char c = **text;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit > 15)
            return *text > start;
        *value = *value << 4 | digit;
    }
}

static uint64_t parse_decimal(const char **text)
{
    uint64_t value = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++)
        value = value * 10 + (uint64_t)(**text - '0');
    return value;
}

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && !strcmp(text + length - wanted, end);
}

static bool starts_with(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

static bool is_library(const char *name)
{
    const char *file = strrchr(name, '/');
    return file && starts_with(file, "/libheapprof.so");
}

static bool is_own(const struct hp_resident_hints *hints, const struct mapping *mapping, const char *name)
{
    for (size_t i = 0; i < sizeof hints->own / sizeof *hints->own; i++)
        if (mapping->start >= hints->own[i].start && mapping->limit <= hints->own[i].limit)
            return true;
    return mapping->library || (mapping->inode && mapping->inode == hints->ledger_inode) ||
           (strstr(name, "/heapprof-") && (ends_in(name, ".ledger") || ends_in(name, ".ledger (deleted)")));
}

static bool is_shared_memory(const char *name)
{
    static const char *const starts[] = {"/dev/shm/", "/SYSV", "/memfd:", "/dev/zero", "[anon_shmem"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (starts_with(name, starts[i]))
            return true;
    return false;
}

/* `mode`: "rwxp". */
static enum class class_of(const struct scan *scan, const struct mapping *mapping, const char *mode, const char *name) {
    const struct mapping *before = &scan->now; bool writable = mode[0] == 'r' && mode[1] == 'w' && mode[3] == 'p';
    bool follows = writable && !*name && before->limit == mapping->start;
    if (is_own(scan->hints, mapping, name)) return OWN;
    if (is_shared_memory(name)) return SHARED;
    if (starts_with(name, "[heap]")) return HEAP;
    if (starts_with(name, "[stack")) return STACK;
    if (*name == '[' && !starts_with(name, "[anon")) return PROGRAM; /* [vdso] and the like */
    if (mapping->inode || *name == '/') return FILE_OF_UNKNOWN_KIND;
    if (writable && !*name && mapping->start >= HINTED_START && mapping->start < HINTED_LIMIT) return HEAP;
    if (writable && !*name && mapping->start % ARENA_ALIGNMENT == 0) return ARENA;
    if (follows && before->guard) return STACK;
    if (follows && before->library && mapping->limit - mapping->start <= OWN_DATA_MOST) return OWN;
    if (follows && scan->file_executable &&
        mapping->start < PROGRAMS_LIMIT) return PROGRAM; /* its zero-initialised data */
    return ANONYMOUS;
}

static void end_file(struct scan *scan)
{
    *(scan->file_executable ? &scan->sums.program : &scan->sums.files) += scan->file_rss;
    scan->file_rss = 0;
    scan->file_executable = false;
}

uint64_t hp_resident_pages(int pagemap, uint64_t start, uint64_t limit, uint64_t *entries, size_t count)
{
    uint64_t pages = 0;
    for (uint64_t at = start / HP_PAGE; at < limit / HP_PAGE;) {
        uint64_t left = limit / HP_PAGE - at, wanted = left < count ? left : count;
        long n = hp_sys_pread(pagemap, entries, wanted * sizeof *entries, at * sizeof *entries);
        if (n < (long)sizeof *entries)
            break;
        for (long i = 0; i < n / (long)sizeof *entries; i++)
            pages += entries[i] >> 63;
        at += (uint64_t)n / sizeof *entries;
    }
    return pages;
}

/* What was mapped just above a stack, with the same rights, shows as one mapping with it: more than a stack's size is
 * not all stack. */
static uint64_t stack_part(const struct hp_resident_hints *hints, const struct mapping *mapping)
{
    if (!hints->stack_size || hints->pagemap < 0 || mapping->limit - mapping->start <= hints->stack_size)
        return mapping->rss;
    uint64_t entries[64] = {0}, limit = mapping->start + hints->stack_size - HP_PAGE;
    uint64_t bytes = HP_PAGE * hp_resident_pages(hints->pagemap, mapping->start, limit, entries, 64);
    return bytes < mapping->rss ? bytes : mapping->rss;
}

static void end_mapping(struct scan *scan)
{
    struct mapping *mapping = &scan->now;
    uint64_t stack, room = RSS_MOST - scan->sums.rss;
    if (mapping->rss > room)
        mapping->rss = room;
    scan->sums.rss += mapping->rss;
    switch (mapping->class) {
    case HEAP:
        scan->sums.heap += mapping->rss;
        scan->sums.heap_size += mapping->limit - mapping->start;
        break;
    case ARENA: /* by its place alone */
        scan->sums.anonymous += mapping->rss;
        scan->sums.maybe += mapping->rss;
        scan->sums.maybe_size += mapping->limit - mapping->start;
        break;
    case STACK:
        stack = mapping->stack ? stack_part(scan->hints, mapping) : mapping->rss;
        scan->sums.stacks += stack;
        scan->sums.anonymous += mapping->rss - stack;
        break;
    case PROGRAM:
        scan->sums.program += mapping->rss;
        break;
    case FILE_OF_UNKNOWN_KIND:
        scan->file_rss += mapping->rss;
        break;
    case SHARED:
        scan->sums.shared += mapping->rss;
        break;
    case OWN:
        scan->sums.own += mapping->rss;
        break;
    case ANONYMOUS:
    case CLASSES:
    default:
        scan->sums.anonymous += mapping->rss;
    }
}

/* "START-LIMIT rwxp OFFSET MAJOR:MINOR INODE   NAME" */
static void begin_mapping(struct scan *scan, const char *line)
{
    struct mapping next = {0};
    uint64_t offset, major, minor;
    const char *p = line;
    if (!parse_hex(&p, &next.start) || *p++ != '-' || !parse_hex(&p, &next.limit) || *p++ != ' ')
        return;
    const char *mode = p;
    if (strnlen(p, 5) < 5)
        return;
    p += 5;
    if (!parse_hex(&p, &offset) || *p++ != ' ' || !parse_hex(&p, &major) || *p++ != ':' || !parse_hex(&p, &minor) ||
        *p++ != ' ')
        return;
    next.device = major << 32 | minor;
    next.inode = parse_decimal(&p);
    while (*p == ' ')
        p++;
    uint64_t end = (scan->now.limit + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (scan->now.class == ARENA && !strncmp(mode, "---p", 4) && !*p && next.start == scan->now.limit &&
        next.limit >= end)
        scan->now.class = HEAP; /* what the arena may still grow by lies behind it, without rights */
    next.library = is_library(p);
    next.class = class_of(scan, &next, mode, p);
    next.library |=
        next.class == OWN && !*p && scan->now.library && next.start == scan->now.limit; /* and what follows it */
    end_mapping(scan);
    if (next.inode != scan->now.inode || next.device != scan->now.device || !next.inode)
        end_file(scan);
    next.guard = !strncmp(mode, "---p", 4) && !next.inode && next.limit - next.start <= GUARD_MOST;
    if (next.class == FILE_OF_UNKNOWN_KIND && mode[2] == 'x')
        scan->file_executable = true;
    next.stack = next.class == STACK && scan->now.guard;
    scan->now = next;
}

static void scan_line(struct scan *scan, const char *line)
{
    bool rss = starts_with(line, "Rss:"), swap = starts_with(line, "Swap:");
    if (rss || swap) {
        const char *p = line + strcspn(line, "0123456789");
        *(rss ? &scan->now.rss : &scan->sums.swapped) += parse_decimal(&p) * 1024;
    } else if ((line[0] >= '0' && line[0] <= '9') || (line[0] >= 'a' && line[0] <= 'f')) {
        begin_mapping(scan, line);
    }
}

struct hp_resident hp_resident_read(int smaps, const struct hp_resident_hints *hints, char *buffer, size_t size)
{
    struct scan scan = {.hints = hints};
    size_t used = 0;
    bool skipping = false; /* the rest of a line that was longer than the buffer */
    for (;;) {
        long n = hp_sys_read(smaps, buffer + used, size - 1 - used);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return (struct hp_resident){0};
        if (n == 0)
            break;
        used += (size_t)n;
        buffer[used] = '\0';
        char *line = buffer, *end;
        while ((end = memchr(line, '\n', used - (size_t)(line - buffer)))) {
            *end = '\0';
            if (!skipping)
                scan_line(&scan, line);
            skipping = false;
            line = end + 1;
        }
        used -= (size_t)(line - buffer);
        memmove(buffer, line, used);
        if (used == size - 1) {
            used = 0;
            skipping = true;
        }
    }
    end_mapping(&scan);
    end_file(&scan);
    scan.sums.known = scan.sums.rss > 0;
    return scan.sums;
}

int hp_proc_open(const char *process, const char *file)
{
    char path[64] = "/proc/";
    size_t length = strlen(process);
    if (length > 16)
        return -EINVAL;
    memcpy(path + 6, process, length);
    path[6 + length] = '/';
    memcpy(path + 7 + length, file, strlen(file) + 1);
    return hp_sys_open(path, O_RDONLY, 0);
}

struct hp_resident hp_resident_of(const char *process, int pid, struct hp_resident_hints *hints, char *buffer,
                                  size_t size)
{
    struct rlimit limit = {0};
    struct hp_resident resident = {0};
    int smaps = hp_proc_open(process, "smaps");
    if (smaps < 0)
        return resident;
    if (hp_syscall(SYS_prlimit64, pid, RLIMIT_STACK, 0, (long)&limit, 0, 0) == 0)
        hints->stack_size = limit.rlim_cur == RLIM_INFINITY ? STACK_UNLIMITED : limit.rlim_cur;
    hints->pagemap = hp_proc_open(process, "pagemap");
    resident = hp_resident_read(smaps, hints, buffer, size);
    if (hints->pagemap >= 0)
        hp_sys_close(hints->pagemap);
    hints->pagemap = -1;
    hp_sys_close(smaps);
    return resident;
}

static void move_to_heap(struct hp_resident *resident, uint64_t bytes)
{
    if (bytes > resident->anonymous)
        bytes = resident->anonymous;
    resident->anonymous -= bytes;
    resident->heap += bytes;
    if (resident->maybe > resident->anonymous)
        resident->maybe = resident->anonymous;
}

void hp_resident_add_arenas(struct hp_resident *resident, uint64_t size)
{
    uint64_t missing = size > resident->heap_size ? size - resident->heap_size : 0;
    if (missing >= resident->maybe_size)
        move_to_heap(resident, resident->maybe);
    else
        move_to_heap(resident, (uint64_t)((double)resident->maybe * ((double)missing / (double)resident->maybe_size)));
}

void hp_resident_add_heap(struct hp_resident *resident, uint64_t bytes)
{
    move_to_heap(resident, bytes);
}

#define KEPT_MOST_NS 1000000000ull
#define ABOUT_LEAST (1ull << 20)
#define ABOUT_SHARE 32

bool hp_resident_about(uint64_t live, uint64_t other)
{
    uint64_t apart = live > other ? live - other : other - live;
    return apart <= ABOUT_LEAST || apart <= live / ABOUT_SHARE;
}

bool hp_resident_recall(const struct hp_resident_kept *kept, uint64_t now_ns, uint64_t live,
                        enum hp_resident_costs costs, struct hp_resident *resident, uint64_t *age_ns)
{
    uint32_t version = __atomic_load_n(&kept->version, __ATOMIC_ACQUIRE);
    struct hp_resident_kept copy;
    hp_atomic_copy_out(&copy, kept, sizeof copy);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint64_t most = costs * copy.cost_ns;
    if (version & 1 || __atomic_load_n(&kept->version, __ATOMIC_RELAXED) != version || now_ns < copy.time_ns ||
        now_ns - copy.time_ns >= (most < KEPT_MOST_NS ? most : KEPT_MOST_NS) || !hp_resident_about(live, copy.live))
        return false;
    *resident = copy.resident;
    *age_ns = now_ns - copy.time_ns;
    return true;
}

void hp_resident_keep(struct hp_resident_kept *kept, uint64_t start_ns, uint64_t end_ns, uint64_t live,
                      const struct hp_resident *resident)
{
    uint32_t version = __atomic_load_n(&kept->version, __ATOMIC_RELAXED);
    if (version & 1 ||
        !__atomic_compare_exchange_n(&kept->version, &version, version + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    const struct hp_resident_kept next = {
        .time_ns = start_ns, .cost_ns = end_ns - start_ns, .live = live, .resident = *resident};
    hp_atomic_copy_in(&kept->unused, &next.unused, sizeof next - offsetof(struct hp_resident_kept, unused));
    __atomic_store_n(&kept->version, version + 2, __ATOMIC_RELEASE);
}
