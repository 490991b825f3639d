/* The symbolizer against programs that are built beside this test (targets/), with
 * addr2line as judge. Over 400 lines: all these tests share what reads the programs and the folder of
 * stripped copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbolize/symbolize.h"

#define FRAMES 64

struct section {
    uint64_t address, offset, size;
};

static char folder[] = "/tmp/hp-symbolize-XXXXXX"; /* for stripped copies */

static const char *target_path(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/symbolize_%s", SYMBOLIZE_TARGETS, name);
    if (access(path, R_OK) == 0)
        return path;
    print_message("[ SKIPPED  ] no compiler built %s\n", path);
    skip();
    return NULL;
}

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
    char command[16384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static struct section text_section(const char *path)
{
    struct section result = {0};
    elf_version(EV_CURRENT);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    Elf *elf = elf_begin(descriptor, ELF_C_READ, NULL);
    size_t names;
    assert_int_equal(elf_getshdrstrndx(elf, &names), 0);
    for (Elf_Scn *at = NULL; (at = elf_nextscn(elf, at));) {
        GElf_Shdr header;
        gelf_getshdr(at, &header);
        if (!strcmp(elf_strptr(elf, names, header.sh_name), ".text"))
            result = (struct section){header.sh_addr, header.sh_offset, header.sh_size};
    }
    elf_end(elf);
    close(descriptor);
    assert_true(result.size > 0);
    return result;
}

static void read_build_id(const char *path, char id[128])
{
    char command[8192];
    snprintf(command, sizeof command, "readelf -n '%s' 2>&1 | sed -n 's/.*Build ID: //p'", path);
    FILE *output = popen(command, "r");
    assert_non_null(fgets(id, 128, output));
    id[strcspn(id, "\n")] = '\0';
    pclose(output);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcmp(text + length - tail, end);
}

/* ---- inlined calls ---- */

/* Some address has the chain leaf, middle, outer; each in its lines of the source. */
static bool has_chain(const struct hp_symbol_frame *frames, size_t count)
{
    return count >= 3 && !strcmp(frames[0].function, "leaf") && !strcmp(frames[1].function, "middle") &&
           !strcmp(frames[2].function, "outer");
}

static void check_inlined(const char *name)
{
    const char *path = target_path(name);
    struct hp_symbolizer *symbolizer = hp_symbolizer_new(NULL);
    struct hp_symbol_module *module = hp_symbolizer_module(symbolizer, path, "");
    assert_int_equal(hp_symbol_module_status(module), HP_MODULE_OK);
    assert_ptr_equal(module, hp_symbolizer_module(symbolizer, path, ""));
    struct section text = text_section(path);
    int chains = 0, aliases = 0;
    for (uint64_t at = 0; at < text.size; at++) {
        struct hp_symbol_frame frames[FRAMES];
        size_t count = hp_symbolize(module, text.offset + at, frames, FRAMES);
        if (count && !strcmp(frames[count - 1].function, "public_name"))
            aliases++;
        if (!has_chain(frames, count))
            continue;
        chains++;
        assert_in_range(frames[0].line, 9, 16);
        assert_in_range(frames[1].line, 20, 21);
        assert_int_equal(frames[2].line, 27);
        assert_int_equal(frames[0].start_line, 9);
        assert_int_equal(frames[1].start_line, 18);
        assert_int_equal(frames[2].start_line, 25);
        for (int i = 0; i < 3; i++) {
            assert_true(frames[i].file[0] == '/');
            assert_true(ends_with(frames[i].file, "/tests/unit/symbolize/targets/inlined.c"));
            assert_null(strstr(frames[i].file, ".."));
            assert_int_equal(frames[i].entry_offset, frames[0].entry_offset);
        }
        /* Fewer frames are the innermost. */
        struct hp_symbol_frame one;
        assert_int_equal(hp_symbolize(module, text.offset + at, &one, 1), 1);
        assert_string_equal(one.function, "leaf");
    }
    assert_true(chains > 4);
    assert_true(aliases > 4);
    assert_int_equal(hp_symbolize(module, UINT64_MAX, NULL, 0), 0);
    struct hp_symbol_frame none;
    assert_int_equal(hp_symbolize(module, UINT64_MAX, &none, 1), 0);
    hp_symbolizer_free(symbolizer);
}

static void inlined_dwarf_4(void **state)
{
    check_inlined("c4");
}

static void inlined_dwarf_5_compressed(void **state)
{
    check_inlined("c5");
}

static void inlined_split_dwarf(void **state)
{
    check_inlined("split");
}

/* ---- addr2line as judge ---- */

struct judged {
    unsigned frames, same, named_better, unknown;
};

/* Reads the two lines of one frame. False at the line that announces the next address. */
static bool read_judge(FILE *output, char function[8192], char file[8192], unsigned *line)
{
    long position = ftell(output);
    if (!fgets(function, 8192, output) || !strncmp(function, "0x", 2)) {
        fseek(output, position, SEEK_SET);
        return false;
    }
    function[strcspn(function, "\n")] = '\0';
    assert_non_null(fgets(file, 8192, output));
    file[strcspn(file, "\n")] = '\0';
    char *colon = strrchr(file, ':');
    assert_non_null(colon);
    *colon = '\0';
    *line = (unsigned)strtoul(colon + 1, NULL, 10);
    return true;
}

/* What addr2line says of one frame, and what the symbolizer says. `frame` NULL: nothing. */
struct verdict {
    const char *function, *file;
    unsigned line;
    const struct hp_symbol_frame *frame, *outermost;
    bool in_function; /* by the sizes in the symbol table */
};

/* The ways in which addr2line's names may differ, each known. */
static bool names_agree(const struct verdict *verdict)
{
    const char *theirs = verdict->function, *ours = verdict->frame->function;
    /* Without a linkage name it shows the bare one; here it is qualified. */
    const char *bare = strstr(ours, theirs);
    if (bare && bare > ours + 2 && !strncmp(bare - 2, "::", 2))
        return true;
    /* Or, for an inlined call that has no linkage name, that of the function around it. */
    if (verdict->frame != verdict->outermost &&
        !strncmp(theirs, verdict->outermost->function, strlen(verdict->outermost->function)))
        return true;
    return !strcmp(theirs, "__reserved_name") && !strcmp(ours, "public_name");
}

static void judge(const struct verdict *verdict, struct judged *judged)
{
    const struct hp_symbol_frame *frame = verdict->frame;
    judged->frames++;
    if (!frame && !verdict->in_function) {
        judged->unknown++; /* padding: addr2line takes the function before it */
        return;
    }
    assert_non_null(frame);
    if (!verdict->line && !strchr(verdict->file, '/')) {
        /* No debug information: addr2line shows the file's name from the symbol table. */
        assert_string_equal(frame->function, verdict->function);
        judged->unknown++;
        return;
    }
    char *resolved = realpath(verdict->file, NULL);
    assert_string_equal(frame->file, resolved ? resolved : verdict->file);
    free(resolved);
    assert_int_equal(frame->line, verdict->line);
    if (!strcmp(frame->function, verdict->function))
        judged->same++;
    else if (names_agree(verdict))
        judged->named_better++;
    else
        fail_msg("addr2line: %s, here: %s", verdict->function, frame->function);
}

/* Which bytes of the text are in a function that has a size. The caller frees. */
static bool *map_functions(const char *path, const struct section *text)
{
    bool *covered = calloc(text->size, sizeof *covered);
    char command[8192], line[8192];
    snprintf(command, sizeof command, "nm -S '%s'", path);
    FILE *output = popen(command, "r");
    while (fgets(line, sizeof line, output)) {
        unsigned long long address, size;
        char type;
        if (sscanf(line, "%llx %llx %c", &address, &size, &type) != 3 || !strchr("tTwWi", type))
            continue;
        for (uint64_t at = address; at < address + size; at++)
            if (at >= text->address && at - text->address < text->size)
                covered[at - text->address] = true;
    }
    pclose(output);
    return covered;
}

static void check_against_addr2line(const char *name, unsigned step)
{
    const char *path = target_path(name);
    if (system("addr2line --version >/dev/null 2>&1") != 0) {
        print_message("[ SKIPPED  ] no addr2line\n");
        skip();
    }
    struct section text = text_section(path);
    char addresses[4096], answers[4096];
    snprintf(addresses, sizeof addresses, "%s/addresses", folder);
    snprintf(answers, sizeof answers, "%s/answers", folder);
    FILE *file = fopen(addresses, "w");
    for (uint64_t at = 0; at < text.size; at += step)
        fprintf(file, "%#llx\n", (unsigned long long)(text.address + at));
    fclose(file);
    run("addr2line -aCfi -e '%s' <%s >%s", path, addresses, answers);
    struct hp_symbolizer *symbolizer = hp_symbolizer_new(NULL);
    struct hp_symbol_module *module = hp_symbolizer_module(symbolizer, path, "");
    struct judged judged = {0};
    bool *covered = map_functions(path, &text);
    FILE *output = fopen(answers, "r");
    char function[8192], judge_file[8192];
    for (uint64_t at = 0; at < text.size; at += step) {
        assert_non_null(fgets(function, sizeof function, output));
        assert_int_equal(strtoull(function, NULL, 16), text.address + at);
        struct hp_symbol_frame frames[FRAMES];
        size_t count = hp_symbolize(module, text.offset + at, frames, FRAMES), i = 0;
        struct verdict verdict = {.function = function, .file = judge_file, .in_function = covered[at]};
        for (; read_judge(output, function, judge_file, &verdict.line); i++) {
            verdict.frame = i < count ? &frames[i] : NULL;
            verdict.outermost = count ? &frames[count - 1] : NULL;
            judge(&verdict, &judged);
        }
        assert_true(i >= count);
    }
    fclose(output);
    free(covered);
    print_message("%s: %u frames, %u the same, %u better named, %u without debug information\n", name, judged.frames,
                  judged.same, judged.named_better, judged.unknown);
    assert_true(judged.same > judged.frames / 4);
    hp_symbolizer_free(symbolizer);
}

static void judged_c(void **state)
{
    check_against_addr2line("c4", 1);
}

static void judged_cpp(void **state)
{
    check_against_addr2line("cpp", 4);
}

/* ---- names ---- */

/* Whether some address of the program's text has a frame of this name, with parameters or without.
 */
static bool finds_function(struct hp_symbol_module *module, const char *path, const char *function)
{
    struct section text = text_section(path);
    size_t length = strlen(function);
    for (uint64_t at = 0; at < text.size; at++) {
        struct hp_symbol_frame frames[FRAMES];
        size_t count = hp_symbolize(module, text.offset + at, frames, FRAMES);
        for (size_t i = 0; i < count; i++)
            if (!strncmp(frames[i].function, function, length) && strchr("(", frames[i].function[length]))
                return true;
    }
    return false;
}

static void check_names(const char *target, const char *const *names)
{
    const char *path = target_path(target);
    struct hp_symbolizer *symbolizer = hp_symbolizer_new(NULL);
    struct hp_symbol_module *module = hp_symbolizer_module(symbolizer, path, "");
    assert_int_equal(hp_symbol_module_status(module), HP_MODULE_OK);
    for (; *names; names++)
        if (!finds_function(module, path, *names))
            fail_msg("no code of %s in %s", *names, path);
    hp_symbolizer_free(symbolizer);
}

static void names_of_cpp(void **state)
{
    static const char *const wanted[] = {"main", "closure(int)", "(anonymous namespace)::twice", NULL};
    check_names("cpp", wanted);
}

static void names_of_rust(void **state)
{
    static const char *const wanted[] = {"boxes::make_boxes", "boxes::main", "<boxes::Squares as boxes::Grow>::grow",
                                         NULL};
    check_names("rust", wanted);
}

/* ---- other files ---- */

/* In the folder: `name`, stripped of debug information (and of its symbol table), and `name`.debug.
 */
static void split_off_debug(const char *path, const char *name, const char *strip)
{
    run("cd %s && cp '%s' %s && objcopy --only-keep-debug %s %s.debug && strip %s %s", folder, path, name, name, name,
        strip, name);
}

static enum hp_module_status status_of(const char *name, const char *build_id, const char *directory,
                                       const char *function)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const char *directories[] = {directory};
    struct hp_symbol_options options = {.directories = directories, .directory_count = !!directory};
    struct hp_symbolizer *symbolizer = hp_symbolizer_new(&options);
    struct hp_symbol_module *module = hp_symbolizer_module(symbolizer, path, build_id);
    enum hp_module_status status = hp_symbol_module_status(module);
    if (function)
        assert_true(finds_function(module, target_path("c4"), function));
    if (status == HP_MODULE_MISSING || status == HP_MODULE_REPLACED)
        assert_false(finds_function(module, target_path("c4"), "outer"));
    hp_symbolizer_free(symbolizer);
    return status;
}

