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
static const char *const folders[] = {"/no/such/folder", folder};

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
    struct hp_source_rules rules = {.folders = folders, .folder_count = 2};
    make_file("lines.c", "one\r\n\ntwo\twords\nlast");
    assert_true(hp_source_read(&source, path, &rules));
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
    assert_true(hp_source_read(&source, path, &rules));
    assert_int_equal(source.line_count, 0);
    hp_source_free(&source);
    make_file("ends.c", "one\n");
    assert_true(hp_source_read(&source, path, &rules));
    assert_int_equal(source.line_count, 1);
    hp_source_free(&source);
}

static bool finds(const char *file, const char *wanted)
{
    struct hp_source_rules rules = {.folders = folders, .folder_count = 2};
    struct hp_source source;
    bool found = hp_source_read(&source, file, &rules);
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

static bool shows(struct hp_source_rules *rules, const char *file)
{
    struct hp_source source;
    bool found = hp_source_read(&source, file, rules);
    assert_int_equal(source.left_out, !found);
    hp_source_free(&source);
    return found;
}

static void opens_nothing_that_no_rule_allows(void **state)
{
    char link[300], inside[300];
    struct hp_source_rules rules = {0};
    struct hp_source source;
    snprintf(path, sizeof path, "%s/allowed", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    const char *const allowed[] = {"/no/such/folder", strdup(path)};
    make_file("secret", "word");
    snprintf(link, sizeof link, "%s/link.c", allowed[1]);
    assert_int_equal(symlink(path, link), 0);
    assert_false(hp_source_read(&source, path, NULL));
    assert_false(shows(&rules, path));
    rules.folders = allowed;
    rules.folder_count = 2;
    assert_false(shows(&rules, path));
    assert_false(shows(&rules, link));
    assert_false(shows(&rules, "link.c"));
    assert_int_equal(rules.left_out.count, 3);
    make_file("allowed/inside.c", "word");
    snprintf(inside, sizeof inside, "%s/inside.c", allowed[1]);
    assert_true(shows(&rules, inside));
    snprintf(inside, sizeof inside, "%s/../secret", allowed[1]);
    assert_false(shows(&rules, inside));
    snprintf(inside, sizeof inside, "%s/allowed-not", folder);
    make_file("allowed-not", "word");
    assert_false(shows(&rules, inside));
    rules.folder_count = 0;
    rules.here = true;
    assert_false(shows(&rules, path));
    assert_int_equal(chdir(folder), 0);
    assert_true(shows(&rules, path));
    assert_int_equal(chdir("/"), 0);
    assert_false(shows(&rules, path));
    hp_source_rules_free(&rules);
    free((char *)allowed[1]);
}

/* Root may read all; the owner of a profile may not. */
static void reads_what_the_owner_could_read(void **state)
{
    struct hp_source_rules rules = {.folders = folders, .folder_count = 2};
    if (geteuid()) {
        print_message("[ SKIPPED  ] only root may read what the owner may not\n");
        skip();
    }
    make_file("a.c", "word");
    chmod(path, 0600);
    chmod(folder, 0755);
    assert_true(shows(&rules, "a.c"));
    hp_source_rules_owner(&rules, 0);
    assert_true(shows(&rules, "a.c"));
    hp_source_rules_owner(&rules, 12345);
    assert_false(shows(&rules, "a.c"));
    assert_int_equal(chmod(path, 0640), 0); /* root's group is not the owner's */
    assert_false(shows(&rules, "a.c"));
    assert_int_equal(chmod(path, 0644), 0);
    assert_true(shows(&rules, "a.c"));
    chmod(folder, 0700);
    assert_false(shows(&rules, "a.c"));
    assert_int_equal(chown(folder, 12345, 12345), 0);
    assert_true(shows(&rules, "a.c"));
    assert_int_equal(chmod(path, 0000), 0);
    FILE *file = fopen(path, "r"); /* the rights are back */
    assert_non_null(file);
    fclose(file);
    hp_source_rules_free(&rules);
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
        cmocka_unit_test(opens_nothing_that_no_rule_allows),
        cmocka_unit_test(reads_what_the_owner_could_read),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
