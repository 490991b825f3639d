#include "cli/dump_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/target.h"
#include "cli/write_profile.h"
#include "report/core/memory.h"

hp_dump_converter_fn *hp_dump_converter;

/* The program's name, as part of a file's. */
static char *program_of(const struct hp_ledger_info *info)
{
    char *program = hp_strdup(*info->program ? info->program : "unknown");
    for (char *c = program; *c; c++)
        if (*c == '/' || (unsigned char)*c <= ' ')
            *c = '_';
    return program;
}

/* An output, and what went wrong with it rather than with the ledger. */
struct writing {
    struct hp_output output;
    int error;
};

static int write_some(void *state, const void *data, size_t size)
{
    struct writing *writing = state;
    writing->error = hp_output_sink(&writing->output, data, size);
    return writing->error;
}

/* Straight into the file, since nobody sees it before it is whole; what is written in place is collected first. */
static int write_ledger(const struct hp_ledger_info *info, struct writing *writing, char *error, size_t error_size)
{
    if (writing->output.draft)
        return hp_ledger_write(info, write_some, writing, error, error_size);
    struct hp_byte_buffer dump = {0};
    int status = hp_ledger_write(info, hp_byte_buffer_sink, &dump, error, error_size);
    if (!status)
        status = write_some(writing, dump.data, dump.size);
    free(dump.data);
    return status;
}

static int convert_to(const char *path, const struct hp_ledger_info *info)
{
    char error[HP_PATH_MAX + 256];
    struct hp_byte_buffer dump = {0};
    int status = hp_ledger_write(info, hp_byte_buffer_sink, &dump, error, sizeof error)
                     ? hp_fail("%s", error)
                     : hp_dump_converter(info, dump.data, dump.size, path);
    free(dump.data);
    return status;
}

static int write_to(const char *path, const struct hp_ledger_info *info, bool exclusive)
{
    char error[HP_PATH_MAX + 256];
    struct writing writing = {.error = 0};
    if (hp_dump_converter && hp_is_proto_name(path))
        return convert_to(path, info);
    if (hp_output_open(&writing.output, path, hp_ends_in(path, ".gz"), 0600) != HP_DONE)
        return HP_FAILED;
    if (!write_ledger(info, &writing, error, sizeof error))
        return hp_output_close(&writing.output, true, exclusive);
    hp_output_close(&writing.output, false, false);
    return writing.error ? hp_fail("%s: %s", path, strerror(-writing.error)) : hp_fail("%s", error);
}

/* The first number that is free; another dump may take it meanwhile, then the next. */
static int write_numbered(const struct hp_ledger_info *info)
{
    char *program = program_of(info);
    int pid = (int)info->pid, status = -EEXIST;
    for (unsigned number = 1; status == -EEXIST && number <= 9999; number++) {
        char *path = hp_print("heapprof.%s.%d.%04u.heap", program, pid, number);
        if (access(path, F_OK))
            status = write_to(path, info, true);
        if (status == HP_DONE)
            puts(path);
        free(path);
    }
    if (status == -EEXIST)
        status = hp_fail("heapprof.%s.%d.*.heap: all numbers up to 9999 are taken", program, pid);
    free(program);
    return status;
}

int hp_dump_file_put(const struct hp_ledger_info *info, const char *path)
{
    return write_to(path, info, false);
}

int hp_dump_file_write(const struct hp_ledger_info *info, const char *output)
{
    int status = output ? write_to(output, info, false) : write_numbered(info);
    if (status == HP_DONE && output && strcmp(output, "-"))
        puts(output);
    return status == HP_DONE ? hp_output_flush() : status;
}

int hp_dump_running(pid_t pid, const char *output)
{
    struct hp_ledger_info info;
    char error[HP_PATH_MAX + 256];
    if (hp_ledger_find_running(pid, &info, error, sizeof error) < 0)
        return hp_fail("%s", error);
    info.hasty = true;
    return hp_dump_file_write(&info, output);
}

struct parsing {
    struct hp_dump_arguments *arguments;
    const char *verb, *target;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct parsing *parsing = state->input;
    switch (key) {
    case 'o':
        parsing->arguments->output = value;
        return 0;
    case ARGP_KEY_ARG:
        if (parsing->arguments->target)
            hp_usage("%s takes one %s", parsing->verb, parsing->target);
        parsing->arguments->target = value;
        return 0;
    case ARGP_KEY_END:
        if (!parsing->arguments->target)
            hp_usage("%s needs a %s", parsing->verb, parsing->target);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void hp_dump_arguments_parse(const struct hp_verb *verb, const char *target, int argc, char **argv,
                             struct hp_dump_arguments *arguments)
{
    static const struct argp_option options[] = {{"output", 'o', "FILE", 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = options, .parser = parse_option};
    struct parsing parsing = {arguments, verb->name, target};
    *arguments = (struct hp_dump_arguments){0};
    hp_arguments_parse(verb, &argp, 0, argc, argv, &parsing);
}
