/* The settings: each one, each malformed value, and the names of dumps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/options.h"

static unsigned complaints;
static char complaint[3][8192];

static void complain(const char *variable, const char *value, const char *used)
{
    complaints++;
    snprintf(complaint[0], sizeof complaint[0], "%s", variable);
    snprintf(complaint[1], sizeof complaint[1], "%s", value);
    snprintf(complaint[2], sizeof complaint[2], "%s", used);
}

/* The options made by one setting, which stays in the environment until the next one. */
static const struct hp_options *read_setting(const char *setting)
{
    static struct hp_options options;
    static char *copy;
    free(copy);
    copy = strdup(setting);
    char other[] = "PATH=/bin", *environment[] = {other, copy, NULL};
    complaints = 0;
    hp_options_read(&options, environment, "/start", complain);
    return &options;
}

static void assert_defaults(const struct hp_options *options)
{
    assert_int_equal(options->interval, 524288);
    assert_string_equal(options->output, "/start/heapprof.%e.%p.%n.heap");
    assert_int_equal(options->signal, SIGUSR2);
    assert_false(options->at_exit);
    assert_int_equal(options->every_ns, 0);
    assert_int_equal(options->growth, 0);
    assert_int_equal(options->trace_ns, 0);
    assert_int_equal(options->depth, 128);
    assert_int_equal(options->engine, HP_ENGINE_CFI);
    assert_int_equal(options->memory, 256 << 20);
    assert_string_equal(options->ledger, "auto");
    assert_true(options->follow);
}

static void has_defaults(void **state)
{
    char *environment[] = {NULL};
    struct hp_options options;
    memset(&options, 0xff, sizeof options);
    assert_defaults(read_setting("HEAPPROF_INTERVALL=7"));
    assert_int_equal(complaints, 0);
    assert_defaults(read_setting("HEAPPROF_DEPTH="));
    assert_int_equal(complaints, 0);
    hp_options_read(&options, environment, "/start", NULL);
    assert_defaults(&options);
    hp_options_read(&options, NULL, "/start", NULL);
    assert_defaults(&options);
}

static void reads_each_setting(void **state)
{
    assert_int_equal(read_setting("HEAPPROF_INTERVAL=64k")->interval, 65536);
    assert_int_equal(read_setting("HEAPPROF_INTERVAL=0")->interval, 0);
    assert_int_equal(read_setting("HEAPPROF_INTERVAL=1")->interval, 1);
    assert_int_equal(read_setting("HEAPPROF_AT_EXIT=1")->at_exit, true);
    assert_int_equal(read_setting("HEAPPROF_EVERY=30s")->every_ns, 30000000000);
    assert_int_equal(read_setting("HEAPPROF_GROWTH=10MiB")->growth, 10 << 20);
    assert_int_equal(read_setting("HEAPPROF_TRACE=250ms")->trace_ns, 250000000);
    assert_int_equal(read_setting("HEAPPROF_DEPTH=1")->depth, 1);
    assert_int_equal(read_setting("HEAPPROF_DEPTH=512")->depth, 512);
    assert_int_equal(read_setting("HEAPPROF_UNWINDER=libunwind")->engine, HP_ENGINE_LIBUNWIND);
    assert_int_equal(read_setting("HEAPPROF_UNWINDER=fp")->engine, HP_ENGINE_FP);
    assert_int_equal(read_setting("HEAPPROF_UNWINDER=cfi")->engine, HP_ENGINE_CFI);
    assert_int_equal(read_setting("HEAPPROF_MEMORY=1M")->memory, 1 << 20);
    assert_int_equal(read_setting("HEAPPROF_MEMORY=1G")->memory, 1 << 30);
    assert_string_equal(read_setting("HEAPPROF_LEDGER=none")->ledger, "none");
    assert_string_equal(read_setting("HEAPPROF_LEDGER=/dev/shm/x y")->ledger, "/dev/shm/x y");
    assert_int_equal(read_setting("HEAPPROF_FOLLOW=0")->follow, false);
    assert_int_equal(complaints, 0);
}

static void reads_signals(void **state)
{
    static const struct {
        const char *setting;
        int number;
    } cases[] = {
        {"HEAPPROF_SIGNAL=USR1", SIGUSR1}, {"HEAPPROF_SIGNAL=USR2", SIGUSR2}, {"HEAPPROF_SIGNAL=SIGUSR1", SIGUSR1},
        {"HEAPPROF_SIGNAL=none", 0},       {"HEAPPROF_SIGNAL=10", 10},        {"HEAPPROF_SIGNAL=31", 31},
    };
    char realtime[64];
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_setting(cases[i].setting)->signal, cases[i].number);
        assert_int_equal(complaints, 0);
    }
    assert_int_equal(read_setting("HEAPPROF_SIGNAL=RTMIN")->signal, SIGRTMIN);
    assert_int_equal(read_setting("HEAPPROF_SIGNAL=RTMIN+3")->signal, SIGRTMIN + 3);
    snprintf(realtime, sizeof realtime, "HEAPPROF_SIGNAL=RTMIN+%d", SIGRTMAX - SIGRTMIN);
    assert_int_equal(read_setting(realtime)->signal, SIGRTMAX);
    assert_int_equal(complaints, 0);
}

