#include "life/dump.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "arch/arch.h"
#include "base/decimal.h"
#include "kinds/heap/figures.h"
#include "kinds/heap/record.h"
#include "process/thread.h"
#include "ledger/place.h"
#include "ledger/snapshot.h"
#include "ledger/sys.h"
#include "life/gzip.h"
#include "life/library.h"
#include "process/busy.h"

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
    uint32_t sequence;
    uint64_t scratch[] __attribute__((aligned(16)));
};

struct output {
    int fd, pid;
    uint64_t written, limit; /* bytes; limit: RLIMIT_FSIZE, beyond which a write would be a deadly signal */
};

/* Of dumps asked for by signals: any number of requests that come during one dump is served by one more, by whoever is at
 * it. Each dump has its own memory and file, so that a second one at the same time does no harm, if one is started because
 * who was at it seems to be gone: jumped out of the handler, or dead. Of its own thread the owner is always gone, or will be
 * when the request is served: the signal is blocked while it is answered, so that they don't nest without end. (To tell a
 * jump from a nested request by the place on the stack was wrong for each request from deeper down than the jump, and on
 * signal stacks.) */
static struct {
    uint64_t beat_ns;       /* CLOCK_MONOTONIC, coarse: the last sign of life of the owner */
    uint32_t owner;         /* tid; 0: nobody */
    uint32_t asked, served; /* requests, counted */
} requests;
#define SILENT_MOST_NS 200000000ull /* from one piece of a dump to the next */

static void beat(void)
{
    __atomic_store_n(&requests.beat_ns, hp_coarse_ns(), __ATOMIC_RELAXED);
}

static uint64_t next_every_ns; /* CLOCK_MONOTONIC */
static uint64_t growth_base;   /* live estimate at the last dump for growth */

/* Each piece at its place, so that a child that was forked in the middle (by a signal handler that interrupted the dump)
 * writes what its parent writes there, if anything at all. */
