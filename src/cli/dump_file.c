#include "cli/dump_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/say.h"
#include "cli/verb.h"
#include "profile/profile.h"
#include "report/memory.h"
#include "report/units.h"

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

int hp_dump_file_write(const struct hp_memory *dump, pid_t pid, const char *output)
{
    int status = output ? write_to(output, dump, false) : write_numbered(pid, dump);
    if (status == HP_DONE && output && strcmp(output, "-"))
        puts(output);
    return status == HP_DONE ? hp_output_flush() : status;
}