static void separate_debug_file(void **state)
{
    char id[128], directory[4096];
    const char *path = target_path("c4");
    read_build_id(path, id);
    snprintf(directory, sizeof directory, "%s/symbols", folder);
    run("mkdir -p %s", directory);

    split_off_debug(path, "linked", "--strip-all");
    run("cd %s && mkdir .debug && mv linked.debug other-name", folder);
    assert_int_equal(status_of("linked", id, NULL, NULL), HP_MODULE_SYMTAB);
    run("cd %s && objcopy --add-gnu-debuglink=other-name linked", folder);
    assert_int_equal(status_of("linked", id, NULL, "leaf"), HP_MODULE_OK);
    run("cd %s && mv other-name .debug/", folder);
    assert_int_equal(status_of("linked", id, NULL, "leaf"), HP_MODULE_OK);

    split_off_debug(path, "plain", "--strip-debug");
    run("cd %s && mv plain.debug away", folder);
    assert_int_equal(status_of("plain", id, directory, "outer"), HP_MODULE_SYMTAB);
    assert_int_equal(status_of("plain", id, NULL, "public_name"), HP_MODULE_SYMTAB);
    run("cd %s && cp away symbols/plain.debug", folder);
    assert_int_equal(status_of("plain", id, directory, "leaf"), HP_MODULE_OK);
    run("cd %s/symbols && mkdir -p .build-id/%.2s && mv plain.debug .build-id/%.2s/%s.debug", folder, id, id, id + 2);
    assert_int_equal(status_of("plain", id, directory, "leaf"), HP_MODULE_OK);
    /* The program itself is gone: the debug file stands for it. */
    run("rm %s/plain", folder);
    assert_int_equal(status_of("plain", id, directory, "leaf"), HP_MODULE_OK);
    assert_int_equal(status_of("plain", id, NULL, NULL), HP_MODULE_MISSING);
    assert_int_equal(status_of("plain", "00112233445566778899", directory, NULL), HP_MODULE_MISSING);
}

