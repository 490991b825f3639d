/* A target with code that compilers don't make, and modules that come by unusual ways. The first argument says what;
 * what it prints must not depend on the library, but for what it says of the library's profile. */
#include "guest.h"

#include <dlfcn.h>
#include <heapprof.h>
#include <iconv.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *volatile sink;

#if defined(__x86_64__)
/* Off the ABI: the stack off by 8, and the direction flag set where the caller is careful to clear it later. */
static void *call(void *function, size_t a, size_t b, int direction)
{
    void *result;
    __asm__ volatile(
        "mov %%rsp, %%rbx\n and $-16, %%rsp\n sub $8, %%rsp\n test %4, %4\n je 1f\n std\n 1: call *%1\n cld\n"
        "mov %%rbx, %%rsp"
        : "=a"(result), "+r"(function), "+D"(a), "+S"(b)
        : "r"(direction)
        : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
          "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    return result;
}

static int misaligned(int direction)
{
    free(malloc(10));
    for (size_t i = 0; i < 20000; i++) {
        char *object = call((void *)malloc, 1000 + i % 5000, 0, direction);
        CHECK(object);
        object[0] = 1;
        if (!direction) {
            object = call((void *)realloc, (size_t)object, 9000, 0);
            CHECK(object && object[0] == 1);
            free(call((void *)calloc, 10, 100 + i % 100, 0));
        }
        call((void *)free, (size_t)object, 0, direction);
    }
    puts("off the ABI");
    return 0;
}

/* A foreign stack whose neighbour page is there at one time and gone at the next. Its first frame says that it was
 * called from there: as all do that switch to a stack and tell the unwinder nothing of it. */
void on_stack(void *top, void (*function)(void));
__asm__(".text\n.globl on_stack\n.type on_stack, @function\non_stack:\n.cfi_startproc\npush "
        "%rbx\n.cfi_adjust_cfa_offset 8\n"
        "mov %rsp, %rbx\nmov %rdi, %rsp\ncall *%rsi\nmov %rbx, %rsp\npop %rbx\n.cfi_adjust_cfa_offset "
        "-8\nret\n.cfi_endproc\n"
        ".size on_stack, .-on_stack\n");

static void allocate_there(void)
{
    for (int i = 0; i < 200; i++)
        free(sink = malloc(3000));
}

static int neighbours(void)
{
    enum { PAGES = 64, PAGE = 4096 };
    for (int round = 0; round < 300; round++) {
        char *stack = mmap(NULL, (PAGES + 4) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(stack != MAP_FAILED);
        on_stack(stack + PAGES * PAGE, allocate_there);
        munmap(stack + PAGES * PAGE, 4 * PAGE);
        on_stack(stack + PAGES * PAGE, allocate_there);
        munmap(stack, PAGES * PAGE);
    }
    puts("neighbours");
    return 0;
}

/* A function of its own that says it is a signal frame, as trampolines do. */
void trampoline(void (*function)(void));
__asm__(".text\n.globl trampoline\n.type trampoline, @function\ntrampoline:\n.cfi_startproc\n.cfi_signal_frame\n"
        "sub $24, %rsp\n.cfi_adjust_cfa_offset 24\ncall *%rdi\nadd $24, %rsp\n.cfi_adjust_cfa_offset "
        "-24\nret\n.cfi_endproc\n"
        ".size trampoline, .-trampoline\n");

__attribute__((noinline)) static void inside(void)
{
    for (int i = 0; i < 1000; i++)
        sink = malloc(10000);
    __asm__ volatile("");
}

__attribute__((noinline)) static void through_trampoline(void)
{
    trampoline(inside);
    __asm__ volatile("");
}
#endif

/* Modules that come and go without a dlclose, one at the place of the other. */
static int convert(int times)
{
    for (int i = 0; i < times; i++) {
        for (int k = 0; k < 18; k++) { /* one is unloaded while another is used, and the third comes to its place */
            const char name[] = {'P', 'R', 'O', 'M', (char)('A' + k / 6), '\0'};
            iconv_t way = iconv_open("UTF-8", name);
            CHECK(way != (iconv_t)-1);
            iconv_close(way);
        }
    }
    CHECK(heapprof_dump("convert.heap") != -1);
    puts("converted");
    return 0;
}

/* Far down on the main stack, which has grown as far as it is allowed. */
__attribute__((noinline)) static void deep(unsigned megabytes)
{
    volatile char room[1 << 20];
    for (size_t i = 0; i < sizeof room; i += 4096)
        room[sizeof room - 1 - i] = 1;
    if (megabytes > 1)
        deep(megabytes - 1);
    else
        for (int i = 0; i < 1000; i++)
            sink = malloc(10000);
    __asm__ volatile("" : : "r"(room) : "memory");
}

static int deep_stack(char **arguments)
{
    struct rlimit limit = {1ul << 30, 1ul << 30};
    if (!getenv("PROMISE_DEEP")) {
        CHECK(setrlimit(RLIMIT_STACK, &limit) == 0 && setenv("PROMISE_DEEP", "1", 1) == 0);
        execv("/proc/self/exe", arguments);
        return 97;
    }
    deep(200);
    CHECK(heapprof_dump("deep.heap") != -1);
    puts("deep");
    return 0;
}

/* Reading the time stamp counter is a crash from now on, and the vDSO's clock with it. */
static int no_counter(void)
{
    CHECK(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) == 0);
    allocate_much(0, 20000);
    int error = heapprof_dump("counter.heap");
    CHECK(prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0) == 0);
    puts(error == 0 || error == -ENOSYS ? "no counter" : "no dump");
    return 0;
}

