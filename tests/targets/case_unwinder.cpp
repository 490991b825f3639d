// A target that brings an unwinder of its own, throws by it, and looks at its stacks by it. The
// first argument says which case; what it prints must not depend on the library.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <unwind.h>
#include <vector>
#ifdef CASE_LIBUNWIND
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#endif

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "case_unwinder: line %d: %s\n", __LINE__, #condition);                                     \
            exit(99);                                                                                                  \
        }                                                                                                              \
    } while (0)

static int destroyed; // all threads'

struct guarded {
    std::string text;
    explicit guarded(size_t size) : text(size, 'g') {}
    ~guarded() { __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED); }
};

__attribute__((noinline)) static int descend(int depth, int kind)
{
    guarded here(100 + (size_t)depth * 20);
    if (depth > 0)
        return descend(depth - 1, kind) + (int)here.text.size();
    if (kind == 0)
        throw std::runtime_error(std::string(200, 'r'));
    if (kind == 1)
        throw std::make_unique<std::vector<int>>(50);
    throw kind;
}

static int caught_by(int depth, int kind)
{
    try {
        return descend(depth, kind);
    } catch (const std::runtime_error &error) {
        return (int)strlen(error.what());
    } catch (const std::unique_ptr<std::vector<int>> &numbers) {
        return (int)numbers->size();
    } catch (int number) {
        try {
            throw; // and again
        } catch (...) {
            return number;
        }
    }
}

static void *throw_much(void *)
{
    std::map<int, std::string> kept;
    long sum = 0;
    for (int i = 0; i < 1000; i++) {
        sum += caught_by(i % 23, i % 3);
        kept[i % 50] = std::string(40 + (size_t)i % 900, 'k');
    }
    return (void *)sum;
}

static int exceptions()
{
    pthread_t threads[4];
    void *sum;
    for (auto &thread : threads)
        CHECK(pthread_create(&thread, nullptr, throw_much, nullptr) == 0);
    for (auto &thread : threads) {
        pthread_join(thread, &sum);
        printf("%ld\n", (long)sum);
    }
    printf("%d destroyed\n", destroyed);
    return 0;
}

static jmp_buf back;

__attribute__((noinline)) static void jump_from(int depth)
{
    void *volatile pointer = malloc(300 + (size_t)depth);
    if (depth > 0)
        jump_from(depth - 1);
    free(pointer);
    if (depth == 0) {
        free(malloc(1000));
        longjmp(back, 1);
    }
    free(malloc(20)); // not reached
}

static int jumps()
{
    for (volatile int i = 0; i < 3000; i++) {
        if (setjmp(back) == 0)
            jump_from(i % 30 + 1);
        free(malloc(5000));
    }
    puts("back each time");
    return 0;
}

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *count)
{
    free(malloc(64)); // while the unwinder is at work
    ++*(int *)count;
    return _Unwind_GetIP(context) ? _URC_NO_REASON : _URC_END_OF_STACK;
}

__attribute__((noinline)) static void look_back(int depth, int *frames)
{
    void *pointer = malloc(100);
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    free(pointer);
    if (depth > 0) {
        look_back(depth - 1, frames);
    } else {
        _Unwind_Backtrace(count_frame, &frames[0]);
#ifdef CASE_LIBUNWIND
        unw_context_t context;
        unw_cursor_t cursor;
        CHECK(unw_getcontext(&context) == 0 && unw_init_local(&cursor, &context) == 0);
        do {
            free(malloc(64));
            frames[1]++;
        } while (unw_step(&cursor) > 0);
#endif
    }
    __asm__ volatile("");
}

static int backtraces()
{
    long sum = 0;
    for (int i = 0; i < 3000; i++) {
        int frames[2] = {0, 0};
        look_back(i % 40, frames);
        CHECK(frames[0] > i % 40);
        sum += frames[0] + frames[1];
    }
    printf("%ld frames\n", sum);
    return 0;
}

int main(int count, char **arguments)
{
    const std::string what = count > 1 ? arguments[1] : "";
    if (what == "exceptions")
        return exceptions();
    if (what == "jumps")
        return jumps();
    if (what == "backtraces")
        return backtraces();
    return 2;
}
