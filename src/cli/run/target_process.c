#include "cli/run/target_process.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/core/memory.h"

/* Sent to this process alone: the target gets them, too. Those of the keyboard reach the whole
 * process group, so here they only must not end the wait. */
static const int forwarded[] = {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
static const int ignored[] = {SIGINT, SIGQUIT};

static volatile pid_t target; /* read by the handler; set before the signals are let through */

static void forward(int number)
{
    int saved = errno;
    kill(target, number);
    errno = saved;
}

static void take_signals(void)
{
    struct sigaction action = {.sa_handler = forward, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
        sigaction(forwarded[i], &action, NULL);
    action.sa_handler = SIG_IGN;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        sigaction(ignored[i], &action, NULL);
}

/* In the child: what exec failed with goes through `report`, which closes by itself when it
 * succeeds. */
static void become(char **argv, const sigset_t *mask, int report)
{
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(argv[0], argv);
    int reason = errno;
    if (write(report, &reason, sizeof reason) != (ssize_t)sizeof reason)
        _exit(126);
    _exit(127);
}

int hp_run_target(char **argv, hp_run_started_fn *started, void *state, pid_t *pid, int *wait_status,
                  struct hp_error *error)
{
    int report[2], reason = 0;
    sigset_t all, mask;
    if (pipe2(report, O_CLOEXEC))
        return hp_error_set(error, -errno, "pipe: %s", strerror(errno));
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask);
    *pid = fork();
    if (*pid == 0)
        become(argv, &mask, report[1]);
    int fork_errno = errno;
    target = *pid;
    if (*pid > 0)
        take_signals();
    sigprocmask(SIG_SETMASK, &mask, NULL);
    close(report[1]);
    if (*pid < 0) {
        close(report[0]);
        return hp_error_set(error, -fork_errno, "fork: %s", strerror(fork_errno));
    }
    ssize_t told;
    do
        told = read(report[0], &reason, sizeof reason);
    while (told < 0 && errno == EINTR);
    close(report[0]);
    if (told == 0)
        started(state, *pid);
    while (waitpid(*pid, wait_status, 0) < 0)
        if (errno != EINTR)
            return hp_error_set(error, -errno, "waiting for process %d: %s", (int)*pid, strerror(errno));
    if (told == (ssize_t)sizeof reason)
        return hp_error_set(error, -reason, "%s: %s", argv[0], strerror(reason));
    return 0;
}

/* The pattern as glob(3) wants it: what the library fills in is a star, the rest is taken
 * literally. */
static char *glob_of(const char *pattern, pid_t pid)
{
    char *result = hp_alloc(strlen(pattern) * 12 + 1, 1), *out = result;
    for (; *pattern; pattern++) {
        if (*pattern == '%' && pattern[1]) {
            pattern++;
            if (*pattern == '%')
                *out++ = '%';
            else if (*pattern == 'p' && pid)
                out += sprintf(out, "%d", (int)pid);
            else
                *out++ = '*';
        } else {
            if (strchr("*?[]\\", *pattern))
                *out++ = '\\';
            *out++ = *pattern;
        }
    }
    *out = 0;
    return result;
}

struct dated {
    char *path;
    struct timespec time;
};

static bool earlier(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* Names end in the dump's number, so they decide between files of one tick of the clock. */
static int by_time(const void *a, const void *b)
{
    const struct dated *left = a, *right = b;
    if (earlier(&left->time, &right->time))
        return -1;
    return earlier(&right->time, &left->time) ? 1 : strcmp(left->path, right->path);
}

void hp_dumps_find(const char *pattern, pid_t pid, const struct timespec *since, struct hp_dumps *dumps)
{
    *dumps = (struct hp_dumps){0};
    char *wanted = glob_of(pattern, pid);
    glob_t found;
    int status = glob(wanted, GLOB_NOSORT, NULL, &found);
    free(wanted);
    if (status)
        return;
    struct dated *all = hp_alloc(found.gl_pathc, sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct stat file;
        if (!stat(found.gl_pathv[i], &file) && S_ISREG(file.st_mode) && !earlier(&file.st_mtim, since))
            all[count++] = (struct dated){hp_strdup(found.gl_pathv[i]), file.st_mtim};
    }
    globfree(&found);
    qsort(all, count, sizeof *all, by_time);
    dumps->paths = hp_alloc(count, sizeof *dumps->paths);
    for (size_t i = 0; i < count; i++)
        dumps->paths[dumps->count++] = all[i].path;
    free(all);
}

void hp_dumps_free(struct hp_dumps *dumps)
{
    for (size_t i = 0; i < dumps->count; i++)
        free(dumps->paths[i]);
    free(dumps->paths);
    *dumps = (struct hp_dumps){0};
}
