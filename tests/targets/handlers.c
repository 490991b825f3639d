/* Does something with the handler of SIGUSR2, in one way of many, says "ready", and waits: handlers WAY. */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Deprecated, and used. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

void (*__sysv_signal(int number, void (*handler)(int)))(int);

static void own(int number)
{
    (void)number;
    static const char said[] = "own handler\n";
    (void)!write(STDOUT_FILENO, said, sizeof said - 1);
}

static void own_and_out(int number)
{
    own(number);
    _exit(0);
}

static void action(void (*handler)(int), struct sigaction *old)
{
    struct sigaction wanted = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR2, &wanted, old);
}

/* Past libc, as Go's runtime does; a handler must not return: x86-64 insists on a way back, and this is none. */
static void raw(uintptr_t handler)
{
    enum { HAS_RESTORER = 0x04000000 };
    uintptr_t wanted[4] = {handler, HAS_RESTORER, handler};
    syscall(SYS_rt_sigaction, SIGUSR2, wanted, NULL, 8);
}

static void *wait_blocked(void *nothing)
{
    for (;;)
        pause();
    return nothing;
}

static void block(bool also_main)
{
    sigset_t mask, old;
    pthread_t thread;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mask, &old);
    pthread_create(&thread, NULL, wait_blocked, NULL);
    if (!also_main)
        pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* A handler of the child alone, in the parent's memory. */
__attribute__((noinline)) static void in_vfork_child(void)
{
    pid_t child = vfork();
    if (child == 0) {
        signal(SIGUSR2, own);
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

int main(int count, char **arguments)
{
    const char *way = count > 1 ? arguments[1] : "";
    struct sigaction old;
    if (!strcmp(way, "raw-early")) /* than the first sample */
        raw((uintptr_t)own_and_out);
    void *volatile sampled = malloc(1 << 20);
    (void)sampled;
    if (!strcmp(way, "sigaction"))
        action(own, NULL);
    else if (!strcmp(way, "signal"))
        signal(SIGUSR2, own);
    else if (!strcmp(way, "sysv_signal"))
        __sysv_signal(SIGUSR2, own);
    else if (!strcmp(way, "sigset"))
        sigset(SIGUSR2, own);
    else if (!strcmp(way, "other"))
        signal(SIGUSR1, own);
    else if (!strcmp(way, "asked"))
        sigaction(SIGUSR2, NULL, &old);
    else if (!strcmp(way, "restored")) {
        action(own, &old);
        sigaction(SIGUSR2, &old, NULL);
    } else if (!strcmp(way, "ignored"))
        signal(SIGUSR2, SIG_IGN);
    else if (!strcmp(way, "raw-ignored"))
        raw((uintptr_t)SIG_IGN);
    else if (!strcmp(way, "default"))
        signal(SIGUSR2, SIG_DFL);
    else if (!strcmp(way, "raw-default"))
        raw((uintptr_t)SIG_DFL);
    else if (!strcmp(way, "blocked"))
        block(true);
    else if (!strcmp(way, "blocked-once"))
        block(false);
    else if (!strcmp(way, "vfork"))
        in_vfork_child();
    else if (!strcmp(way, "fork")) {
        signal(SIGUSR2, own);
        pid_t child = fork();
        if (child)
            return waitpid(child, NULL, 0) < 0;
        sampled = malloc(64 << 20); /* a child has a ledger from its first sample on */
    }
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    sleep(100);
    sleep(100); /* what was interrupted by a handler */
    return 0;
}
