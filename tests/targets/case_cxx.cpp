// A target in C++ that minds what operator new does when there is no memory, and when. The first
// argument says which.
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <link.h>
#include <memory>
#include <new>
#include <pthread.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "case_cxx: line %d: %s\n", __LINE__, #condition);                                          \
            exit(99);                                                                                                  \
        }                                                                                                              \
    } while (0)

static int handled;
static volatile size_t huge = SIZE_MAX / 4;

static void give_up_third_time()
{
    if (++handled % 3 == 0)
        std::set_new_handler(nullptr);
}

template <typename F> static const char *outcome(F f)
{
    try {
        return f() ? "memory" : "null";
    } catch (const std::bad_array_new_length &) {
        return "bad_array_new_length";
    } catch (const std::bad_alloc &) {
        return "bad_alloc";
    }
}

static int handlers()
{
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 50; i++)
            delete new std::string(i * 17, 'x');
        std::set_new_handler(give_up_third_time);
        const char *plain = outcome([] { return operator new(huge); });
        CHECK(std::get_new_handler() == nullptr);
        std::set_new_handler(give_up_third_time);
        const char *array = outcome([] { return operator new[](huge); });
        std::set_new_handler(give_up_third_time);
        const char *nothrow = outcome([] { return operator new(huge, std::nothrow); });
        std::set_new_handler(give_up_third_time);
        const char *aligned = outcome([] { return operator new(huge, std::align_val_t(256)); });
        const char *none = outcome([] { return operator new(huge); });
        std::set_new_handler(nullptr);
        const char *length = outcome([] { return new int[huge]; });
        errno = 33;
        delete new int;
        CHECK(errno == 33);
        if (round == 0)
            printf("%s %s %s %s %s %s\n", plain, array, nothrow, aligned, none, length);
    }
    printf("handler called %d times\n", handled);
    return 0;
}

extern "C" void *site_after(size_t size);

extern "C" __attribute__((noinline)) void *site_after(size_t size)
{
    void *pointer = malloc(size);
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

// The first operator new of all finds no memory, and throws; all that is allocated afterwards is
// seen.
static int exhausted()
{
    struct rlimit limit = {3ul << 30, 3ul << 30};
    void *(*volatile take)(size_t) = malloc;
    static void *kept[1000];
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    void *spare = take(8u << 20);
    CHECK(spare);
    memset(spare, 1, 8u << 20);
    for (size_t size = 64u << 20; size >= 16; size /= 2)
        while (take(size))
            ;
    const char *first = outcome([] { return operator new(1u << 20); });
    free(spare);
    const char *second = outcome([] { return operator new(1u << 20); });
    printf("%s, %s\n", first, second);
    for (size_t i = 0; i < 1000; i++)
        CHECK(kept[i] = site_after(100 + i));
    return 0;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int holding, waiting;

static void *new_under_lock(void *)
{
    pthread_mutex_lock(&lock);
    __atomic_store_n(&holding, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&waiting, __ATOMIC_ACQUIRE))
        usleep(100);
    delete new std::string(1000, 'x'); // the first one of the process
    pthread_mutex_unlock(&lock);
    return nullptr;
}

static int wait_for_lock(struct dl_phdr_info *, size_t, void *)
{
    __atomic_store_n(&waiting, 1, __ATOMIC_RELEASE);
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    return 1;
}

static int iterate()
{
    pthread_t thread;
    CHECK(pthread_create(&thread, nullptr, new_under_lock, nullptr) == 0);
    while (!__atomic_load_n(&holding, __ATOMIC_ACQUIRE))
        usleep(100);
    dl_iterate_phdr(wait_for_lock, nullptr);
    pthread_join(thread, nullptr);
    puts("iterated");
    return 0;
}

struct last_words {
    std::vector<std::unique_ptr<std::string>> kept;
    ~last_words()
    {
        kept.push_back(std::make_unique<std::string>(700, 'l'));
        for (auto &each : kept)
            each = std::make_unique<std::string>(each->size() + 5, 'm');
    }
};

static thread_local last_words words;

static void *speak(void *argument)
{
    for (size_t i = 0; i < 30; i++)
        words.kept.push_back(std::make_unique<std::string>(100 + i, 'k'));
    return argument;
}

static int thread_locals()
{
    for (int round = 0; round < 20; round++) {
        pthread_t threads[20];
        for (auto &thread : threads)
            CHECK(pthread_create(&thread, nullptr, speak, nullptr) == 0);
        for (auto &thread : threads)
            pthread_join(thread, nullptr);
    }
    puts("all said");
    return 0;
}

int main(int count, char **arguments)
{
    const std::string_view what = count > 1 ? arguments[1] : "";
    if (what == "handlers")
        return handlers();
    if (what == "exhausted")
        return exhausted();
    if (what == "iterate")
        return iterate();
    if (what == "thread_locals")
        return thread_locals();
    return 2;
}
