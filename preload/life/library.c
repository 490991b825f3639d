#include "life/library.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/single_threaded.h>

#include "allocators/next.h"
#include "base/parse.h"
#include "kinds/heap/figures.h"
#include "kinds/heap/filter.h"
#include "kinds/heap/record.h"
#include "kinds/heap/sampler.h"
#include "kinds/heap/trace.h"
#include "ledger/inherit.h"
#include "ledger/sys.h"
#include "life/describe.h"
#include "life/dump.h"
#include "process/busy.h"
#include "process/thread.h"
#include "unwind/modules.h"
#include "unwind/step.h"
#include "unwind/unwind.h"

struct hp_library hp_library __attribute__((aligned(4096)));
static uint32_t exited;

/* A line fits into a pipe that is ready, so the write does not wait; and a pipe that nobody reads any more must not end
 * a target that itself never wrote to it. A file is always ready; with RLIMIT_NOFILE 0 ppoll would say nothing of it. */
void hp_say(const char *line, size_t size)
{
    struct pollfd ready = {.fd = 2, .events = POLLOUT};
    struct timespec no_time = {0, 0};
    struct stat status = {0};
    bool is_ours = hp_sys_fstat(2, &status) == 0 && (uint64_t)status.st_dev == hp_library.stderr_file[0] &&
                   (uint64_t)status.st_ino == hp_library.stderr_file[1] && status.st_ino;
    if (!is_ours)
        return;
    if (S_ISREG(status.st_mode) ||
        (hp_syscall(SYS_ppoll, (long)&ready, 1, (long)&no_time, 0, 8, 0) == 1 && ready.revents == POLLOUT))
        hp_sys_write(2, line, size);
}

void hp_complain(const char *const *parts, unsigned count)
{
    char line[1024] = "heapprof: ";
    size_t used = strlen(line);
    for (unsigned i = 0; i < count; i++) {
        for (const char *p = parts[i]; *p && used + 2 < sizeof line; p++)
            line[used++] = *p >= ' ' ? *p : '?';
    }
    line[used++] = '\n';
    hp_say(line, used);
}

const char *hp_error_text(int error)
{
    const char *text = strerrordesc_np(error); /* async-signal-safe, unlike strerror */
    return text ? text : "unknown error";
}

static void complain_of_option(const char *variable, const char *value, const char *used)
{
    char shortened[256];
    size_t length = strnlen(value, sizeof shortened - 4);
    memcpy(shortened, value, length);
    memcpy(shortened + length, value[length] ? "..." : "\0\0\0", 4);
    const char *const parts[] = {variable, "=", shortened, " can't be understood; using ", used};
    hp_complain(parts, 5);
}

/* Nothing here touches thread-local memory: the signal may reach a thread that was made by clone(2) with no such memory, or
 * with its own. The ledger can be read at any moment, also in the middle of the cold path. */
void hp_library_handler(int number)
{
    /* A vfork child shares this memory, but is another process: the signal was not for us. */
    if (hp_sys_getpid() == hp_library.pid || hp_library_was_forked())
        hp_dump_requested();
}

void hp_library_own_action(struct sigaction *action)
{
    memset(action, 0, sizeof *action);
    action->sa_handler = hp_library_handler;
    action->sa_flags = SA_RESTART | SA_ONSTACK;
}

/* Only where nothing is installed: the target's own handler, or its wish to ignore the signal, wins. */
static void install_handler(int number)
{
    struct sigaction action, old;
    if (!number || hp_next.sigaction(number, NULL, &old) != 0 || old.sa_handler != SIG_DFL)
        return;
    hp_library_own_action(&action);
    if (hp_next.sigaction(number, &action, NULL) != 0)
        return;
    hp_library.signal = number;
}

void hp_library_note_handler(int number)
{
    /* The kernel's struct begins with the handler on all processors; libc's wrapper may be another library's. */
    uintptr_t action[16] = {0};
    struct hp_ledger *ledger = hp_ledger_now();
    /* A vfork child shares this memory, but not the handlers; one of a fork that has no ledger tells when it has. */
    if (!number || number != hp_library.options.signal || !ledger || hp_library_was_forked() ||
        hp_sys_getpid() != hp_library.pid)
        return;
    if (hp_syscall(SYS_rt_sigaction, number, 0, (long)action, 8, 0, 0) == 0)
        __atomic_store_n(&ledger->signal_answered, action[0] == (uintptr_t)hp_library_handler, __ATOMIC_RELAXED);
}