static void replaced_and_missing(void **state)
{
    char id[128], other[128], directory[4096];
    read_build_id(target_path("c4"), id);
    read_build_id(target_path("c5"), other);
    snprintf(directory, sizeof directory, "%s/right", folder);
    run("cp '%s' %s/program", target_path("c5"), folder);
    assert_int_equal(status_of("program", other, NULL, NULL), HP_MODULE_OK);
    assert_int_equal(status_of("program", id, NULL, NULL), HP_MODULE_REPLACED);
    run("mkdir -p %s && cp '%s' %s/program", directory, target_path("c4"), directory);
    assert_int_equal(status_of("program", id, directory, "leaf"), HP_MODULE_OK);
    assert_int_equal(status_of("program (deleted)", other, NULL, NULL), HP_MODULE_OK);
    assert_int_equal(status_of("program (deleted)", id, NULL, NULL), HP_MODULE_REPLACED);
    /* A debug file of another build is passed over, whatever its name. */
    split_off_debug(target_path("c4"), "mixed", "--strip-all");
    run("cd %s && cp '%s' right/mixed.debug && rm mixed.debug", folder, target_path("c5"));
    assert_int_equal(status_of("mixed", id, directory, NULL), HP_MODULE_SYMTAB);

    assert_int_equal(status_of("no-such-file", "", NULL, NULL), HP_MODULE_MISSING);
    run("cd %s && : >empty && echo text >text && mkfifo fifo && head -c 100 program >cut", folder);
    const char *const no_elf_files[] = {"empty", "text", "fifo", "cut", "symbols", "../../dev/null", ""};
    for (size_t i = 0; i < sizeof no_elf_files / sizeof *no_elf_files; i++)
        assert_int_equal(status_of(no_elf_files[i], "", NULL, NULL), HP_MODULE_MISSING);
}

