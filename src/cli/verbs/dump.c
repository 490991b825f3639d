#include <sys/resource.h>

#include "cli/dump_file.h"
#include "cli/say.h"
#include "cli/target.h"

#define LESS_URGENT 10 /* steps of nice(2): a tenth of the target's share where both want the processor */

static int run(int argc, char **argv)
{
    struct hp_dump_arguments arguments = {0};
    pid_t pid;
    hp_dump_arguments_parse(&hp_verb_dump, "PID", argc, argv, &arguments);
    if (!hp_number_is_pid(arguments.target, &pid))
        hp_usage("'%s' is no PID", arguments.target);
    /* On a machine that is short of time the target comes first. */
    (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + LESS_URGENT);
    return hp_dump_running(pid, arguments.output);
}

const struct hp_verb hp_verb_dump = {
    "dump", "PID [-o FILE]", "Write a profile of a running target, and print the file's name", hp_help_dump, run,
};
