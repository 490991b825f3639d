/* A target that allocates while the loader is at work, and calls the allocator by all ways there
 * are. The first argument says which; what it prints must not depend on the library. */
#include "guest.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <unistd.h>

void case_callback(void);
extern void *__libc_malloc(size_t size);
extern void __libc_free(void *pointer);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int waiting, holding, use_lock;

/* On the thread that loads: waits for a lock whose owner allocates. */
static void wait_for_lock(void)
{
    if (!use_lock)
        return;
    __atomic_store_n(&waiting, 1, __ATOMIC_RELEASE);
    allocate_much(7, 50);
    pthread_mutex_lock(&lock);
    allocate_much(70, 50);
    pthread_mutex_unlock(&lock);
}

/* Called by the constructors of plugins. */
void case_callback(void)
{
    wait_for_lock();
}

static void *allocate_under_lock(void *argument)
{
    pthread_mutex_lock(&lock);
    __atomic_store_n(&holding, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&waiting, __ATOMIC_ACQUIRE))
        usleep(100);
    unsigned round = (unsigned)(uintptr_t)argument;
    allocate_much(round * 3000, 3000);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static pthread_t start_holder(unsigned round)
{
    pthread_t thread;
    waiting = holding = 0;
    CHECK(pthread_create(&thread, NULL, allocate_under_lock, (void *)(uintptr_t)round) == 0);
    while (!__atomic_load_n(&holding, __ATOMIC_ACQUIRE))
        usleep(100);
    return thread;
}

static int load(const char *folder)
{
    char path[4096];
    use_lock = 1;
    for (unsigned round = 0; round < 12; round++) {
        snprintf(path, sizeof path, "%s/libcase_plugin_%c.so", folder, "ab"[round % 2]);
        pthread_t holder = start_holder(round);
        void *library = dlopen(path, RTLD_NOW);
        pthread_join(holder, NULL);
        CHECK(library);
        void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(library, "plugin_allocate");
        void (*release)(void *) = (void (*)(void *))dlsym(library, "plugin_free");
        CHECK(allocate && release);
        for (int i = 0; i < 200; i++)
            release(allocate(3000));
        CHECK(dlclose(library) == 0);
    }
    puts("loaded and unloaded");
    return 0;
}

static int seen;

static int look(struct dl_phdr_info *info, size_t size, void *unused)
{
    char *copy = strdup(info->dlpi_name);
    CHECK(copy);
    allocate_much((unsigned)strlen(copy), 100);
    if (seen++ == 0)
        wait_for_lock();
    free(copy);
    return 0;
}

/* dl_iterate_phdr's callbacks hold a lock of the loader. */
static int iterate(void)
{
    for (unsigned round = 0; round < 10; round++) {
        use_lock = 1;
        seen = 0;
        pthread_t holder = start_holder(round);
        dl_iterate_phdr(look, NULL);
        pthread_join(holder, NULL);
        CHECK(seen > 2);
    }
    puts("iterated");
    return 0;
}

static void *(*volatile pointer_to_malloc)(size_t) = malloc;
static void (*volatile pointer_to_free)(void *) = free;

static int ways(void)
{
    void *(*mallocs[])(size_t) = {malloc, pointer_to_malloc, (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc"),
                                  (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc")};
    void (*frees[])(void *) = {free, pointer_to_free, (void (*)(void *))dlsym(RTLD_NEXT, "free"),
                               (void (*)(void *))dlsym(RTLD_DEFAULT, "free")};
    for (unsigned i = 0; i < 40000; i++) {
        size_t size = 1 + i * 37 % 5000;
        unsigned char *bytes = mallocs[i % 4](size);
        CHECK(bytes);
        memset(bytes, (int)i, size);
        CHECK(bytes[size - 1] == (unsigned char)i);
        frees[i / 4 % 4](bytes);
    }
    puts("all ways lead to it");
    return 0;
}

/* Ways around the hooks: with glibc behind, memory that one side gives comes back by the other. */
static int around(const char *folder, int crossing)
{
    char path[4096];
    void **kept = calloc(20000, sizeof *kept);
    snprintf(path, sizeof path, "%s/libcase_plugin_a.so", folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_DEEPBIND);
    CHECK(library && kept);
    void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(library, "plugin_allocate");
    void (*release)(void *) = (void (*)(void *))dlsym(library, "plugin_free");
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 20000; i++) {
            unsigned way = crossing ? (i + round) % 3 : i % 3;
            kept[i] = way == 0 ? malloc(i % 3000 + 1) : way == 1 ? allocate(i % 700 + 1) : __libc_malloc(i % 5000 + 1);
            CHECK(kept[i]);
            memset(kept[i], 1, 1);
        }
        for (unsigned i = 0; i < 20000; i++) {
            unsigned way = crossing ? (i + round + i / 3) % 3 : i % 3;
            if (way == 0)
                free(kept[i]);
            else if (way == 1)
                release(kept[i]);
            else
                __libc_free(kept[i]);
        }
    }
    free(kept);
    dlclose(library);
    puts("around and back");
    return 0;
}

static void *look_up(void *argument)
{
    char name[64];
    for (unsigned i = 0; i < 1500; i++) {
        snprintf(name, sizeof name, "no_such_function_%u", i);
        CHECK(!dlsym(RTLD_DEFAULT, name) && dlerror());
        CHECK(dlsym(RTLD_DEFAULT, i % 2 ? "calloc" : "printf"));
        allocate_much(i * 2, 2);
    }
    return NULL;
}

static int look_ups(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, look_up, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    puts("looked up");
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *with = count > 2 ? arguments[2] : "";
    if (!strcmp(what, "load"))
        return load(with);
    if (!strcmp(what, "iterate"))
        return iterate();
    if (!strcmp(what, "ways"))
        return ways();
    if (!strcmp(what, "around"))
        return around(with, count > 3);
    if (!strcmp(what, "lookups"))
        return look_ups();
    return 2;
}
