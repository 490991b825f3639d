#include "dump.h"

#include <errno.h>
#include <string.h>

#include "figures.h"
#include "gzip.h"
#include "ledger/snapshot.h"
#include "ledger/sys.h"
#include "library.h"
#include "record.h"
#include "sampler.h"

#define SMAPS_BUFFER 16384
#define WALK_NS 20000000ull /* at most, for the allocator's figures */

/* A dump's working memory, mapped anew each time: signal stacks are small. */
struct work {
    char path[HP_PATH_MAX];
    char temporary[HP_PATH_MAX];
    char smaps[SMAPS_BUFFER];
    char text_buffer[HP_TEXT_BUFFER];
    struct hp_gzip gzip;
    struct hp_ledger_view view;
    uint64_t size, scratch_size;
    uint64_t scratch[] __attribute__((aligned(16)));
};

struct output {
    int fd;
    uint64_t written, limit; /* bytes; limit: RLIMIT_FSIZE, beyond which a write would be a deadly signal */
};

static uint32_t dumping;       /* 1: a dump is going on; taken by compare-and-swap */
static uintptr_t dumper;       /* its hp_thread */
static uint32_t requests;      /* made while another dump was going on */
static uint64_t next_every_ns; /* CLOCK_MONOTONIC */
static uint64_t growth_base;   /* live estimate at the last dump for growth */

static int write_all(void *state, const void *data, size_t size)
{
    struct output *output = state;
    if (size > output->limit - output->written)
        return -EFBIG;
    for (size_t done = 0; done < size;) {
        long n = hp_sys_write(output->fd, (const char *)data + done, size - done);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        done += (size_t)n;
    }
    output->written += size;
    return 0;
}

static bool ends_in_gz(const char *path)
{
    size_t length = strlen(path);
    return length > 3 && !strcmp(path + length - 3, ".gz");
}

static void read_resident(struct work *work, struct hp_moment *moment)
{
    struct hp_ledger *ledger = hp_ledger_now();
    const uint64_t live = ledger ? __atomic_load_n(&ledger->live_estimate, __ATOMIC_RELAXED) : 0;
    if (!ledger || hp_resident_recall(&ledger->resident, moment->clock_ns, live, HP_RESIDENT_SOON, &moment->resident,
                                      &moment->resident_age_ns))
        return;
    uint64_t own = (uint64_t)(uintptr_t)work, region = (uint64_t)(uintptr_t)ledger;
    struct hp_resident_hints hints = {.own = {{region, region + work->view.layout.size}, {own, own + work->size}}};
    moment->resident = hp_resident_of("self", 0, &hints, work->smaps, sizeof work->smaps);
    hp_resident_keep(&ledger->resident, moment->clock_ns, hp_clock_ns(CLOCK_MONOTONIC), live,
                     &moment->resident);
}

static struct hp_moment moment_of(struct work *work)
{
    const struct hp_ledger *ledger = work->view.ledger;
    struct rusage usage = {0};
    struct hp_moment moment = {.time_ns = hp_clock_ns(CLOCK_REALTIME),
                               .clock_ns = hp_clock_ns(CLOCK_MONOTONIC),
                               .sequence = ledger->dump_sequence,
                               .process = "self"};
    moment.own_ns = hp_ticks_to_ns(ledger, hp_audit_read(ledger).own_ticks, hp_ticks(), moment.clock_ns);
    if (hp_sys_getrusage(RUSAGE_SELF, &usage) == 0)
        moment.max_rss = (uint64_t)usage.ru_maxrss * 1024;
    hp_figures_walk(hp_ledger_now(), WALK_NS, &moment.figures);
    read_resident(work, &moment);
    return moment;
}

