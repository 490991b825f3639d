/* Looking functions up without dlsym: the same addresses as the dynamic linker finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "allocators/symbols.h"

static const char *const in_libc[] = {
    "malloc", "free",   "calloc", "realloc", "memalign", "posix_memalign", "qsort", "prctl", "gnu_get_libc_version",
    "strlen", "memcpy", "time"};
enum { COUNT = sizeof in_libc / sizeof in_libc[0] };

static void finds_what_dlsym_finds(void **state)
{
    struct hp_symbol symbols[COUNT];
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(libc);
    for (unsigned i = 0; i < COUNT; i++)
        symbols[i] = (struct hp_symbol){.name = in_libc[i]};
    hp_find_symbols(symbols, COUNT, HP_SYMBOLS_NEXT);
    for (unsigned i = 0; i < COUNT; i++) {
        Dl_info found;
        struct link_map *map = NULL;
        assert_non_null(symbols[i].address);
        assert_int_not_equal(dladdr1(symbols[i].address, &found, (void **)&map, RTLD_DL_LINKMAP), 0);
        assert_int_equal(map->l_addr, symbols[i].object);
        if (strcmp(in_libc[i], "time")) /* which the vDSO may serve */
            assert_ptr_equal(symbols[i].address, dlsym(libc, in_libc[i]));
    }
    dlclose(libc);
}

static void finds_indirect_functions(void **state)
{
    struct hp_symbol symbol = {.name = "strlen"};
    hp_find_symbols(&symbol, 1, HP_SYMBOLS_NEXT);
    assert_int_equal(((size_t(*)(const char *))symbol.address)("seven77"), 7);
}

static void leaves_alone_what_is_known_or_nowhere(void **state)
{
    int mine;
    struct hp_symbol symbols[] = {{.name = "malloc", .address = &mine, .object = 5},
                                  {.name = "no_such_function_anywhere"},
                                  {.name = ""},
                                  {.name = "environ"}}; /* not a function */
    hp_find_symbols(symbols, 4, HP_SYMBOLS_ANY);
    assert_ptr_equal(symbols[0].address, &mine);
    assert_int_equal(symbols[0].object, 5);
    for (unsigned i = 1; i < 4; i++) {
        assert_null(symbols[i].address);
        assert_int_equal(symbols[i].object, 0);
    }
}

/* Old versions, kept for old programs, are not taken. */
static void takes_the_default_version(void **state)
{
    static const char *const names[] = {"memcpy", "pthread_cond_wait", "realpath", "fopen", "dlsym"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct hp_symbol symbol = {.name = names[i]};
        hp_find_symbols(&symbol, 1, HP_SYMBOLS_NEXT);
        assert_ptr_equal(symbol.address, dlsym(RTLD_DEFAULT, names[i]));
    }
}

static void finds_plugins_only_when_asked(void **state)
{
    void *plugin = dlopen("libjansson.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!plugin) {
        print_message("[ SKIPPED  ] libjansson.so.4, to be opened as a plugin, is not here\n");
        skip();
    }
    struct hp_symbol symbol = {.name = "json_object_seed"};
    hp_find_symbols(&symbol, 1, HP_SYMBOLS_ANY);
    assert_ptr_equal(symbol.address, dlsym(plugin, "json_object_seed"));
    dlclose(plugin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_dlsym_finds),
        cmocka_unit_test(finds_indirect_functions),
        cmocka_unit_test(leaves_alone_what_is_known_or_nowhere),
        cmocka_unit_test(takes_the_default_version),
        cmocka_unit_test(finds_plugins_only_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
