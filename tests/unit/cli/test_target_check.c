/* The programs that must be refused are made here: copies of /bin/sh, or of this test, with a field
 * changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/run/preload_path.h"
#include "cli/run/target_check.h"

static char folder[] = "/tmp/heapprof-test.XXXXXX";

static char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *data, size_t size, mode_t mode)
{
    FILE *file = fopen(in_folder(name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
    assert_int_equal(chmod(in_folder(name), mode), 0);
}

struct image {
    unsigned char *data;
    size_t size;
};

static struct image shell;

static struct image load(const char *path)
{
    struct image image = {0};
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    image.size = (size_t)ftell(file);
    rewind(file);
    image.data = malloc(image.size);
    assert_int_equal(fread(image.data, 1, image.size, file), image.size);
    fclose(file);
    return image;
}

static int prepare(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    shell = load("/bin/sh");
    return 0;
}

static int clean_up(void **state)
{
    static const char *const names[] = {"good", "foreign", "static", "own", "script",     "env",
                                        "loop", "text",    "setuid", "cut", "unrunnable", "bad"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_folder(names[i]));
    free(shell.data);
    return rmdir(folder);
}

static void refused(const char *command, const char *because)
{
    struct hp_error error = {""};
    int status = hp_target_check(command, &error);
    print_message("%s\n", error.text);
    assert_true(status < 0);
    assert_non_null(strstr(error.text, because));
    assert_null(strchr(error.text, '\n'));
}

static void accepted(const char *command)
{
    struct hp_error error = {""};
    if (hp_target_check(command, &error))
        fail_msg("%s", error.text);
}

static void accepts_programs_and_scripts(void **state)
{
    write_file("good", shell.data, shell.size, 0755);
    accepted(in_folder("good"));
    accepted("sh");
    const char script[] = "#!/bin/sh\nexit 0\n";
    write_file("script", script, sizeof script - 1, 0755);
    accepted(in_folder("script"));
    const char env[] = "#!/usr/bin/env -S A=b sh\n";
    write_file("env", env, sizeof env - 1, 0755);
    accepted(in_folder("env"));
}

static void says_what_is_missing(void **state)
{
    refused("no-such-command-anywhere", "no such command");
    refused("/no/such/file", "No such file");
    refused("/tmp", "no program");
    write_file("unrunnable", shell.data, shell.size, 0644);
    refused(in_folder("unrunnable"), "Permission denied");
    const char bad[] = "#!/no/such/interpreter -x\n";
    write_file("bad", bad, sizeof bad - 1, 0755);
    refused(in_folder("bad"), "/no/such/interpreter");
    char loop[300];
    int size = snprintf(loop, sizeof loop, "#!%s\n", in_folder("loop"));
    write_file("loop", loop, (size_t)size, 0755);
    refused(in_folder("loop"), "loop");
    write_file("text", "hello\n", 6, 0755);
    refused(in_folder("text"), "neither an ELF program");
    write_file("cut", shell.data, 40, 0755);
    refused(in_folder("cut"), "");
}

static void refuses_what_cannot_be_preloaded(void **state)
{
    ElfW(Ehdr) *header = (ElfW(Ehdr) *)shell.data;
    ElfW(Half) machine = header->e_machine;
    header->e_machine = EM_SPARC;
    write_file("foreign", shell.data, shell.size, 0755);
    header->e_machine = machine;
    refused(in_folder("foreign"), "another kind of processor");

    ElfW(Phdr) *segments = (ElfW(Phdr) *)(shell.data + header->e_phoff);
    for (size_t i = 0; i < header->e_phnum; i++)
        if (segments[i].p_type == PT_INTERP)
            segments[i].p_type = PT_NULL;
    write_file("static", shell.data, shell.size, 0755);
    refused(in_folder("static"), "statically linked");
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

/* A function of this test's own that is called malloc in the copy's symbol table, and nowhere else.
 */
int mall0c(void);
int mall0c(void)
{
    return 0;
}

static void refuses_an_allocator_linked_in(void **state)
{
    const char name[] = "mall0c";
    struct image image = load("/proc/self/exe");
    size_t renamed = 0;
    for (size_t i = 0; i + sizeof name <= image.size; i++)
        if (!memcmp(image.data + i, name, sizeof name)) {
            image.data[i + 4] = 'o';
            renamed++;
        }
    assert_true(renamed > 0);
    write_file("own", image.data, image.size, 0755);
    free(image.data);
#ifdef SANITIZED
    refused(in_folder("own"), "");
#else
    accepted("/proc/self/exe");
    refused(in_folder("own"), "allocator of its own linked in (malloc)");
#endif
}

static void refuses_raised_privileges(void **state)
{
    write_file("setuid", shell.data, shell.size, 04755);
    if (getuid() == 0)
        assert_int_equal(chown(in_folder("setuid"), 65534, 65534), 0);
    assert_int_equal(chmod(in_folder("setuid"), 04755), 0);
    if (getuid() == 0)
        refused(in_folder("setuid"), "set-user-id");
}

static void builds_the_preload_list(void **state)
{
    struct hp_error error = {""};
    char *value = NULL;
    assert_int_equal(hp_preload_value("/a/lib.so", NULL, NULL, &value, &error), 0);
    assert_string_equal(value, "/a/lib.so");
    free(value);
    assert_int_equal(hp_preload_value("/a/lib.so", "/b/jemalloc.so", "/c/x.so", &value, &error), 0);
    assert_string_equal(value, "/a/lib.so:/b/jemalloc.so:/c/x.so");
    free(value);
    assert_true(hp_preload_value("/a b/lib.so", NULL, NULL, &value, &error) < 0);
    assert_non_null(strstr(error.text, "/a b/lib.so"));
    assert_true(hp_allocator_find("nosuchmalloc", &value, &error) < 0);
    assert_non_null(strstr(error.text, "nosuchmalloc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_programs_and_scripts),     cmocka_unit_test(says_what_is_missing),
        cmocka_unit_test(refuses_what_cannot_be_preloaded), cmocka_unit_test(refuses_an_allocator_linked_in),
        cmocka_unit_test(refuses_raised_privileges),        cmocka_unit_test(builds_the_preload_list),
    };
    return cmocka_run_group_tests(tests, prepare, clean_up);
}