/* HEAPPROF_FOLLOW=0: take ourselves out of what the target hands on to programs that it executes. */
static void stop_following(void)
{
    for (char **variable = environ; variable && *variable; variable++) {
        if (strncmp(*variable, "LD_PRELOAD=", 11))
            continue;
        char *to = *variable + 11;
        for (char *from = to; *from;) {
            size_t separators = strspn(from, " :"), length = strcspn(from + separators, " :");
            const char *own = memmem(from + separators, length, "libheapprof.so", 14);
            if (!own) {
                memmove(to, from, separators + length);
                to += separators + length;
            }
            from += separators + length;
        }
        *to = '\0';
    }
}

static void before_fork(void)
{
    const struct hp_ledger *ledger = hp_ledger_now();
    hp_thread.heritage = ledger && hp_is_idle(&hp_thread) ? hp_heritage_copy(&hp_library.region.store) : NULL;
}

static void after_fork_in_parent(void)
{
    hp_heritage_free(hp_thread.heritage);
    hp_thread.heritage = NULL;
}

/* From here on this process is a child without a ledger of its own. */
static void become_child(struct hp_heritage *heritage)
{
    struct hp_region *region = &hp_library.region;
    hp_library.parent = hp_library.pid;
    hp_library.pid = hp_sys_getpid();
    *(volatile uint32_t *)(uintptr_t)hp_library.fork_guard = 1;
    hp_thread_forked(&hp_thread);
    hp_thread.random = 0; /* not the same samples as the parent's, but for the gap that it is in */
    hp_dump_forked();
    hp_figures_forked();
    if (hp_library.state == HP_LIBRARY_BUILDING) /* the parent's other thread was at it */
        hp_library.state = HP_LIBRARY_OFF;
    if (hp_library.state != HP_LIBRARY_READY)
        return; /* a child of a child that has no ledger either takes over what that has */
    hp_library.child_interval = hp_interval_now(region->store.ledger);
    hp_library.heritage = heritage;
    hp_region_leave(region);
    hp_describe_forked();
    __atomic_store_n(&hp_library.state, HP_LIBRARY_CHILD, __ATOMIC_RELEASE);
}

/* One whose cold path or dump was interrupted by the handler that forked is left with its parent's ledger until that has
 * ended; it does not write to it any more (hp_library_was_forked). */
static bool is_between(void)
{
    return hp_is_idle(&hp_thread) && !hp_dump_is_under_way(&hp_thread);
}

static void after_fork_in_child(void)
{
    struct hp_heritage *heritage = hp_thread.heritage;
    hp_thread.heritage = NULL;
    if (is_between())
        become_child(heritage);
}

void hp_library_leave_parent(void)
{
    if (is_between())
        become_child(hp_ledger_now() ? hp_heritage_copy(&hp_library.region.store) : NULL);
}

static bool is_sample(uint64_t address)
{
    return hp_maybe_sampled((const void *)(uintptr_t)address);
}

static void add_weight(void *state, uint64_t address, const struct hp_live_data *data)
{
    struct hp_ledger *ledger = hp_library.region.store.ledger;
    const struct hp_ledger_row *row = hp_row_at(&hp_library.region.store, data->row);
    ledger->live_estimate += hp_sampler_weight(data->size, row->interval);
}

static bool start_ledger(uint64_t interval);

static void build_ledger(void)
{
    struct hp_region *region = &hp_library.region;
    struct hp_heritage *heritage = hp_library.heritage;
    if (!start_ledger(hp_library.child_interval)) {
        __atomic_store_n(&hp_library.state, HP_LIBRARY_OFF, __ATOMIC_RELEASE);
        return;
    }
    struct hp_ledger *ledger = region->store.ledger;
    ledger->parent_pid = hp_library.parent;
    if (heritage) {
        hp_count(&ledger->audit.lost, hp_heritage_build(heritage, &region->store, is_sample));
        hp_live_each(&region->store, add_weight, NULL);
        hp_library.heritage = NULL;
        hp_heritage_free(heritage);
    } else {
        hp_step_forget(); /* it has frames of modules by numbers that nothing has any more */
    }
    hp_trace_forked();
    __atomic_store_n(&hp_library.state, HP_LIBRARY_READY, __ATOMIC_RELEASE);
    hp_library_note_handler(hp_library.options.signal); /* the parent's, or its own by now */
}