static int write_profile(struct work *work, struct output *output)
{
    struct hp_text text;
    struct hp_moment moment = moment_of(work);
    if (!ends_in_gz(work->path)) {
        hp_text_init(&text, write_all, output, work->text_buffer);
        return hp_ledger_view_write(&work->view, &moment, &text, work->scratch, work->scratch_size);
    }
    int error = hp_gzip_begin(&work->gzip, write_all, output);
    if (error < 0)
        return error;
    hp_text_init(&text, hp_gzip_write, &work->gzip, work->text_buffer);
    error = hp_ledger_view_write(&work->view, &moment, &text, work->scratch, work->scratch_size);
    int end_error = hp_gzip_end(&work->gzip);
    return error < 0 ? error : end_error;
}

/* What may stand at the final name: nothing, or a regular file of ours, which is replaced. Links, devices, folders and
 * other people's files are not. */
static int check_final(const char *path)
{
    struct stat status = {0};
    int error = hp_sys_lstat(path, &status);
    if (error == -ENOENT)
        return 0;
    if (error < 0)
        return error;
    if (S_ISLNK(status.st_mode))
        return -ELOOP;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    if (!S_ISREG(status.st_mode))
        return -EEXIST;
    return status.st_uid == hp_sys_getuid() ? 0 : -EPERM;
}

#define TEMPORARY_MOST sizeof ".4294967295.tmp"

/* PATH.PID.tmp: a parent and its children may end at once, and write to one name. */
static void name_temporary(char *temporary, const char *path, size_t length)
{
    char digits[10];
    unsigned count = 0;
    memcpy(temporary, path, length);
    temporary[length++] = '.';
    for (unsigned pid = (unsigned)hp_library.pid; pid || !count; pid /= 10)
        digits[count++] = (char)('0' + pid % 10);
    while (count)
        temporary[length++] = digits[--count];
    memcpy(temporary + length, ".tmp", sizeof ".tmp");
}

