/* A library to preload into real programs: it takes every JUDGE_EVERY-th allocation's stack with the library's own
 * unwinder and with libunwind, in one and the same hook, and appends to the file JUDGE_OUTPUT, when the program ends,
 * one line of counts and one for each place where the two part.
 *
 *   stacks  PROGRAM TAB all TAB equal TAB longer TAB shorter TAB different TAB frames
 *   part    PROGRAM TAB class TAB count TAB last common frame TAB ours TAB theirs
 *   time    PROGRAM TAB ns of ours TAB frames TAB ns of libunwind's TAB frames
 *
 * longer: libunwind stopped, our stack goes on; shorter: the other way round; different: both go on, elsewhere.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks/hooks.h"
#include "ledger/region.h"
#include "ledger/snapshot.h"
#include "base/sys.h"
#include "unwind/modules.h"
#include "unwind/unwind.h"

enum { DEPTH = 400, ROOM = 512, PARTS = 256 };
enum verdict { EQUAL, LONGER, SHORTER, DIFFERENT, VERDICTS };

static const char *const verdict_names[VERDICTS] = {"equal", "longer", "shorter", "different"};

/* Where two stacks part: the last common address, and what each says comes next (0: nothing). */
struct part {
    uint64_t count;
    uintptr_t common, ours, theirs;
    enum verdict verdict;
};

static struct hp_region region;
static int (*libunwind_backtrace)(void **, int);
static uint64_t every = 1, verdicts[VERDICTS], frames_seen;
static uint64_t start_ns, start_ticks;
static uint64_t turns, our_ticks, their_ticks, their_frames; /* theirs begin in this library */
static struct part parts[PARTS];
static uint32_t parts_busy;
static __thread uint64_t countdown __attribute__((tls_model("initial-exec")));
static __thread bool inside __attribute__((tls_model("initial-exec")));

/* Of the processor's counter where it has one: a call of the clock takes as long as a short stack. */
static uint64_t ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return hp_clock_ns(CLOCK_MONOTONIC);
#endif
}

static uintptr_t address_of(uint64_t frame)
{
    uint64_t module = frame >> HP_FRAME_MODULE_SHIFT, offset = frame & HP_FRAME_OFFSET_MASK;
    if (!module)
        return offset;
    return hp_module_address(frame);
}

static void note_part(enum verdict verdict, uintptr_t common, uintptr_t ours, uintptr_t theirs)
{
    while (__atomic_exchange_n(&parts_busy, 1, __ATOMIC_ACQUIRE))
        ;
    unsigned i = 0;
    while (i < PARTS && parts[i].count && (parts[i].common != common || parts[i].verdict != verdict))
        i++;
    if (i < PARTS) {
        if (!parts[i].count)
            parts[i] = (struct part){.common = common, .ours = ours, .theirs = theirs, .verdict = verdict};
        parts[i].count++;
    }
    __atomic_store_n(&parts_busy, 0, __ATOMIC_RELEASE);
}

static bool same(uint64_t frame, const void *address)
{
    uintptr_t ours = address_of(frame);
    return ours == (uintptr_t)address || ours == (uintptr_t)address + 1; /* of a signal frame ours is one more */
}

static void note_time(uint64_t ours, uint64_t theirs)
{
    __atomic_add_fetch(&our_ticks, ours, __ATOMIC_RELAXED);
    __atomic_add_fetch(&their_ticks, theirs, __ATOMIC_RELAXED);
}

static __attribute__((noinline)) void compare(const void *frame_address)
{
    uint64_t ours[ROOM];
    void *theirs[ROOM];
    uintptr_t caller = ((const uintptr_t *)frame_address)[1];
    struct hp_met met;
    unsigned most, first = 0, i = 0;
    int found;
    uint64_t start = ticks(), middle;
    if (__atomic_fetch_add(&turns, 1, __ATOMIC_RELAXED) & 1) { /* who comes second finds the stack in the cache */
        found = libunwind_backtrace(theirs, ROOM);
        middle = ticks();
        most = hp_unwind(frame_address, ours, DEPTH, &met);
        uint64_t end = ticks();
        note_time(end - middle, middle - start);
    } else {
        most = hp_unwind(frame_address, ours, DEPTH, &met);
        middle = ticks();
        found = libunwind_backtrace(theirs, ROOM);
        uint64_t end = ticks();
        note_time(middle - start, end - middle);
    }
    unsigned count = found > 0 ? (unsigned)found : 0;
    __atomic_add_fetch(&their_frames, count, __ATOMIC_RELAXED);
    while (first < count && (uintptr_t)theirs[first] != caller)
        first++;
    count -= first;
    while (count && !theirs[first + count - 1])
        count--;
    while (i < most && i < count && same(ours[i], theirs[first + i]))
        i++;
    enum verdict verdict = i == most && i == count ? EQUAL : i == count ? LONGER : i == most ? SHORTER : DIFFERENT;
    if (met.truncated && i == most)
        verdict = EQUAL;
    __atomic_add_fetch(&verdicts[verdict], 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&frames_seen, most, __ATOMIC_RELAXED);
    if (verdict != EQUAL)
        note_part(verdict, i ? address_of(ours[i - 1]) : 0, i < most ? address_of(ours[i]) : 0,
                  i < count ? (uintptr_t)theirs[first + i] : 0);
}

