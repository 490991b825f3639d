/* The unwinder on all kinds of frames: what it finds is compared by name with what was called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <alloca.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "ledger/region.h"
#include "unwind/modules.h"
#include "unwind/step.h"
#include "unwind/unwind.h"

/* Called by name only, kept out of line, and not turned into jumps: each has its frame. */
#if defined(__clang__)
#define FRAME __attribute__((noinline, disable_tail_calls))
#else
#define FRAME __attribute__((noinline, noipa, optimize("no-optimize-sibling-calls")))
#endif

void inner(void);
void middle(void);
void outer(void);
int compare_and_capture(const void *a, const void *b);
void sorts(void);
void on_signal(int number);
void interrupted(void);
void signalled(void);
void realigned(int n);
void calls_realigned(void);
void uses_alloca(size_t n);
void calls_alloca(void);
void calls_made_code(void (*code)(void (*)(void)));
void fiber_inner(void);
void fiber_entry(void);
void recurse(unsigned n);
void *deep_thread(void *state);
void *small_thread(void *state);
int raw_entry(void *state);
void on_trap(int number, siginfo_t *info, void *context);
void stepped(void);

enum { MOST = 512 };
static struct hp_region region;
static uint64_t frames[MOST];
static unsigned depth, limit = MOST;
static struct hp_met met;
static volatile int after; /* written after calls, so that they are no jumps */

static uintptr_t address_of(uint64_t frame)
{
    return hp_module_address(frame);
}

static const char *name_of(uint64_t frame)
{
    Dl_info info;
    return dladdr((void *)(address_of(frame) - 1), &info) && info.dli_sname ? info.dli_sname : "?";
}

static FRAME void capture(void)
{
    depth = hp_unwind(__builtin_frame_address(0), frames, limit, &met);
}

static int find(const char *name, unsigned from)
{
    for (unsigned i = from; i < depth; i++)
        if (!strcmp(name_of(frames[i]), name))
            return (int)i;
    return -1;
}

/* All of `names`, in this order; others may stand between if `gaps`. */
static void assert_chain(int gaps, ...)
{
    va_list names;
    const char *name;
    int at = 0;
    va_start(names, gaps);
    while ((name = va_arg(names, const char *))) {
        int found = find(name, (unsigned)at);
        if (found < 0 || (!gaps && found != at)) {
            for (unsigned i = 0; i < depth; i++)
                print_message("  %u %s\n", i, name_of(frames[i]));
            fail_msg("%s is at %d, not at %d", name, found, at);
        }
        at = found + 1;
    }
    va_end(names);
}

static int start(void **state)
{
    int error;
    if (hp_region_create(&region, "none", 16 << 20, MOST, 524288, &error) < 0)
        return -1;
    hp_modules_init(&region.store, "/");
    return hp_unwind_init(HP_ENGINE_CFI);
}

static int reset(void **state)
{
    limit = MOST;
    depth = 0;
    return hp_unwind_init(HP_ENGINE_CFI);
}

FRAME void inner(void)
{
    capture();
    after++;
}

FRAME void middle(void)
{
    inner();
    after++;
}

FRAME void outer(void)
{
    middle();
    after++;
}

static void finds_plain_frames(void **state)
{
    for (unsigned i = 0; i < 2; i++) { /* with the cache cold, then warm */
        hp_step_forget();
        outer();
        assert_chain(false, "inner", "middle", "outer", NULL);
        assert_chain(true, "outer", "main", "_start", NULL);
        assert_string_equal(name_of(frames[depth - 1]), "_start");
        assert_false(met.truncated);
        assert_true(met.whole);
        assert_false(met.signal);
    }
}

static void keeps_the_innermost(void **state)
{
    outer();
    unsigned all = depth;
    limit = 2;
    outer();
    assert_int_equal(depth, 2);
    assert_true(met.truncated);
    assert_false(met.whole);
    assert_chain(false, "inner", "middle", NULL);
    limit = all;
    outer();
    assert_int_equal(depth, all);
    assert_false(met.truncated);
}

FRAME int compare_and_capture(const void *a, const void *b)
{
    capture();
    return (*(const char *)a > *(const char *)b) - (*(const char *)a < *(const char *)b);
}

