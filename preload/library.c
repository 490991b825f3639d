#include "library.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/single_threaded.h>

#include "describe.h"
#include "dump.h"
#include "figures.h"
#include "ledger/sys.h"
#include "modules.h"
#include "next.h"
#include "record.h"
#include "sampler.h"
#include "step.h"
#include "thread.h"
#include "trace.h"
#include "unwind.h"

enum { NOT_STARTED, STARTING, READY, OFF };

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

static void complain_of_option(const char *variable, const char *value, const char *used)
{
    char shortened[256];
    size_t length = strnlen(value, sizeof shortened - 4);
    memcpy(shortened, value, length);
    memcpy(shortened + length, value[length] ? "..." : "\0\0\0", 4);
    const char *const parts[] = {variable, "=", shortened, " can't be understood; using ", used};
    hp_complain(parts, 5);
}

static void on_signal(int number)
{
    int kept = errno;
    /* A vfork child shares this memory, but is another process: the signal was not for us. */
    if (hp_sys_getpid() == hp_library.pid || *hp_library.fork_guard == 0) {
        if (hp_thread.busy)
            hp_thread.dump_wanted = true; /* when the cold path that was interrupted ends */
        else {
            hp_library_check_fork();
            hp_dump_requested();
        }
    }
    errno = kept;
}

/* Only where nothing is installed: the target's own handler, or its wish to ignore the signal, wins. */
static void install_handler(int number)
{
    struct sigaction action, old;
    if (!number || sigaction(number, NULL, &old) != 0 || old.sa_handler != SIG_DFL)
        return;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigaction(number, &action, NULL);
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
    hp_thread.fork_alone = __libc_single_threaded;
    hp_thread.fork_file = hp_ledger_now() && !hp_thread.busy ? hp_region_fork_prepare(&hp_library.region) : -1;
}

static void after_fork_in_parent(void)
{
    hp_region_fork_parent(hp_thread.fork_file);
}

static void move_to_child(int fork_file)
{
    struct hp_region *region = &hp_library.region;
    if (!hp_ledger_now())
        return;
    int parent = hp_library.pid;
    hp_library.pid = hp_sys_getpid();
    if (hp_library.fork_guard)
        *(volatile uint32_t *)(uintptr_t)hp_library.fork_guard = 1;
    hp_region_fork_child(region, fork_file, fork_file >= 0 && hp_thread.fork_alone);
    if (!region->ledger) {
        __atomic_store_n(&hp_library.state, OFF, __ATOMIC_RELEASE);
        return;
    }
    region->ledger->pid = hp_library.pid;
    region->ledger->uid = hp_sys_getuid();
    if (getppid() == 0) /* the parent made a pid namespace for its children */
        region->ledger->pid_namespace = hp_pid_namespace();
    region->ledger->parent_pid = parent;
    hp_dump_forked();
    hp_figures_forked();
    hp_trace_forked(region->ledger);
    memset(&region->ledger->resident, 0, sizeof region->ledger->resident);
    hp_thread_forked(region->ledger, &hp_thread);
    hp_describe_forked();
    hp_thread.random = 0; /* not the same samples as the parent's, but for the gap that it is in */
    hp_marking_update();
}

static void after_fork_in_child(void)
{
    move_to_child(hp_thread.fork_file);
    hp_sampler_restart(&hp_thread);
}

void hp_library_check_fork(void)
{
    if (hp_library.fork_guard && *hp_library.fork_guard == 0)
        move_to_child(-1);
}

static void make_fork_guard(void)
{
    uint32_t *guard = hp_sys_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    static uint32_t always = 1; /* before Linux 4.14: forks that skip the handlers go unnoticed */
    if (guard && hp_sys_madvise(guard, 4096, MADV_WIPEONFORK) == 0) {
        *guard = 1;
        hp_library.fork_guard = guard;
    } else {
        hp_library.fork_guard = &always;
    }
}

/* Most pages of these tables are touched by the first samples, one here and one there: at once they cost a tenth of what
 * they do one by one (sqlite3 ran 1 % slower). Before Linux 5.14 nothing happens. */
static void populate_tables(void)
{
    hp_sys_madvise(hp_filter, sizeof hp_filter, MADV_POPULATE_WRITE);
    hp_sys_madvise(hp_step_cache, sizeof hp_step_cache, MADV_POPULATE_WRITE);
}

void hp_library_describe(struct hp_ledger *ledger)
{
    if (hp_describe(ledger))
        populate_tables();
}

