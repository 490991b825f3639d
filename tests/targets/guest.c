/* A target that minds its process: descriptors, children, limits, system calls. The first argument says which. What it
 * prints must not depend on the library. */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Close what is there, open files under the same numbers, and see that they stay as they are. */
static int descriptors(const char *folder)
{
    char path[4096], contents[64];
    allocate_much(0, 20000);
    for (int i = 3; i < 65536; i++)
        close(i);
    for (int i = 3; i < 40; i++) {
        snprintf(path, sizeof path, "%s/own.%d", folder, i);
        CHECK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600) == i);
        snprintf(contents, sizeof contents, "contents of %d", i);
        CHECK(write(i, contents, sizeof contents) == sizeof contents);
        CHECK(lseek(i, 5, SEEK_SET) == 5);
    }
    allocate_much(20000, 40000);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, (void *(*)(void *))(uintptr_t)getpid, NULL) == 0);
    pthread_join(thread, NULL);
    allocate_much(60000, 4000);
    for (int i = 3; i < 40; i++) {
        char expected[64], found[64] = "";
        struct stat status;
        snprintf(path, sizeof path, "%s/own.%d", folder, i);
        snprintf(expected, sizeof expected, "contents of %d", i);
        CHECK(lseek(i, 0, SEEK_CUR) == 5);
        CHECK(fstat(i, &status) == 0 && status.st_size == sizeof contents);
        CHECK(pread(i, found, sizeof found, 0) == sizeof found && !strcmp(found, expected));
    }
    puts("untouched");
    return 0;
}

/* Threads and descriptors that the process has. */
static int counts(void)
{
    static const char *const folders[] = {"/proc/self/task", "/proc/self/fd"};
    allocate_much(0, 10000);
    for (int i = 0; i < 2; i++) {
        int count = 0;
        DIR *folder = opendir(folders[i]);
        CHECK(folder);
        for (struct dirent *entry; (entry = readdir(folder));)
            count += entry->d_name[0] != '.';
        closedir(folder);
        printf("%s %d\n", folders[i], count);
    }
    return 0;
}

static volatile int stop;

static void *churn(void *argument)
{
    for (unsigned i = 0; !stop; i++) {
        allocate_much(i % 50 * 10, 10);
        if (i % 4 == 0)
            usleep(1000); /* so that 8 of them leave something for the children */
    }
    return NULL;
}

static int forks(int count)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    for (int i = 0; i < count; i++) {
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            allocate_much((unsigned)i, 20);
            _exit(7);
        }
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }
    stop = 1;
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    puts("all children came and went");
    return 0;
}

static int children(void)
{
    int status;
    allocate_much(0, 1000);
    for (int i = 0; i < 200; i++) {
        pid_t child = vfork();
        if (child == 0)
            _exit(i % 100);
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == i % 100);
        child = vfork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(9);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        if (i == 100)
            i = 189; /* executing takes its time */
    }
    pid_t child = vfork();
    if (child == 0) {
        execl("/no/such/program", "program", (char *)NULL);
        _exit(errno == ENOENT ? 11 : 12);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 11);
    char *arguments[] = {(char *)"sh", (char *)"-c", (char *)"exit 6", NULL};
    CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ) == 0);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 6);
    CHECK(posix_spawn(&child, "/no/such/program", NULL, NULL, arguments, environ) == ENOENT);
    CHECK(WEXITSTATUS(system("exit 4")) == 4);
    FILE *pipe = popen("echo hello", "r");
    char line[16] = "";
    CHECK(pipe && fgets(line, sizeof line, pipe) && !strcmp(line, "hello\n") && pclose(pipe) == 0);
    child = (pid_t)syscall(SYS_fork); /* no handlers run */
    if (child == 0) {
        allocate_much(5000, 500);
        syscall(SYS_exit_group, 8);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 8);
    allocate_much(1000, 1000);
    puts("all children are well");
    const char *ledger = getenv("GUEST_LEDGER"); /* a folder: is ours still there? */
    if (ledger) {
        char path[4096], own[32];
        int found = 0;
        snprintf(path, sizeof path, "%s/heapprof-%d", ledger, (int)getuid());
        snprintf(own, sizeof own, "%d.", (int)getpid());
        DIR *folder = opendir(path);
        for (struct dirent *entry; folder && (entry = readdir(folder));)
            found += !strncmp(entry->d_name, own, strlen(own));
        if (folder)
            closedir(folder);
        fprintf(stderr, "ledger %s, own pid %d\n", found == 1 ? "there" : "gone", (int)getpid());
    }
    return 0;
}

/* Only what this program uses itself, and death for the rest. */
static int filtered(void)
{
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                   ALLOW(SYS_read),
                                   ALLOW(SYS_write),
                                   ALLOW(SYS_exit_group),
                                   ALLOW(SYS_exit),
                                   ALLOW(SYS_brk),
                                   ALLOW(SYS_mmap),
                                   ALLOW(SYS_munmap),
                                   ALLOW(SYS_mremap),
                                   ALLOW(SYS_mprotect),
                                   ALLOW(SYS_futex),
                                   ALLOW(SYS_rt_sigreturn),
                                   ALLOW(SYS_newfstatat),
                                   ALLOW(SYS_madvise),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
    if (getenv("GUEST_STRICT")) /* without madvise: glibc's malloc needs none here */
        filter[sizeof filter / sizeof filter[0] - 3].k = SYS_brk;
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    allocate_much(0, 100);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
    allocate_much(100, 60000);
    void *large[64];
    for (int i = 0; i < 64; i++)
        large[i] = malloc((size_t)1 << 20);
    for (int i = 0; i < 64; i++)
        free(large[i]);
    static const char text[] = "survived the filter\n";
    CHECK(write(1, text, sizeof text - 1) == sizeof text - 1);
    syscall(SYS_exit_group, 3);
    return 0;
}

static int limited(const char *which)
{
    struct rlimit limit;
    int resource = !strcmp(which, "as") ? RLIMIT_AS : !strcmp(which, "fsize") ? RLIMIT_FSIZE : RLIMIT_NOFILE;
    CHECK(getrlimit(resource, &limit) == 0);
    allocate_much(0, 20000);
    unsigned blocks = 0;
    static void *block[4096];
    while (blocks < 64 && (block[blocks] = malloc((size_t)1 << 20)))
        memset(block[blocks++], 1, (size_t)1 << 20);
    CHECK(blocks > 0);
    while (blocks)
        free(block[--blocks]);
    printf("within the limit\n");
    return 0;
}

/* A loop of allocations between two lines of output. */
static int steady(void)
{
    static void *places[256];
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 3000000; i++) {
            unsigned place = i * 7 % 256;
            free(places[place]);
            places[place] = malloc(i % 13 * 16 + 16);
        }
        CHECK(write(1, round ? "end\n" : "begin\n", round ? 4 : 6) > 0);
    }
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *with = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "descriptors"))
        return descriptors(with);
    if (!strcmp(what, "counts"))
        return counts();
    if (!strcmp(what, "forks"))
        return forks(atoi(with));
    if (!strcmp(what, "children"))
        return children();
    if (!strcmp(what, "filtered"))
        return filtered();
    if (!strcmp(what, "limited"))
        return limited(with);
    if (!strcmp(what, "steady"))
        return steady();
    if (!strcmp(what, "secure")) {
        allocate_much(0, 10000);
        printf("secure %d\n", (int)getauxval(AT_SECURE));
        return 0;
    }
    allocate_much(0, 10000);
    puts("hello");
    return 4;
}