static void complains_of_malformed_values(void **state)
{
    static const struct {
        const char *variable, *value, *used;
    } cases[] = {
        {"HEAPPROF_INTERVAL", "x", "512K"},
        {"HEAPPROF_INTERVAL", "-1", "512K"},
        {"HEAPPROF_INTERVAL", "12X", "512K"},
        {"HEAPPROF_INTERVAL", "1 K", "512K"},
        {"HEAPPROF_INTERVAL", "1.5M", "512K"},
        {"HEAPPROF_INTERVAL", "0x10", "512K"},
        {"HEAPPROF_INTERVAL", "1iB", "512K"},
        {"HEAPPROF_INTERVAL", "1KiBs", "512K"},
        {"HEAPPROF_INTERVAL", "1025G", "512K"},
        {"HEAPPROF_INTERVAL", "99999999999999999999", "512K"},
        {"HEAPPROF_INTERVAL", "K", "512K"},
        {"HEAPPROF_INTERVAL", " 1", "512K"},
        {"HEAPPROF_OUTPUT", "a.%x", "heapprof.%e.%p.%n.heap"},
        {"HEAPPROF_OUTPUT", "a.%", "heapprof.%e.%p.%n.heap"},
        {"HEAPPROF_SIGNAL", "USR3", "USR2"},
        {"HEAPPROF_SIGNAL", "0", "USR2"},
        {"HEAPPROF_SIGNAL", "9", "USR2"},
        {"HEAPPROF_SIGNAL", "19", "USR2"},
        {"HEAPPROF_SIGNAL", "32", "USR2"},
        {"HEAPPROF_SIGNAL", "33", "USR2"},
        {"HEAPPROF_SIGNAL", "65", "USR2"},
        {"HEAPPROF_SIGNAL", "RTMIN-1", "USR2"},
        {"HEAPPROF_SIGNAL", "RTMIN+", "USR2"},
        {"HEAPPROF_SIGNAL", "RTMIN+31", "USR2"},
        {"HEAPPROF_SIGNAL", "10 ", "USR2"},
        {"HEAPPROF_SIGNAL", "NONE", "USR2"},
        {"HEAPPROF_AT_EXIT", "yes", "0"},
        {"HEAPPROF_AT_EXIT", "2", "0"},
        {"HEAPPROF_AT_EXIT", "01", "0"},
        {"HEAPPROF_EVERY", "30", "off"},
        {"HEAPPROF_EVERY", "s", "off"},
        {"HEAPPROF_EVERY", "-3s", "off"},
        {"HEAPPROF_EVERY", "3d", "off"},
        {"HEAPPROF_EVERY", "9999999999999h", "off"},
        {"HEAPPROF_GROWTH", "much", "off"},
        {"HEAPPROF_GROWTH", "1T", "off"},
        {"HEAPPROF_TRACE", "1.5s", "off"},
        {"HEAPPROF_TRACE", "3 s", "off"},
        {"HEAPPROF_DEPTH", "0", "128"},
        {"HEAPPROF_DEPTH", "513", "128"},
        {"HEAPPROF_DEPTH", "-1", "128"},
        {"HEAPPROF_DEPTH", "12a", "128"},
        {"HEAPPROF_DEPTH", "4294967297", "128"},
        {"HEAPPROF_UNWINDER", "dwarf", "cfi"},
        {"HEAPPROF_UNWINDER", "CFI", "cfi"},
        {"HEAPPROF_MEMORY", "lots", "256M"},
        {"HEAPPROF_FOLLOW", "no", "1"},
        {"HEAPPROF_FOLLOW", "-", "1"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char setting[256];
        snprintf(setting, sizeof setting, "%s=%s", cases[i].variable, cases[i].value);
        print_message("%s\n", setting);
        assert_defaults(read_setting(setting));
        assert_int_equal(complaints, 1);
        assert_string_equal(complaint[0], cases[i].variable);
        assert_string_equal(complaint[1], cases[i].value);
        assert_string_equal(complaint[2], cases[i].used);
    }
}

static void takes_the_nearest_possible_memory(void **state)
{
    assert_int_equal(read_setting("HEAPPROF_MEMORY=4K")->memory, 1 << 20);
    assert_int_equal(complaints, 1);
    assert_string_equal(complaint[2], "1M, the least there is");
    assert_int_equal(read_setting("HEAPPROF_MEMORY=3G")->memory, 2ul << 30);
    assert_int_equal(complaints, 1);
    assert_string_equal(complaint[2], "2G, the most there is");
}

static void complains_of_long_paths(void **state)
{
    static char setting[2 * HP_PATH_MAX];
    int length = snprintf(setting, sizeof setting, "HEAPPROF_LEDGER=/");
    memset(setting + length, 'x', HP_PATH_MAX);
    assert_defaults(read_setting(setting));
    assert_int_equal(complaints, 1);
    length = snprintf(setting, sizeof setting, "HEAPPROF_OUTPUT=");
    memset(setting + length, 'x', HP_PATH_MAX - 2 - strlen("/start"));
    setting[length + HP_PATH_MAX - 2 - (int)strlen("/start")] = '\0';
    assert_int_equal(strlen(read_setting(setting)->output), HP_PATH_MAX - 1);
    assert_int_equal(complaints, 0);
    strcat(setting, "x");
    assert_defaults(read_setting(setting));
    assert_int_equal(complaints, 1);
}

static void complains_once_a_variable(void **state)
{
    struct hp_options options;
    char depth[] = "HEAPPROF_DEPTH=a", follow[] = "HEAPPROF_FOLLOW=b", again[] = "HEAPPROF_DEPTH=c";
    char every[] = "HEAPPROF_EVERY=1s", *environment[] = {depth, follow, again, every, NULL};
    complaints = 0;
    hp_options_read(&options, environment, "/", complain);
    assert_int_equal(complaints, 2);
    assert_int_equal(options.every_ns, 1000000000);
}

static void makes_output_absolute(void **state)
{
    struct hp_options options;
    char output[] = "HEAPPROF_OUTPUT=x.%n", *none[] = {NULL}, *folder[] = {output, NULL};
    static char deep[HP_PATH_MAX];
    char path[HP_PATH_MAX];
    assert_string_equal(read_setting("HEAPPROF_OUTPUT=/tmp/a")->output, "/tmp/a");
    assert_string_equal(read_setting("HEAPPROF_OUTPUT=d/a")->output, "/start/d/a");
    /* Percent signs of the folder are its own. */
    hp_options_read(&options, folder, "/50%e/100%", NULL);
    assert_int_equal(hp_expand_pattern(path, options.output, "/bin/app", 42, 3, 5), 0);
    assert_string_equal(path, "/50%e/100%/x.0003");
    /* Too deep a folder: the name stays relative. */
    memset(deep, 'd', sizeof deep - 1);
    deep[0] = '/';
    hp_options_read(&options, none, deep, NULL);
    assert_string_equal(options.output, "heapprof.%e.%p.%n.heap");
}

static void expands_patterns(void **state)
{
    static const struct {
        const char *pattern, *path;
    } cases[] = {
        {"/a", "/a"},
        {"/heapprof.%e.%p.%n.heap", "/heapprof.app.42.0007.heap"},
        {"/%t-%%-%n%n", "/1700000000-%-00070007"},
        {"/%", "/%"},
        {"", ""},
    };
    char path[HP_PATH_MAX];
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(hp_expand_pattern(path, cases[i].pattern, "app", 42, 7, 1700000000), 0);
        assert_string_equal(path, cases[i].path);
    }
    assert_int_equal(hp_expand_pattern(path, "%e.%n", "app", 42, 123456, 0), 0);
    assert_string_equal(path, "app.123456");
}

static void refuses_names_that_get_too_long(void **state)
{
    static char exe[HP_PATH_MAX + 8], path[HP_PATH_MAX + 16];
    memset(path, 'p', sizeof path);
    memset(exe, 'e', HP_PATH_MAX - 1);
    assert_int_equal(hp_expand_pattern(path, "%e", exe, 1, 1, 1), 0);
    assert_int_equal(strlen(path), HP_PATH_MAX - 1);
    assert_int_equal(hp_expand_pattern(path, "/%e", exe, 1, 1, 1), -ENAMETOOLONG);
    assert_int_equal(hp_expand_pattern(path, "%e%e%e", exe, 1, 1, 1), -ENAMETOOLONG);
    assert_int_equal(path[HP_PATH_MAX], 'p');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(reads_each_setting),
        cmocka_unit_test(reads_signals),
        cmocka_unit_test(complains_of_malformed_values),
        cmocka_unit_test(takes_the_nearest_possible_memory),
        cmocka_unit_test(complains_of_long_paths),
        cmocka_unit_test(complains_once_a_variable),
        cmocka_unit_test(makes_output_absolute),
        cmocka_unit_test(expands_patterns),
        cmocka_unit_test(refuses_names_that_get_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
