#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/say.h"
#include "profile/profile.h"
#include "report/memory.h"
#include "report/units.h"

struct arguments {
    const char *target, *output;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'o':
        arguments->output = value;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->target)
            hp_usage("dump takes one PID");
        arguments->target = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The program's name as the dump itself gives it. */
static char *program_of(const struct hp_memory *dump)
{
    struct hp_profile *profile;
    if (hp_profile_read_memory("dump", dump->data, dump->size, &profile, NULL))
        return hp_strdup("unknown");
    const char *name = hp_profile_program(profile);
    char *program = hp_strdup(name && *name ? name : "unknown");
    hp_profile_free(profile);
    for (char *c = program; *c; c++)
        if (*c == '/' || (unsigned char)*c <= ' ')
            *c = '_';
    return program;
}

static int write_to(const char *path, const struct hp_memory *dump, bool exclusive)
{
    struct hp_output output;
    if (hp_output_open(&output, path, hp_ends_in(path, ".gz"), 0600) != HP_DONE)
        return HP_FAILED;
    int status = hp_output_sink(&output, dump->data, dump->size);
    if (!status)
        return hp_output_close(&output, true, exclusive);
    hp_output_close(&output, false, false);
    return hp_fail("%s: %s", path, strerror(-status));
}

/* The first number that is free; another dump may take it meanwhile, then the next. */
static int write_numbered(pid_t pid, const struct hp_memory *dump)
{
    char *program = program_of(dump);
    int status = -EEXIST;
    for (unsigned number = 1; status == -EEXIST && number <= 9999; number++) {
        char *path = hp_print("heapprof.%s.%d.%04u.heap", program, (int)pid, number);
        FILE *there = fopen(path, "r");
        if (there)
            fclose(there);
        else
            status = write_to(path, dump, true);
        if (status == HP_DONE)
            puts(path);
        free(path);
    }
    if (status == -EEXIST)
        status =
            hp_fail("heapprof.%s.%d.*.heap: all numbers up to 9999 are taken", program, (int)pid);
    free(program);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {{"output", 'o', "FILE", 0, NULL, 0}, {0}};
    static const struct argp argp = {.options = options, .parser = parse_option};
    struct arguments arguments = {0};
    hp_arguments_parse(&hp_verb_dump, &argp, 0, argc, argv, &arguments);
    if (!arguments.target)
        hp_usage("dump needs a PID");
    pid_t pid;
    if (!hp_number_is_pid(arguments.target, &pid))
        hp_usage("'%s' is no PID", arguments.target);
    struct hp_memory dump = {0};
    int status = hp_input_dump(pid, hp_memory_sink, &dump);
    if (status == HP_DONE && !arguments.output)
        status = write_numbered(pid, &dump);
    else if (status == HP_DONE)
        status = write_to(arguments.output, &dump, false);
    if (status == HP_DONE && arguments.output && strcmp(arguments.output, "-"))
        puts(arguments.output);
    free(dump.data);
    return status == HP_DONE ? hp_output_flush() : status;
}

const struct hp_verb hp_verb_dump = {
    "dump",
    "PID [-o FILE]",
    "Write a profile of a running target, and print the file's name",
    "  -o FILE                the file to write (-: standard output); compressed if the name ends "
    "in .gz. Without it\n"
    "                         heapprof.PROGRAM.PID.NUMBER.heap in the current directory, with the "
    "first free number\n"
    "\n"
    "The profile is read from the target's ledger: the target is neither stopped nor asked.\n"
    "\n"
    "Example: heapprof dump -o now.heap 4711\n",
    run,
};