/* ---- hostile files ---- */

static void symbolize_all(const char *path)
{
    struct hp_symbolizer *symbolizer = hp_symbolizer_new(NULL);
    struct hp_symbol_module *module = hp_symbolizer_module(symbolizer, path, "");
    for (uint64_t offset = 0; offset < 0x3000; offset += 7) {
        struct hp_symbol_frame frames[FRAMES];
        size_t count = hp_symbolize(module, offset, frames, FRAMES);
        assert_true(count <= FRAMES);
        for (size_t i = 0; i < count; i++)
            assert_true(frames[i].function && frames[i].linkage && frames[i].file);
    }
    hp_symbolizer_free(symbolizer);
}

static void damaged_files(void **state)
{
    FILE *file = fopen(target_path("c4"), "r");
    static unsigned char whole[1 << 20], damaged[1 << 20];
    size_t size = fread(whole, 1, sizeof whole, file);
    fclose(file);
    char path[4096];
    snprintf(path, sizeof path, "%s/damaged", folder);
    uint32_t random = 12345;
    for (int round = 0; round < 300; round++) {
        memcpy(damaged, whole, size);
        size_t length = size;
        for (int i = 0; i < 1 + round % 32; i++) {
            random = random * 1664525 + 1013904223;
            size_t at = (size_t)((uint64_t)random * size >> 32);
            random = random * 1664525 + 1013904223;
            damaged[at] = (unsigned char)(random >> 24);
        }
        if (round % 10 == 9)
            length = (size_t)((uint64_t)random * size >> 32);
        file = fopen(path, "w");
        fwrite(damaged, 1, length, file);
        fclose(file);
        symbolize_all(path);
    }
}

static int make_folder(void **state)
{
    unsetenv("DEBUGINFOD_URLS");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    run("rm -rf %s", folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inlined_dwarf_4),      cmocka_unit_test(inlined_dwarf_5_compressed),
        cmocka_unit_test(inlined_split_dwarf),  cmocka_unit_test(judged_c),
        cmocka_unit_test(judged_cpp),           cmocka_unit_test(names_of_cpp),
        cmocka_unit_test(names_of_rust),        cmocka_unit_test(separate_debug_file),
        cmocka_unit_test(replaced_and_missing), cmocka_unit_test(damaged_files),
    };
    return cmocka_run_group_tests_name("symbolize", tests, make_folder, remove_folder);
}
