/* A target, in C, that minds its code and stacks: plugins that come and go, exceptions in them, strange stacks. The
 * first argument says which. What it prints must not depend on the library. */
#include "guest.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

/* A C++ plugin, whose runtime comes with it and is not global: it throws, catches, news and deletes. */
static int exceptions(const char *path)
{
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin) {
        fprintf(stderr, "guest: %s\n", dlerror());
        return 1;
    }
    int (*work)(int) = (int (*)(int))dlsym(plugin, "plugin_work");
    CHECK(work);
    printf("%d\n", work(20000));
    CHECK(!dlsym(plugin, "no_such_function") && strstr(dlerror(), "no_such_function"));
    dlclose(plugin);
    return 0;
}

/* Plugins of which only one is loaded at a time, each likely where the one before was; b is laid out as a is, c is not.
 * What they allocated stays. */
static int reload(const char *folder)
{
    static const size_t sizes[] = {1000, 3000, 500};
    char path[4096], name[] = "keep_a";
    for (unsigned i = 0; i < 300; i++) {
        name[5] = (char)('a' + i % 3);
        snprintf(path, sizeof path, "%s/libguest_%c.so", folder, name[5]);
        void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        CHECK(plugin);
        void *(*keep)(size_t) = (void *(*)(size_t))dlsym(plugin, name);
        CHECK(keep && keep(sizes[i % 3]));
        dlclose(plugin);
    }
    puts("100 times 1000, 3000 and 500 bytes");
    return 0;
}

static sigjmp_buf back;

static void allocate_and_jump(int number)
{
    allocate_much(0, 200);
    if (number == SIGUSR1)
        siglongjmp(back, 1);
}

static char fiber_stack[65536], signal_stack[65536];
static ucontext_t main_context, fiber_context;

static void fiber(void)
{
    for (unsigned i = 0; i < 50; i++) {
        allocate_much(i * 100, 100);
        swapcontext(&fiber_context, &main_context);
    }
}

static void *small_thread(void *argument)
{
    allocate_much(100, 300);
    return NULL;
}

__attribute__((noinline)) static unsigned recurse(unsigned depth)
{
    if (depth == 0)
        allocate_much(0, 10);
    unsigned sum = depth ? recurse(depth - 1) + 1 : 0;
    __asm__ volatile("" : "+r"(sum));
    return sum;
}

static int stacks(void)
{
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction action = {.sa_handler = allocate_and_jump, .sa_flags = SA_ONSTACK};
    CHECK(sigaltstack(&stack, NULL) == 0);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
    for (int i = 0; i < 100; i++) {
        raise(SIGALRM);
        if (sigsetjmp(back, 1) == 0)
            raise(SIGUSR1);
    }
    getcontext(&fiber_context);
    fiber_context.uc_stack.ss_sp = fiber_stack;
    fiber_context.uc_stack.ss_size = sizeof fiber_stack;
    fiber_context.uc_link = &main_context;
    makecontext(&fiber_context, fiber, 0);
    for (int i = 0; i < 50; i++) {
        swapcontext(&main_context, &fiber_context);
        allocate_much(0, 50);
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)sysconf(_SC_THREAD_STACK_MIN) + 16384);
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attributes, small_thread, NULL) == 0);
        pthread_join(thread, NULL);
    }
    pthread_attr_destroy(&attributes);
    printf("%u deep\n", recurse(100000));
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *with = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "exceptions"))
        return exceptions(with);
    if (!strcmp(what, "reload"))
        return reload(with);
    if (!strcmp(what, "stacks"))
        return stacks();
    return 2;
}