FRAME void sorts(void)
{
    char letters[] = "unwind";
    qsort(letters, 6, 1, compare_and_capture);
    after++;
}

static void goes_through_libc(void **state)
{
    sorts();
    assert_chain(true, "compare_and_capture", "qsort_r", "sorts", "main", NULL);
}

FRAME void on_signal(int number)
{
    capture();
    after++;
}

FRAME void interrupted(void)
{
    raise(SIGUSR1);
    after++;
}

FRAME void signalled(void)
{
    interrupted();
    after++;
}

static void leaves_signal_handlers(void **state)
{
    static char stack[65536] __attribute__((aligned(16)));
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack}, none = {.ss_flags = SS_DISABLE};
    struct sigaction action = {.sa_handler = on_signal}, old;
    sigaltstack(&other, NULL);
    for (unsigned i = 0; i < 2; i++) {
        action.sa_flags = i ? SA_ONSTACK : 0;
        sigaction(SIGUSR1, &action, &old);
        signalled();
        sigaction(SIGUSR1, &old, NULL);
        assert_chain(false, "on_signal", NULL);
        assert_chain(true, "on_signal", "interrupted", "signalled", "main", "_start", NULL);
        assert_true(met.signal);
        assert_true(met.whole);
    }
    sigaltstack(&none, NULL);
}

FRAME void realigned(int n)
{
    char room[64] __attribute__((aligned(64)));
    char *more = alloca((size_t)n);
    memset(room, n, sizeof room);
    memset(more, n, (size_t)n);
    __asm__ volatile("" : : "r"(room), "r"(more) : "memory");
    capture();
    after += room[3] + more[0];
}

FRAME void calls_realigned(void)
{
    realigned(100);
    after++;
}

FRAME void uses_alloca(size_t n)
{
    char *room = alloca(n);
    memset(room, 1, n);
    __asm__ volatile("" : : "r"(room) : "memory");
    capture();
    after += room[0];
}

FRAME void calls_alloca(void)
{
    uses_alloca(3333);
    after++;
}

static void knows_unusual_frames(void **state)
{
    calls_realigned();
    assert_chain(false, "realigned", "calls_realigned", NULL);
    assert_chain(true, "calls_realigned", "main", "_start", NULL);
    calls_alloca();
    assert_chain(false, "uses_alloca", "calls_alloca", NULL);
    assert_chain(true, "calls_alloca", "main", "_start", NULL);
}

FRAME void calls_made_code(void (*code)(void (*)(void)))
{
    code(inner);
    after++;
}