static bool start_ledger(void)
{
    const struct hp_options *options = &hp_library.options;
    int file_error = 0;
    if (hp_region_create(&hp_library.region, options->ledger, options->memory, options->depth, &file_error) < 0)
        return false;
    if (file_error < 0 && strcmp(options->ledger, "none") && strcmp(options->ledger, "auto")) {
        const char *reason = strerrordesc_np(-file_error);
        const char *const parts[] = {"no ledger in HEAPPROF_LEDGER=", options->ledger, " (", reason ? reason : "?",
                                     "); using private memory"};
        hp_complain(parts, 5);
    }
    struct hp_ledger *ledger = hp_library.region.ledger;
    ledger->pid = hp_library.pid;
    ledger->uid = hp_sys_getuid();
    ledger->start_time_ns = hp_clock_ns(CLOCK_REALTIME);
    ledger->start_clock_ns = hp_clock_ns(CLOCK_MONOTONIC);
    ledger->start_ticks = hp_ticks();
    ledger->intervals[0] = ledger->wanted_interval = options->interval;
    ledger->epoch_count = 1;
    hp_library.armed_interval = options->interval ? options->interval : 512 * 1024;
    if (hp_next.version)
        memcpy(ledger->allocator, hp_next.version, strnlen(hp_next.version, sizeof ledger->allocator - 1));
    hp_describe_start(ledger, hp_library.directory);
    hp_modules_init(ledger, hp_library.directory);
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

static void start(void)
{
    struct stat status = {0};
    hp_next_resolve();
    if (getauxval(AT_SECURE)) {
        /* A setuid program must not write files for whoever started it. */
        __atomic_store_n(&hp_library.state, OFF, __ATOMIC_RELEASE);
        return;
    }
    hp_library.pid = hp_sys_getpid();
    if (hp_sys_fstat(2, &status) == 0) {
        hp_library.stderr_file[0] = (uint64_t)status.st_dev;
        hp_library.stderr_file[1] = (uint64_t)status.st_ino;
    }
    if (hp_sys_getcwd(hp_library.directory, sizeof hp_library.directory) < 0)
        memcpy(hp_library.directory, "/", 2);
    hp_options_read(&hp_library.options, environ ? environ : initial_environment(), hp_library.directory,
                    complain_of_option);
    make_fork_guard();
    if (!start_ledger()) {
        const char *const parts[] = {"no memory for the profile: this process is not profiled"};
        hp_complain(parts, 1);
        __atomic_store_n(&hp_library.state, OFF, __ATOMIC_RELEASE);
        return;
    }
    __atomic_store_n(&hp_library.state, READY, __ATOMIC_RELEASE);
    hp_marking_update();
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
    if (!hp_library.options.follow)
        stop_following();
}

bool hp_library_start(void)
{
    uint32_t state = __atomic_load_n(&hp_library.state, __ATOMIC_ACQUIRE);
    if (state != NOT_STARTED)
        return state == READY;
    if (!__atomic_compare_exchange_n(&hp_library.state, &state, STARTING, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    start();
    return hp_library.state == READY;
}

__attribute__((constructor)) static void on_load(void)
{
    if (hp_library_start())
        start_rest();
}

void hp_library_exit(void)
{
    struct hp_ledger *ledger = hp_ledger_now();
    if (!ledger)
        return;
    hp_library_check_fork();
    if (hp_sys_getpid() != hp_library.pid)
        return; /* a vfork child that could not exec */
    ledger = hp_ledger_now();
    if (!ledger || __atomic_exchange_n(&exited, 1, __ATOMIC_ACQ_REL))
        return;
    if (hp_library.options.at_exit) {
        hp_figures_ask(ledger, __builtin_frame_address(0), true);
        hp_dump(NULL);
    }
    ledger->closed = 1;
    hp_region_remove(&hp_library.region);
}

__attribute__((destructor)) static void on_unload(void)
{
    hp_library_exit();
}

int hp_library_set_interval(uint64_t bytes)
{
    struct hp_ledger *ledger = hp_ledger_now();
    if (!ledger)
        return -ENOSYS;
    if (bytes > 1ull << 40)
        return -EINVAL;
    __atomic_store_n(&ledger->wanted_interval, bytes, __ATOMIC_RELAXED);
    uint32_t epoch = 0, count = __atomic_load_n(&ledger->epoch_count, __ATOMIC_ACQUIRE);
    /* An interval that was used before keeps its epoch: switching to and fro makes no new entries. */
    while (epoch < count && hp_interval_at(ledger, epoch) != bytes)
        epoch++;
    if (epoch == count) {
        do {
            if (count == HP_EPOCHS) {
                __atomic_store_n(&ledger->wanted_interval, hp_interval_now(ledger), __ATOMIC_RELAXED);
                return -ENOSPC;
            }
        } while (!__atomic_compare_exchange_n(&ledger->epoch_count, &count, count + 1, false, __ATOMIC_ACQ_REL,
                                              __ATOMIC_ACQUIRE));
        epoch = count;
        __atomic_store_n(&ledger->intervals[epoch], bytes, __ATOMIC_RELEASE);
    }
    if (bytes) {
        __atomic_store_n(&ledger->armed_epoch, epoch, __ATOMIC_RELEASE);
        __atomic_store_n(&hp_library.armed_interval, bytes, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&ledger->epoch, epoch, __ATOMIC_SEQ_CST); /* before the samples are looked at */
    hp_marking_update();
    return 0;
}

void hp_library_before_seccomp(void)
{
    struct hp_ledger *ledger = hp_ledger_now();
    if (ledger) {
        hp_library_describe(ledger);
        hp_region_seal(&hp_library.region, 4u << 20);
    }
}
