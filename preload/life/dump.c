#include "life/dump.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "arch/arch.h"
#include "kinds/heap/figures.h"
#include "ledger/snapshot.h"
#include "base/sys.h"
#include "life/describe.h"
#include "life/dump_turns.h"
#include "life/fork.h"
#include "life/gzip.h"
#include "life/new_file.h"
#include "process/complain.h"
#include "process/library.h"

#define SMAPS_BUFFER 16384
#define WALK_NS 20000000ull /* at most, for the allocator's figures */

/* A dump's working memory, mapped anew each time: signal stacks are small. */
struct work {
    struct hp_new_file file;
    char smaps[SMAPS_BUFFER];
    char text_buffer[HP_TEXT_BUFFER];
    struct hp_gzip gzip;
    struct hp_ledger_view view;
    uint64_t size, scratch_size;
    uint64_t scratch[] __attribute__((aligned(16)));
};

struct output {
    int fd, pid;
    uint64_t written, limit; /* bytes; limit: RLIMIT_FSIZE, beyond which a write would be a deadly signal */
};

static uint64_t next_every_ns; /* CLOCK_MONOTONIC */
static uint64_t growth_base;   /* live estimate at the last dump for growth */

/* Each piece at its place, so that a child that was forked in the middle (by a signal handler that interrupted the
 * dump) writes what its parent writes there, if anything at all. */
