#include <stdlib.h>

#include "cli/dump_file.h"
#include "cli/input.h"
#include "cli/say.h"

static int run(int argc, char **argv)
{
    struct hp_dump_arguments arguments = {0};
    hp_dump_arguments_parse(&hp_verb_dump, "PID", argc, argv, &arguments);
    pid_t pid;
    if (!hp_number_is_pid(arguments.target, &pid))
        hp_usage("'%s' is no PID", arguments.target);
    struct hp_memory dump = {0};
    int status = hp_input_dump(pid, hp_memory_sink, &dump);
    if (status == HP_DONE)
        status = hp_dump_file_write(&dump, pid, arguments.output);
    free(dump.data);
    return status;
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
