#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_list, &hp_report_list,
                          (HP_TAKES_ALL & ~(unsigned)HP_TAKES_ORDER) | HP_WANTS_PATTERN, argc,
                          argv);
}

const struct hp_verb hp_verb_list = {
    "list",
    "[OPTION...] REGEX FILE|PID...",
    "The source of the functions that match, each line with what it allocates",
    HP_REPORT_OPTIONS_HELP
    "\n"
    "flat is what a line allocates itself, cum what it and all that it calls allocate; behind → "
    "stands the callee through\n"
    "which most comes. Inlined functions are listed as any other. Source is looked for in the "
    "folders of --source=DIR, with\n"
    "ever fewer of the leading folders of its name, then under its own name.\n"
    "\n"
    "Example: heapprof list --source=/usr/src/redis '^lpInsert$' 0002.heap\n",
    run,
};
