#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/core/source.h"

static char folder[] = "/tmp/test_source.XXXXXX";
static char path[256];

static void make_file(const char *name, const char *text)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void splits_lines(void **state)
{
    struct hp_source source;
    make_file("lines.c", "one\r\n\ntwo\twords\nlast");
    assert_true(hp_source_read(&source, path, NULL, 0));
    assert_int_equal(source.line_count, 4);
    assert_string_equal(source.lines[0], "one");
    assert_string_equal(source.lines[1], "");
    assert_string_equal(source.lines[3], "last");
    char *plain = hp_source_tabs(source.lines[2]);
    assert_string_equal(plain, "two words");
    free(plain);
    hp_source_free(&source);
    plain = hp_source_tabs("\ta\t\tb");
    assert_string_equal(plain, "    a       b");
    free(plain);
    make_file("empty.c", "");
    assert_true(hp_source_read(&source, path, NULL, 0));
    assert_int_equal(source.line_count, 0);
    hp_source_free(&source);
    make_file("ends.c", "one\n");
    assert_true(hp_source_read(&source, path, NULL, 0));
    assert_int_equal(source.line_count, 1);
    hp_source_free(&source);
}

static bool finds(const char *file, const char *wanted)
{
    const char *folders[] = {"/no/such/folder", folder};
    struct hp_source source;
    bool found = hp_source_read(&source, file, folders, 2);
    if (found && wanted)
        assert_string_equal(source.lines[0], wanted);
    hp_source_free(&source);
    return found;
}

static void looks_in_folders(void **state)
{
    snprintf(path, sizeof path, "%s/sub", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    make_file("sub/a.c", "inner");
    make_file("a.c", "outer");
    assert_true(finds("/build/sub/a.c", "inner"));
    assert_true(finds("sub/a.c", "inner"));
    assert_true(finds("/build/other/a.c", "outer"));
    assert_true(finds("a.c", "outer"));
    assert_false(finds("b.c", NULL));
    assert_false(finds("", NULL));
    assert_false(finds("/", NULL));
    assert_false(finds("sub", NULL));
    assert_true(finds("x/../a.c", "outer"));
    assert_true(finds("../sub/a.c", "inner"));
    assert_false(finds("..", NULL));
    assert_true(finds("..a/a.c", "outer"));
}

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_lines),
        cmocka_unit_test(looks_in_folders),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