static int write_all(void *state, const void *data, size_t size)
{
    struct output *output = state;
    beat();
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
    if (!ends_in_gz(work->path)) {
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

#define TEMPORARY_MOST sizeof ".4294967295.4294967295.tmp"

/* PATH.PID.SEQUENCE.tmp: a parent and its children, or several threads, may write to one name. */
static void name_temporary(struct work *work, size_t length)
{
    char *to = work->temporary;
    memcpy(to, work->path, length);
    to[length++] = '.';
    length += hp_put_decimal(to + length, (unsigned)hp_library.pid, 1);
    to[length++] = '.';
    length += hp_put_decimal(to + length, work->sequence, 1);
    memcpy(to + length, ".tmp", sizeof ".tmp");
}

/* The folder of work->path, in work->temporary. */
static void name_folder(struct work *work)
{
    const char *slash = strrchr(work->path, '/');
    size_t length = slash ? (size_t)(slash - work->path) : 0;
    memcpy(work->temporary, length ? work->path : slash ? "/" : ".", length ? length : 1);
    work->temporary[length ? length : 1] = '\0';
}

static bool is_own_file(const char *path)
{
    struct stat status = {0};
    return hp_sys_lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == hp_sys_getuid();
}

/* True: the temporary name is free now. It was taken by a file of ours: of another process that had our number, and was
 * killed in the middle. */
static bool clear_temporary(const struct work *work)
{
    return is_own_file(work->temporary) && hp_sys_unlink(work->temporary) == 0;
}

/* A file that has the temporary name. */
static int open_draft(const struct work *work)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    int fd = hp_sys_open(work->temporary, flags, 0600);
    if (fd == -EEXIST && clear_temporary(work))
        fd = hp_sys_open(work->temporary, flags, 0600);
    return fd;
}

/* A file that nobody sees, so that nothing is left of it if the target ends, jumps away or is killed meanwhile. *draft:
 * there is none such; it has the temporary name. */
static int open_output(struct work *work, bool *draft)
{
    const size_t length = strlen(work->path);
    name_folder(work);
    int fd = hp_sys_open(work->temporary, O_WRONLY | O_TMPFILE, 0600);
    name_temporary(work, length);
    *draft = fd < 0;
    return fd >= 0 ? fd : open_draft(work);
}

/* Only here others come to see the file: under its final name at once where that is free, else by replacing what is
 * there. */
static int publish_visibly(struct work *work, int fd, bool draft)
{
    char from[HP_PATH_MAX];
    if (!draft) {
        hp_place_descriptor(from, fd);
        int error = hp_sys_link(from, work->path);
        if (error != -EEXIST)
            return error;
        error = hp_sys_link(from, work->temporary);
        if (error == -EEXIST && clear_temporary(work))
            error = hp_sys_link(from, work->temporary);
        if (error < 0)
            return error;
    }
    int error = hp_sys_rename(work->temporary, work->path);
    if (error < 0)
        hp_sys_unlink(work->temporary);
    return error;
}

static uint32_t publishing;            /* threads that may have something under a temporary name */
static uint32_t ended;                 /* nothing is published any more */
#define PUBLISHING_MOST_NS 20000000ull /* that the end of the process waits for them */

void hp_dump_end(void)
{
    const uint64_t start = hp_coarse_ns();
    __atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&publishing, __ATOMIC_SEQ_CST) && hp_coarse_ns() - start < PUBLISHING_MOST_NS)
        hp_syscall(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* No handler comes between, which might jump away and leave what has the temporary name; nor does the end of the process. */
static int publish(struct work *work, int fd, bool draft)
{
    uint64_t before = 0;
    const bool blocked = hp_signals_block(&before);
    __atomic_fetch_add(&publishing, 1, __ATOMIC_SEQ_CST);
    const bool may = !hp_library_was_forked() && !__atomic_load_n(&ended, __ATOMIC_SEQ_CST);
    const int result = may ? publish_visibly(work, fd, draft) : -ECANCELED;
    __atomic_fetch_sub(&publishing, 1, __ATOMIC_SEQ_CST);
    if (blocked)
        hp_signals_restore(before);
    return result;
}

static int write_file(struct work *work)
{
    struct rlimit limit = {0};
    struct output output = {.limit = UINT64_MAX, .pid = hp_library.pid};
    bool draft;
    int error = check_final(work->path);
    if (error < 0)
        return error;
    if (strlen(work->path) + TEMPORARY_MOST > sizeof work->temporary)
        return -ENAMETOOLONG;
    if (hp_sys_getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        output.limit = limit.rlim_cur;
    output.fd = open_output(work, &draft);
    if (output.fd < 0)
        return output.fd;
    error = write_profile(work, &output);
    if (error == 0 && (error = publish(work, output.fd, draft)) == -ENOENT && !draft) {
        /* No /proc to name it by: once more, as a draft. */
        hp_sys_close(output.fd);
        output.written = 0;
        draft = true;
        output.fd = open_draft(work);
        if (output.fd < 0)
            return output.fd;
        error = write_profile(work, &output);
        error = error < 0 ? error : publish(work, output.fd, draft);
    }
    int close_error = hp_sys_close(output.fd);
    if (error < 0 && draft && error != -ECANCELED)
        hp_sys_unlink(work->temporary);
    return error < 0 ? error : close_error;
}

static void complain_of_dump(const char *path, int error)
{
    const char *const parts[] = {"cannot write the profile to ", path, ": ", hp_error_text(-error)};
    hp_complain(parts, 4);
}

static int expand(struct work *work, const struct hp_ledger *ledger, const char *path)
{
    if (!path)
        return hp_expand_pattern(work->path, hp_library.options.output, ledger->program, hp_library.pid, work->sequence,
                                 hp_clock_ns(CLOCK_REALTIME) / 1000000000);
    if (strlen(path) >= sizeof work->path)
        return -ENAMETOOLONG;
    memcpy(work->path, path, strlen(path) + 1);
    return 0;
}

/* Dumps that are being made, for a child that a signal handler forks in the middle of one: it must not leave its parent's
 * ledger before that has come to its end. Not in the thread's own memory: a dump may come on a thread that has none of ours.
 * A slot that somebody jumped away from is known by its mark (busy.h). */
static struct {
    uint32_t tid; /* 0: free */
    uintptr_t mark;
} under_way[16];

static unsigned enter(uint32_t tid, uintptr_t mark)
{
    for (unsigned i = 0; i < sizeof under_way / sizeof *under_way; i++) {
        uint32_t holder = __atomic_load_n(&under_way[i].tid, __ATOMIC_RELAXED);
        const bool is_free = !holder || (holder == tid && under_way[i].mark <= mark);
        if (is_free &&
            __atomic_compare_exchange_n(&under_way[i].tid, &holder, tid, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            under_way[i].mark = mark;
            return i;
        }
    }
    return sizeof under_way / sizeof *under_way;
}

bool hp_dump_is_under_way(struct hp_thread *thread)
{
    for (unsigned i = 0; i < sizeof under_way / sizeof *under_way; i++)
        if (under_way[i].tid && (!thread->tid || under_way[i].tid == thread->tid) &&
            !hp_is_left(under_way[i].mark))
            return true;
    return false;
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
    work->sequence = __atomic_add_fetch(&ledger->dump_sequence, 1, __ATOMIC_RELAXED);
    error = expand(work, ledger, path);
    if (error == 0) {
        const uint32_t kept = hp_float_begin();
        error = write_file(work);
        hp_float_end(kept);
    }
    if (error < 0 && complain && error != -ECANCELED)
        complain_of_dump(work->path[0] ? work->path : hp_library.options.output, error);
    hp_sys_munmap(work, size);
    if (!hp_library_was_forked())
        hp_count(&ledger->audit.other_ns, hp_clock_ns(CLOCK_THREAD_CPUTIME_ID) - start);
    return error;
}

static int dump(const char *path, bool complain)
{
    const uint32_t tid = (uint32_t)hp_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
    const unsigned slot = enter(tid, (uintptr_t)__builtin_frame_address(0));
    const int error = make_dump(path, complain);
    if (slot < sizeof under_way / sizeof *under_way && under_way[slot].tid == tid)
        __atomic_store_n(&under_way[slot].tid, 0, __ATOMIC_RELAXED);
    return error;
}

static bool is_over(uint32_t owner, uint32_t tid)
{
    return !owner || owner == tid ||
           hp_coarse_ns() > __atomic_load_n(&requests.beat_ns, __ATOMIC_RELAXED) + SILENT_MOST_NS ||
           hp_syscall(SYS_tgkill, hp_library.pid, (long)owner, 0, 0, 0, 0) == -ESRCH;
}

/* False: somebody is at it, and will see what was asked. */
static bool begin(uint32_t tid)
{
    uint32_t owner = __atomic_load_n(&requests.owner, __ATOMIC_SEQ_CST);
    if (!is_over(owner, tid))
        return false;
    beat(); /* before it is seen to be ours */
    return __atomic_compare_exchange_n(&requests.owner, &owner, tid, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void end(uint32_t tid)
{
    __atomic_compare_exchange_n(&requests.owner, &tid, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void hp_dump_forked(void)
{
    memset(under_way, 0, sizeof under_way);
    publishing = 0;
    requests.owner = 0;
    requests.served = requests.asked;
}

/* Sequentially consistent, so that of two threads one sees the other's: who asks and finds an owner, or who ends and
 * finds a request. */
void hp_dump_requested(void)
{
    const uint32_t tid = (uint32_t)hp_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
    __atomic_fetch_add(&requests.asked, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&requests.served, __ATOMIC_SEQ_CST) != __atomic_load_n(&requests.asked, __ATOMIC_SEQ_CST) &&
           begin(tid)) {
        __atomic_store_n(&requests.served, __atomic_load_n(&requests.asked, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
        dump(NULL, true);
        end(tid);
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