static inline __attribute__((always_inline)) void judge(const void *frame_address)
{
    if (__builtin_expect(++countdown >= every, 0) && libunwind_backtrace && !inside) {
        int kept = errno;
        countdown = 0;
        inside = true;
        compare(frame_address);
        inside = false;
        errno = kept;
    }
}

HP_HOOK void *malloc(size_t size)
{
    judge(HP_FRAME);
    return hp_next.malloc(size);
}

HP_HOOK void *calloc(size_t count, size_t size)
{
    judge(HP_FRAME);
    return hp_next.calloc(count, size);
}

HP_HOOK void *realloc(void *pointer, size_t size)
{
    judge(HP_FRAME);
    return hp_next.realloc(pointer, size);
}

__attribute__((constructor)) static void start(void)
{
    static char directory[HP_PATH_MAX];
    int file_error;
    const char *wanted = getenv("JUDGE_EVERY");
    if (wanted && atoi(wanted) > 0)
        every = (uint64_t)atoi(wanted);
    if (hp_region_create(&region, "none", 64 << 20, DEPTH, 524288, &file_error) < 0)
        return;
    start_ns = hp_clock_ns(CLOCK_MONOTONIC);
    start_ticks = ticks();
    if (!getcwd(directory, sizeof directory))
        return;
    hp_modules_init(&region.store, directory);
    hp_unwind_init(HP_ENGINE_CFI);
    void *library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    if (library)
        libunwind_backtrace = (int (*)(void **, int))dlsym(library, "unw_backtrace");
}

static void put_address(FILE *file, uintptr_t address)
{
    Dl_info info;
    if (!address)
        fprintf(file, "\t(end)");
    else if (!dladdr((void *)(address - 1), &info))
        fprintf(file, "\t0x%lx", (unsigned long)address);
    else
        fprintf(file, "\t%s:0x%lx(%s)",
                strrchr(info.dli_fname, '/') ? strrchr(info.dli_fname, '/') + 1 : info.dli_fname,
                (unsigned long)(address - (uintptr_t)info.dli_fbase), info.dli_sname ? info.dli_sname : "?");
}

__attribute__((destructor)) static void finish(void)
{
    const char *path = getenv("JUDGE_OUTPUT");
    uint64_t all = 0;
    inside = true;
    for (unsigned i = 0; i < VERDICTS; i++)
        all += verdicts[i];
    FILE *file = path && all ? fopen(path, "ae") : NULL;
    if (!file)
        return;
    static char text[1 << 16];
    setvbuf(file, text, _IOFBF, sizeof text);
    fprintf(file, "stacks\t%s\t%lu\t%lu\t%lu\t%lu\t%lu\t%lu\n", program_invocation_short_name, (unsigned long)all,
            (unsigned long)verdicts[EQUAL], (unsigned long)verdicts[LONGER], (unsigned long)verdicts[SHORTER],
            (unsigned long)verdicts[DIFFERENT], (unsigned long)frames_seen);
    const uint64_t passed = ticks() - start_ticks, passed_ns = hp_clock_ns(CLOCK_MONOTONIC) - start_ns;
    const double ns_per_tick = passed ? (double)passed_ns / (double)passed : 0;
    fprintf(file, "time\t%s\t%lu\t%lu\t%lu\t%lu\n", program_invocation_short_name,
            (unsigned long)((double)our_ticks * ns_per_tick), (unsigned long)frames_seen,
            (unsigned long)((double)their_ticks * ns_per_tick), (unsigned long)their_frames);
    for (unsigned i = 0; i < PARTS && parts[i].count; i++) {
        fprintf(file, "part\t%s\t%s\t%lu", program_invocation_short_name, verdict_names[parts[i].verdict],
                (unsigned long)parts[i].count);
        put_address(file, parts[i].common);
        put_address(file, parts[i].ours);
        put_address(file, parts[i].theirs);
        fputc('\n', file);
    }
    fclose(file);
}