/* Modules that come and go, and one that stays. */
static int modules(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "modules/m%u.so", i);
        void *module = dlopen(name, RTLD_NOW);
        CHECK(module);
        void *(*entry)(void) = (void *(*)(void))dlsym(module, "module_entry");
        CHECK(entry && (sink = entry()));
        if (i % 2)
            dlclose(module);
    }
    CHECK(heapprof_dump("modules.heap") != -1);
    puts("modules");
    return 0;
}

static pthread_barrier_t barrier;

__attribute__((noinline)) static void *hold(void *argument)
{
    uintptr_t number = (uintptr_t)argument;
    void *object = malloc(number == 2500 ? 3ul << 30 : 100000);
    __asm__ volatile("" : "+r"(object) : : "memory");
    CHECK(object);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

/* So many threads at a time, of which one has nearly all. */
static int crowd(unsigned count)
{
    static pthread_t threads[5000];
    pthread_attr_t small;
    CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 65536) == 0);
    CHECK(pthread_barrier_init(&barrier, NULL, count + 1) == 0);
    for (uintptr_t i = 0; i < count; i++) {
        if (pthread_create(&threads[i], &small, hold, (void *)i) != 0) {
            puts("no more threads");
            return 3;
        }
        if (i == 2500)
            pthread_setname_np(threads[i], "the-hog");
    }
    pthread_barrier_wait(&barrier);
    CHECK(heapprof_dump("threads.heap") != -1);
    puts("crowded");
    fflush(stdout);
    _exit(0);
}

static void *hardly_live(void *argument)
{
    sink = malloc(1000);
    free(sink);
    return argument;
}

/* So many threads after each other; one of them stays. */
static int short_threads(unsigned count)
{
    sink = malloc(50 << 20);
    pthread_setname_np(pthread_self(), "long-lived");
    for (unsigned i = 0; i < count; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, hardly_live, NULL) == 0);
        pthread_join(thread, NULL);
    }
    CHECK(heapprof_dump("threads.heap") != -1);
    puts("came and went");
    fflush(stdout);
    _exit(0);
}

/* A filter under which one system call (with this third argument, or any) ends with EINVAL, as an old kernel's; then
 * another program is executed. */
static int refuse(unsigned number, unsigned argument, char **command)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argument, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 22),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
          prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
    execv(command[0], command);
    return 97;
}

/* A filter that kills whoever does more than this target does: allocate, write and end. */
static int strict(const char *way)
{
    static const int allowed[] = {SYS_write,      SYS_mmap,    SYS_munmap,     SYS_mremap, SYS_brk,
                                  SYS_mprotect,   SYS_madvise, SYS_exit_group, SYS_exit,   SYS_getrandom,
                                  SYS_newfstatat, SYS_fstat,   SYS_futex};
    enum { COUNT = sizeof allowed / sizeof *allowed };
    struct sock_filter filter[COUNT * 2 + 2];
    unsigned at = 0;
    filter[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < COUNT; i++) {
        filter[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
        filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog program = {(unsigned short)at, filter};
    if (!strcmp(way, "busy"))
        allocate_much(0, 20000);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (!strcmp(way, "syscall"))
        CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
    else
        CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
    allocate_much(20000, 60000);
    for (int i = 0; i < 20000; i++)
        sink = malloc(700);
    puts("survived");
    return 0;
}

/* Gone without a word to libc. */
static int gone(void)
{
    for (int i = 0; i < 200; i++)
        sink = malloc(100000);
    __asm__ volatile("" : : : "memory");
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(SYS_exit_group), "D"(0) : "rcx", "r11", "memory");
#endif
    return (int)syscall(SYS_exit_group, 0);
}

static int by_libraries(void)
{
    for (unsigned i = 1; i <= 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "./low%u.so", i);
        void *(*entry)(void) = (void *(*)(void))dlsym(dlopen(name, RTLD_NOW), "module_entry");
        CHECK(entry);
        for (int k = 0; k < 500; k++)
            CHECK(entry());
    }
    CHECK(heapprof_dump("low.heap") != -1);
    puts("low");
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *how = count > 2 ? arguments[2] : "0";
    if (!strcmp(what, "refuse") && count > 4)
        return refuse((unsigned)atoi(how), (unsigned)atoi(arguments[3]), arguments + 4);
    if (!strcmp(what, "strict"))
        return strict(how);
    if (!strcmp(what, "gone"))
        return gone();
    allocate_much(0, 1000);
#if defined(__x86_64__)
    if (!strcmp(what, "misaligned"))
        return misaligned(!strcmp(how, "down"));
    if (!strcmp(what, "neighbours"))
        return neighbours();
    if (!strcmp(what, "frame")) {
        through_trampoline();
        CHECK(heapprof_dump("frame.heap") != -1);
        return puts("framed") < 0;
    }
#endif
    if (!strcmp(what, "deep"))
        return deep_stack(arguments);
    if (!strcmp(what, "counter"))
        return no_counter();
    if (!strcmp(what, "modules"))
        return modules((unsigned)atoi(how));
    if (!strcmp(what, "crowd"))
        return crowd((unsigned)atoi(how));
    if (!strcmp(what, "short"))
        return short_threads((unsigned)atoi(how));
    if (!strcmp(what, "convert"))
        return convert(atoi(how));
    if (!strcmp(what, "low"))
        return by_libraries();
    return 2;
}