#define BUILD_ROUNDS 100000 /* that another thread looks whether the ledger is there: some 0.1 ms */

struct hp_ledger *hp_library_make_ledger(void)
{
    uint32_t state = __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE);
    if (hp_library_was_forked()) /* in the middle of its parent's cold path */
        return NULL;
    if (state == HP_LIBRARY_CHILD && __atomic_compare_exchange_n(&hp_library.state, &state, HP_LIBRARY_BUILDING, false,
                                                                 __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
        build_ledger();
    for (unsigned i = 0; state == HP_LIBRARY_BUILDING && i < BUILD_ROUNDS; i++)
        state = __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE);
    return hp_ledger_now();
}

static void make_fork_guard(void)
{
    uint32_t *guard = hp_sys_mmap(NULL, HP_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    static uint32_t always = 1; /* before Linux 4.14: forks that skip the handlers go unnoticed */
    if (guard && hp_sys_madvise(guard, HP_PAGE, MADV_WIPEONFORK) == 0) {
        *guard = 1;
        hp_library.fork_guard = guard;
    } else {
        hp_library.fork_guard = &always;
    }
}

/* Most pages of this table are touched by the first samples, one here and one there: at once they cost a tenth of what
 * they do one by one (sqlite3 ran 1 % slower). Before Linux 5.14 nothing happens. */
static void populate_steps(void)
{
    hp_sys_madvise(hp_step_cache, sizeof hp_step_cache, MADV_POPULATE_WRITE);
}

void hp_library_describe(void)
{
    if (hp_describe(hp_library.region.store.ledger)) {
        populate_steps();
        hp_library_note_handler(hp_library.options.signal); /* Go's runtime installs its own without libc */
    }
}

static bool start_ledger(uint64_t interval)
{
    const struct hp_options *options = &hp_library.options;
    const char *folder = hp_library.folder;
    int file_error = 0;
    if (hp_region_create(&hp_library.region, folder, options->memory, options->depth, interval, &file_error) < 0)
        return false;
    if (file_error < 0 && strcmp(folder, "none") && strcmp(folder, "auto")) {
        const char *const parts[] = {"no ledger in HEAPPROF_LEDGER=", folder, " (", hp_error_text(-file_error),
                                     "); using private memory"};
        hp_complain(parts, 5);
    }
    struct hp_ledger *ledger = hp_library.region.store.ledger;
    ledger->pid = hp_library.pid;
    ledger->uid = hp_sys_getuid();
    ledger->signal = options->signal;
    if (!hp_library.start_time_ns) {
        hp_library.start_time_ns = hp_clock_ns(CLOCK_REALTIME);
        hp_library.start_clock_ns = hp_clock_ns(CLOCK_MONOTONIC);
    }
    ledger->start_time_ns = hp_library.start_time_ns;
    ledger->start_clock_ns = hp_library.start_clock_ns;
    ledger->armed_interval = hp_library.armed_interval;
    memcpy(ledger->allocator, hp_next.version, strnlen(hp_next.version, sizeof ledger->allocator - 1));
    hp_describe_start(ledger, hp_library.directory);
    hp_modules_init(&hp_library.region.store, hp_library.directory);
    return true;
}

/* Before libc is initialised, as in a program's .preinit_array, environ is not set yet: the variables lie where the
 * kernel put them, behind argc and argv. */
static char **initial_environment(void)
{
    extern void *__libc_stack_end;
    const long *count = __libc_stack_end;
    return (char **)(count + 1) + *count + 1;
}

/* False: this process is not to be profiled, or can't be. */
static bool start(void)
{
    struct stat status = {0};
    hp_next_resolve();
    if (getauxval(AT_SECURE))
        return false; /* a setuid program must not write files for whoever started it */
    hp_library.pid = hp_sys_getpid();
    if (hp_sys_fstat(2, &status) == 0) {
        hp_library.stderr_file[0] = (uint64_t)status.st_dev;
        hp_library.stderr_file[1] = (uint64_t)status.st_ino;
    }
    if (hp_sys_getcwd(hp_library.directory, sizeof hp_library.directory) < 0)
        memcpy(hp_library.directory, "/", 2);
    char **environment = environ ? environ : initial_environment();
    hp_options_read(&hp_library.options, environment, hp_library.directory, complain_of_option);
    if (hp_library.options.disable)
        return false;
    make_fork_guard();
    hp_sys_madvise(hp_filter, sizeof hp_filter, MADV_DONTDUMP);
    const char *folder = hp_library.options.ledger;
    memcpy(hp_library.folder, folder, strnlen(folder, sizeof hp_library.folder - 1));
    hp_library.armed_interval = hp_library.options.interval ? hp_library.options.interval : HP_INTERVAL_USUAL;
    if (!start_ledger(hp_library.options.interval)) {
        const char *const parts[] = {"no memory for the profile: this process is not profiled"};
        hp_complain(parts, 1);
        return false;
    }
    __atomic_store_n(&hp_library.state, HP_LIBRARY_READY, __ATOMIC_RELEASE);
    hp_record_interval_changed();
    return true;
}

/* What may call malloc, and so comes when the ledger is ready, on the constructor only. */
static void start_rest(void)
{
    if (hp_library.options.engine != HP_ENGINE_CFI && hp_unwind_init(hp_library.options.engine) < 0) {
        const char *const parts[] = {"HEAPPROF_UNWINDER=libunwind: libunwind.so.8 can't be loaded; using cfi"};
        hp_complain(parts, 1);
    }
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    (void)at_quick_exit(hp_library_exit); /* fails without memory: then only quick_exit goes unnoticed */
    install_handler(hp_library.options.signal);
    hp_library_note_handler(hp_library.options.signal);
    if (!hp_library.options.follow)
        stop_following();
}

bool hp_library_start(void)
{
    uint32_t state = __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE);
    if (state != HP_LIBRARY_NEW)
        return state != HP_LIBRARY_STARTING && state != HP_LIBRARY_OFF;
    if (!__atomic_compare_exchange_n(&hp_library.state, &state, HP_LIBRARY_STARTING, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    const bool started = start();
    if (!started)
        __atomic_store_n(&hp_library.state, HP_LIBRARY_OFF, __ATOMIC_RELEASE);
    return started;
}

__attribute__((constructor)) static void on_load(void)
{
    if (hp_library_start())
        start_rest();
}

void hp_library_exit(void)
{
    const bool at_exit = hp_library.options.at_exit;
    uint32_t state = __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE);
    if (state == HP_LIBRARY_NEW || state == HP_LIBRARY_OFF ||
        (!at_exit && (hp_library_was_forked() || hp_library_is_child())))
        return; /* a child that used nothing leaves nothing */
    hp_library_check_fork();
    if (hp_region_is_sealed() && !at_exit) {
        /* A filter may kill whoever asks for its number or removes a file: the command removes the ledger. */
        struct hp_ledger *left = hp_ledger_now();
        if (left)
            left->closed = 1;
        return;
    }
    if (hp_sys_getpid() != hp_library.pid)
        return; /* a vfork child that could not exec */
    struct hp_ledger *ledger = hp_library_ledger();
    if (!ledger || __atomic_exchange_n(&exited, 1, __ATOMIC_ACQ_REL))
        return;
    if (at_exit) {
        hp_figures_ask(ledger, __builtin_frame_address(0), true);
        hp_dump(NULL);
    }
    hp_dump_end();
    ledger->closed = 1;
    hp_region_remove(&hp_library.region);
}

__attribute__((destructor)) static void on_unload(void)
{
    hp_library_exit();
}

int hp_library_set_interval(uint64_t bytes)
{
    struct hp_ledger *ledger = hp_library_ledger();
    if (!ledger)
        return -ENOSYS;
    if (bytes > 1ull << 40)
        return -EINVAL;
    __atomic_store_n(&ledger->wanted_interval, bytes, __ATOMIC_RELAXED);
    if (bytes) {
        __atomic_store_n(&ledger->armed_interval, bytes, __ATOMIC_RELAXED);
        __atomic_store_n(&hp_library.armed_interval, bytes, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&ledger->interval, bytes, __ATOMIC_SEQ_CST);
    hp_record_interval_changed();
    return 0;
}

void hp_library_before_seccomp(void)
{
    hp_library_check_fork();
    if (hp_library_ledger()) {
        hp_library_describe();
        hp_region_reserve_ahead(&hp_library.region, 4u << 20);
    }
    hp_region_seal();
}
