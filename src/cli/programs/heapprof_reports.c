/* heapprof-reports, the command with all its verbs. */
#include <stdio.h>
#include <string.h>

#include "cli/dump_file.h"
#include "cli/dump_proto.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/verb.h"

int main(int argc, char **argv)
{
    if (argc < 2)
        hp_usage("which verb?");
    if (!strcmp(argv[1], "--version")) {
        puts("heapprof " HP_VERSION);
        return hp_output_flush();
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        argv[1] = (char *)"help";
    if (argv[1][0] == '-')
        hp_usage("unknown option '%s'", argv[1]);
    const struct hp_verb *nearest, *verb = hp_verb_find(argv[1], &nearest);
    if (!verb)
        hp_unknown_verb(argv[1], nearest);
    hp_dump_converter = hp_dump_proto;
    return verb->run(argc - 1, argv + 1);
}