/* As a compiler at run time makes it: nobody knows how to unwind it, but for its frame pointer. */
static void goes_through_code_without_tables(void **state)
{
    static const unsigned char with_pointer[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
    static const unsigned char without[] = {0x48, 0x83, 0xec, 0x08, 0xff, 0xd7, 0x48, 0x83, 0xc4, 0x08, 0xc3};
    static const unsigned char misused[] = {0x55, 0xbd, 0x10, 0x00, 0x00, 0x00, 0xff, 0xd7, 0x5d, 0xc3};
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    memcpy(page, with_pointer, sizeof with_pointer);
    memcpy(page + 256, without, sizeof without);
    memcpy(page + 512, misused, sizeof misused);
    calls_made_code((void (*)(void (*)(void)))(uintptr_t)page);
    assert_chain(false, "inner", "?", "calls_made_code", NULL);
    assert_chain(true, "calls_made_code", "main", "_start", NULL);
    /* Without a frame pointer some frames may be missing, but none is made up. */
    calls_made_code((void (*)(void (*)(void)))(uintptr_t)(page + 256));
    assert_chain(false, "inner", "?", NULL);
    for (unsigned i = 2; i < depth; i++)
        assert_string_not_equal(name_of(frames[i]), "?");
    /* With rbp used for something else the stack ends there. */
    calls_made_code((void (*)(void (*)(void)))(uintptr_t)(page + 512));
    assert_chain(false, "inner", "?", NULL);
    assert_int_equal(depth, 2);
    munmap(page, 4096);
}

static ucontext_t outside, fiber;

FRAME void fiber_inner(void)
{
    capture();
    after++;
}

FRAME void fiber_entry(void)
{
    fiber_inner();
    swapcontext(&fiber, &outside);
    fiber_inner();
    after++;
}

static void run_fiber(char *stack, size_t size)
{
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = stack;
    fiber.uc_stack.ss_size = size;
    fiber.uc_link = &outside;
    makecontext(&fiber, fiber_entry, 0);
    for (unsigned visit = 0; visit < 2; visit++) {
        swapcontext(&outside, &fiber);
        assert_chain(false, "fiber_inner", "fiber_entry", NULL);
        assert_in_range(depth, 2, 3);
    }
}

/* Small ones, between pages that can't be read. */
static void stays_on_fibers(void **state)
{
    static const size_t sizes[] = {8192, 16384, 65536, 1 << 20};
    for (unsigned i = 0; i < 4; i++) {
        char *stack = mmap(NULL, sizes[i] + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_int_equal(mprotect(stack + 4096, sizes[i], PROT_READ | PROT_WRITE), 0);
        run_fiber(stack + 4096, sizes[i]);
        munmap(stack, sizes[i] + 8192);
    }
}

FRAME void recurse(unsigned n)
{
    if (n)
        recurse(n - 1);
    else
        capture();
    after++;
}

FRAME void *deep_thread(void *state)
{
    recurse(100000);
    after++;
    return NULL;
}

FRAME void *small_thread(void *state)
{
    outer();
    after++;
    return NULL;
}

static void run_thread(void *(*function)(void *), size_t stack_size)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_size);
    assert_int_equal(pthread_create(&thread, &attributes, function, NULL), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

static void knows_stacks_of_threads(void **state)
{
    run_thread(small_thread, PTHREAD_STACK_MIN);
    assert_chain(false, "inner", "middle", "outer", "small_thread", NULL);
    assert_in_range(depth, 5, 7);
    run_thread(deep_thread, 64 << 20);
    assert_int_equal(depth, MOST);
    assert_true(met.truncated);
    for (unsigned i = 0; i < depth; i++)
        assert_string_equal(name_of(frames[i]), "recurse");
}

FRAME int raw_entry(void *state)
{
    outer();
    after++;
    return 0;
}

static void knows_raw_clones(void **state)
{
    size_t size = 65536;
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t child = clone(raw_entry, stack + size, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    assert_true(child > 0);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_chain(false, "inner", "middle", "outer", "raw_entry", NULL);
    assert_in_range(depth, 4, 6);
    munmap(stack, size);
}

static uintptr_t signal_return; /* where signal handlers return to */

static uint64_t next_random(uint64_t *seed)
{
    return *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
}

/* Frames of garbage: addresses of the stack, of code, and of nothing. */
static FRAME void walk_garbage(uint64_t *seed)
{
    uintptr_t garbage[64];
    for (unsigned i = 0; i < 64; i++) {
        uint64_t random = next_random(seed), choice = random >> 61;
        uintptr_t code[] = {(uintptr_t)outer, (uintptr_t)qsort, (uintptr_t)raise, signal_return};
        garbage[i] = choice < 2   ? (uintptr_t)&garbage[random >> 20 & 63]
                     : choice < 4 ? code[random >> 20 & 3] + (random >> 30 & 31) % ((random >> 40 & 31) + 1)
                     : choice < 5 ? (random >> 20 & 0xfff)
                     : choice < 6 ? (uintptr_t)garbage + (random >> 20 & 0xffffff) - 0x800000
                                  : random << (choice & 1);
    }
    depth = hp_unwind(garbage, frames, 128, &met);
    assert_in_range(depth, 0, 128);
}

static void survives_garbage(void **state)
{
    static const enum hp_engine engines[] = {HP_ENGINE_CFI, HP_ENGINE_FP};
    uint64_t seed = 4711;
    struct sigaction action = {.sa_handler = on_signal}, old;
    sigaction(SIGUSR1, &action, &old);
    signalled();
    sigaction(SIGUSR1, &old, NULL);
    signal_return = address_of(frames[1]);
    for (unsigned engine = 0; engine < 2; engine++) {
        assert_int_equal(hp_unwind_init(engines[engine]), 0);
        for (unsigned i = 0; i < 200000; i++)
            walk_garbage(&seed);
    }
}

/* Saved rbp and return addresses of live frames overwritten, and put back: no fault, and the rest is as it was. */
static FRAME void overwrite(uintptr_t value)
{
    uintptr_t *frame = __builtin_frame_address(0), *caller = (uintptr_t *)frame[0];
    uintptr_t kept[2] = {frame[0], frame[1]};
    frame[0] = value;
    hp_unwind(frame, frames, MOST, &met);
    frame[1] = value;
    hp_unwind(frame, frames, MOST, &met);
    frame[0] = kept[0];
    frame[1] = kept[1];
    __asm__ volatile("" : : "r"(caller) : "memory");
}

static void survives_overwritten_frames(void **state)
{
    static const uintptr_t values[] = {
        0, 1, 7, 8, 4096, UINTPTR_MAX, UINTPTR_MAX - 7, 0x8000000000000000, 0x7fffffffffff};
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++)
        overwrite(values[i]);
}

/* Every instruction on the way through the PLT, the dynamic linker and libc, one by one. */
static volatile uint64_t traps, bad_traps;
static volatile uintptr_t bad_at;

FRAME void on_trap(int number, siginfo_t *info, void *context)
{
    const ucontext_t *where = context;
    traps++;
    capture();
    if (depth > 2 && !strcmp(name_of(frames[2]), "stepped"))
        return; /* its assembler parts move the stack pointer behind the compiler's back */
    if (find("stepped", 0) < 0 || find("main", 0) < 0) {
        bad_traps++;
        bad_at = (uintptr_t)where->uc_mcontext.gregs[REG_RIP];
        if (bad_traps < 20) {
            Dl_info at;
            dladdr((void *)bad_at, &at);
            print_message("at %s %s+0x%lx: %u frames\n", at.dli_fname, at.dli_sname ? at.dli_sname : "?",
                          (unsigned long)(bad_at - (uintptr_t)(at.dli_saddr ? at.dli_saddr : at.dli_fbase)), depth);
        }
    }
}

static void set_trap_flag(bool on)
{
    if (on)
        __asm__ volatile("subq $128, %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\taddq $128, %%rsp" ::
                             : "memory", "cc");
    else
        __asm__ volatile("subq $128, %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\taddq $128, %%rsp" ::
                             : "memory", "cc");
}

FRAME void stepped(void)
{
    char text[64];
    double number;
    set_trap_flag(true);
    snprintf(text, sizeof text, "%d %s %.3f", 17, "text", 1.5);
    number = strtod(text, NULL);
    calls_alloca();
    calls_realigned();
    snprintf(text, sizeof text, "%g %s", number, strstr(text, "x"));
    free(malloc(strlen(text) * 10));
    set_trap_flag(false);
    after += text[0];
}

static void is_right_at_every_instruction(void **state)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER}, old;
    action.sa_sigaction = on_trap;
    sigaction(SIGTRAP, &action, &old);
    stepped();
    sigaction(SIGTRAP, &old, NULL);
    print_message("%lu instructions, %lu bad\n", (unsigned long)traps, (unsigned long)bad_traps);
    assert_true(traps > 1000);
    assert_int_equal(bad_traps, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(finds_plain_frames, reset),
        cmocka_unit_test_setup(keeps_the_innermost, reset),
        cmocka_unit_test_setup(goes_through_libc, reset),
        cmocka_unit_test_setup(leaves_signal_handlers, reset),
        cmocka_unit_test_setup(knows_unusual_frames, reset),
        cmocka_unit_test_setup(goes_through_code_without_tables, reset),
        cmocka_unit_test_setup(stays_on_fibers, reset),
        cmocka_unit_test_setup(knows_stacks_of_threads, reset),
        cmocka_unit_test_setup(knows_raw_clones, reset),
        cmocka_unit_test_setup(survives_garbage, reset),
        cmocka_unit_test_setup(survives_overwritten_frames, reset),
        cmocka_unit_test_setup(is_right_at_every_instruction, reset),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