static int write_file(struct work *work)
{
    size_t length = strlen(work->path);
    struct rlimit limit = {0};
    struct output output = {.limit = UINT64_MAX};
    int error = check_final(work->path);
    if (error < 0)
        return error;
    if (length + TEMPORARY_MOST > sizeof work->temporary)
        return -ENAMETOOLONG;
    name_temporary(work->temporary, work->path, length);
    if (hp_sys_getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        output.limit = limit.rlim_cur;
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    output.fd = hp_sys_open(work->temporary, flags, 0600);
    struct stat status = {0};
    if (output.fd == -EEXIST && hp_sys_lstat(work->temporary, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_uid == hp_sys_getuid()) {
        hp_sys_unlink(work->temporary); /* left by a process that was killed while it wrote */
        output.fd = hp_sys_open(work->temporary, flags, 0600);
    }
    if (output.fd < 0)
        return output.fd;
    error = write_profile(work, &output);
    int close_error = hp_sys_close(output.fd);
    if (error == 0)
        error = close_error;
    if (error == 0)
        error = hp_sys_rename(work->temporary, work->path);
    if (error < 0)
        hp_sys_unlink(work->temporary);
    return error;
}

static void complain_of_dump(const char *path, int error)
{
    const char *reason = strerrordesc_np(-error); /* async-signal-safe, unlike strerror */
    const char *const parts[] = {"cannot write the profile to ", path, ": ", reason ? reason : "unknown error"};
    hp_complain(parts, 4);
}

/* All rows will be written: their pages are had at once for less than one by one. */
static void populate_rows(struct work *work, uint64_t size)
{
    uint64_t start = (sizeof *work + hp_ledger_view_base_size()) / 4096 * 4096;
    hp_sys_madvise((char *)work + start, size - start, MADV_POPULATE_WRITE);
}

/* The caller holds `dumping`. */
static int dump_now(const char *path, bool complain)
{
    struct hp_ledger *ledger = hp_ledger_now();
    struct hp_ledger_view view;
    if (!ledger)
        return -ENOSYS;
    hp_library_describe(ledger);
    int error = hp_ledger_view_open(&view, ledger, ledger->layout.size);
    if (error < 0)
        return error;
    uint64_t scratch_size = hp_ledger_view_scratch_size(&view);
    uint64_t size = (sizeof(struct work) + scratch_size + 4095) / 4096 * 4096;
    struct work *work = hp_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (!work) {
        if (complain)
            complain_of_dump(path ? path : hp_library.options.output, -ENOMEM);
        return -ENOMEM;
    }
    hp_sys_madvise(work, size, MADV_DONTDUMP); /* keeps it a mapping of its own in smaps */
    populate_rows(work, size);
    work->view = view;
    work->size = size;
    work->scratch_size = scratch_size;
    uint32_t sequence = __atomic_add_fetch(&ledger->dump_sequence, 1, __ATOMIC_RELAXED);
    if (!path)
        error = hp_expand_pattern(work->path, hp_library.options.output, ledger->program, hp_library.pid, sequence,
                                  hp_clock_ns(CLOCK_REALTIME) / 1000000000);
    else if (strlen(path) < sizeof work->path)
        memcpy(work->path, path, strlen(path) + 1);
    else
        error = -ENAMETOOLONG;
    if (error == 0) {
#if defined(__x86_64__)
        /* The target's rounding and traps are not for our arithmetic, and ours not for its flags. */
        uint32_t kept = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(0x1f80);
        error = write_file(work);
        __builtin_ia32_ldmxcsr(kept);
#else
        error = write_file(work);
#endif
    }
    if (error < 0 && complain)
        complain_of_dump(work->path[0] ? work->path : hp_library.options.output, error);
    hp_sys_munmap(work, size);
    return error;
}

static bool begin(void)
{
    uint32_t free_now = 0;
    if (!__atomic_compare_exchange_n(&dumping, &free_now, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    __atomic_store_n(&dumper, (uintptr_t)&hp_thread, __ATOMIC_RELAXED);
    return true;
}

static void end(void)
{
    __atomic_store_n(&dumper, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&dumping, 0, __ATOMIC_RELEASE);
}

/* Requests that came meanwhile: any number of them is served by one dump, which is newer than all of them. */
static void serve_requests(void)
{
    while (__atomic_load_n(&requests, __ATOMIC_ACQUIRE) && begin()) {
        __atomic_store_n(&requests, 0, __ATOMIC_RELEASE);
        dump_now(NULL, true);
        end();
    }
}

void hp_dump_forked(void)
{
    if (dumper != (uintptr_t)&hp_thread)
        end();
    requests = 0;
}

void hp_dump_requested(void)
{
    int kept = errno;
    __atomic_store_n(&requests, 1, __ATOMIC_RELEASE);
    serve_requests();
    errno = kept;
}

int hp_dump(const char *path)
{
    int kept = errno;
    while (!begin()) {
        if (__atomic_load_n(&dumper, __ATOMIC_RELAXED) == (uintptr_t)&hp_thread)
            return -EBUSY;
        hp_syscall(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    }
    int error = dump_now(path, path == NULL);
    end();
    serve_requests();
    errno = kept;
    return error;
}

void hp_dump_triggers(struct hp_ledger *ledger)
{
    const struct hp_options *options = &hp_library.options;
    bool wanted = false;
    if (options->every_ns) {
        uint64_t now = hp_clock_ns(CLOCK_MONOTONIC_COARSE);
        uint64_t due = __atomic_load_n(&next_every_ns, __ATOMIC_RELAXED);
        if (!due)
            due = ledger->start_clock_ns + options->every_ns;
        if (now >= due) {
            uint64_t expected = __atomic_load_n(&next_every_ns, __ATOMIC_RELAXED);
            wanted = __atomic_compare_exchange_n(&next_every_ns, &expected, now + options->every_ns, false,
                                                 __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        }
    }
    if (options->growth) {
        uint64_t live = __atomic_load_n(&ledger->live_estimate, __ATOMIC_RELAXED);
        uint64_t base = __atomic_load_n(&growth_base, __ATOMIC_RELAXED);
        if (live > base && live - base >= options->growth && live < 1ull << 62)
            wanted |= __atomic_compare_exchange_n(&growth_base, &base, live, false, __ATOMIC_RELAXED,
                                                  __ATOMIC_RELAXED);
    }
    if (wanted)
        hp_dump_requested();
}