static int write_all(void *state, const void *data, size_t size)
{
    struct output *output = state;
    hp_dump_beat();
    if (size > output->limit - output->written)
        return -EFBIG;
    for (size_t done = 0; done < size;) {
        if (hp_library_was_forked() || hp_library.pid != output->pid)
            return -ECANCELED;
        long n = hp_sys_pwrite(output->fd, (const char *)data + done, size - done, output->written + done);
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
    struct hp_ledger *ledger = hp_library.region.store.ledger;
    const uint64_t live = __atomic_load_n(&ledger->live_estimate, __ATOMIC_RELAXED);
    if (hp_resident_recall(&ledger->resident, moment->clock_ns, live, HP_RESIDENT_SOON, &moment->resident,
                           &moment->resident_age_ns))
        return;
    uint64_t own = (uint64_t)(uintptr_t)work;
    struct hp_resident_hints hints = {.own = {{own, own + work->size}}};
    hp_region_hints(&hp_library.region, &hints);
    moment->resident = hp_resident_of("self", 0, &hints, work->smaps, sizeof work->smaps);
    hp_resident_keep(&ledger->resident, moment->clock_ns, hp_clock_ns(CLOCK_MONOTONIC), live, &moment->resident);
}

static struct hp_moment moment_of(struct work *work)
{
    const struct hp_ledger *ledger = work->view.ledger;
    struct rusage usage = {0};
    struct hp_moment moment = {.time_ns = hp_clock_ns(CLOCK_REALTIME),
                               .clock_ns = hp_clock_ns(CLOCK_MONOTONIC),
                               .sequence = ledger->dump_sequence,
                               .process = "self"};
    const struct hp_audit audit = hp_audit_read(ledger);
    moment.own_ns = hp_audit_own_ns(&audit);
    if (hp_sys_getrusage(RUSAGE_SELF, &usage) == 0)
        moment.max_rss = (uint64_t)usage.ru_maxrss * 1024;
    hp_figures_walk(hp_library.region.store.ledger, WALK_NS, &moment.figures);
    read_resident(work, &moment);
    return moment;
}

static int write_profile(struct work *work, struct output *output)
{
    struct hp_text text;
    struct hp_moment moment = moment_of(work);
    if (!ends_in_gz(work->file.path)) {
        hp_text_init(&text, write_all, output, work->text_buffer);
        return hp_snapshot_write(&work->view, &moment, &text, work->scratch, work->scratch_size);
    }
    int error = hp_gzip_begin(&work->gzip, write_all, output);
    if (error < 0)
        return error;
    hp_text_init(&text, hp_gzip_write, &work->gzip, work->text_buffer);
    error = hp_snapshot_write(&work->view, &moment, &text, work->scratch, work->scratch_size);
    int end_error = hp_gzip_end(&work->gzip);
    return error < 0 ? error : end_error;
}

static int write_file(struct work *work)
{
    struct rlimit limit = {0};
    struct output output = {.limit = UINT64_MAX, .pid = hp_library.pid};
    struct hp_new_file *file = &work->file;
    int error = hp_new_file_open(file);
    if (error < 0)
        return error;
    if (hp_sys_getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        output.limit = limit.rlim_cur;
    output.fd = file->fd;
    error = write_profile(work, &output);
    if (error == 0 && (error = hp_new_file_publish(file)) < 0 && error != -ECANCELED && !file->is_named) {
        /* No /proc to name it by, or no such call: once more, as a draft. */
        error = hp_new_file_reopen(file);
        if (error < 0)
            return error;
        output.fd = file->fd;
        output.written = 0;
        error = write_profile(work, &output);
        error = error < 0 ? error : hp_new_file_publish(file);
    }
    return hp_new_file_close(file, error);
}

static void complain_of_dump(const char *path, int error)
{
    const char *const parts[] = {"cannot write the profile to ", path, ": ", hp_error_text(-error)};
    hp_complain(parts, 4);
}

static int expand(struct work *work, const struct hp_ledger *ledger, const char *path)
{
    if (!path)
        return hp_expand_pattern(work->file.path, hp_library.options.output, ledger->program, hp_library.pid,
                                 work->file.sequence, hp_clock_ns(CLOCK_REALTIME) / 1000000000);
    if (strlen(path) >= sizeof work->file.path)
        return -ENAMETOOLONG;
    memcpy(work->file.path, path, strlen(path) + 1);
    return 0;
}

static int make_dump(const char *path, bool complain)
{
    hp_library_check_fork();
    struct hp_ledger *ledger = hp_library_ledger();
    const struct hp_store *store = &hp_library.region.store;
    struct hp_ledger_view view;
    if (!ledger)
        return -ENOSYS;
    const uint64_t start = hp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    hp_library_describe();
    int error = hp_ledger_view_open(&view, ledger, store->chunks, ledger->size);
    if (error < 0)
        return error;
    uint64_t scratch_size = hp_snapshot_scratch_size(&view);
    uint64_t size = (sizeof(struct work) + scratch_size + HP_PAGE - 1) / HP_PAGE * HP_PAGE;
    struct work *work = hp_sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (!work) {
        if (complain)
            complain_of_dump(path ? path : hp_library.options.output, -ENOMEM);
        return -ENOMEM;
    }
    hp_sys_madvise(work, size, MADV_DONTDUMP); /* keeps it a mapping of its own in smaps */
    work->view = view;
    work->size = size;
    work->scratch_size = scratch_size;
    work->file.sequence = __atomic_add_fetch(&ledger->dump_sequence, 1, __ATOMIC_RELAXED);
    error = expand(work, ledger, path);
    if (error == 0) {
        const uint32_t kept = hp_float_begin();
        error = write_file(work);
        hp_float_end(kept);
    }
    if (error < 0 && complain && error != -ECANCELED)
        complain_of_dump(work->file.path[0] ? work->file.path : hp_library.options.output, error);
    hp_sys_munmap(work, size);
    if (!hp_library_was_forked())
        hp_count(&ledger->audit.other_ns, hp_clock_ns(CLOCK_THREAD_CPUTIME_ID) - start);
    return error;
}

static uint32_t own_tid(void)
{
    return (uint32_t)hp_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

static int dump(const char *path, bool complain)
{
    const uint32_t tid = own_tid();
    const unsigned slot = hp_dump_enter(tid, (uintptr_t)__builtin_frame_address(0));
    const int error = make_dump(path, complain);
    hp_dump_leave(slot, tid);
    return error;
}

void hp_dump_requested(void)
{
    const uint32_t tid = own_tid();
    hp_dump_ask();
    while (hp_dump_turn_begin(tid)) {
        dump(NULL, true);
        hp_dump_turn_end(tid);
    }
}

int hp_dump(const char *path)
{
    return dump(path, path == NULL);
}

void hp_dump_triggers(struct hp_ledger *ledger)
{
    const struct hp_options *options = &hp_library.options;
    bool wanted = false;
    if (options->every_ns) {
        uint64_t now = hp_coarse_ns();
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
            wanted |= __atomic_compare_exchange_n(&growth_base, &base, live, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    if (wanted)
        hp_dump_requested();
}
