/* heapprof-reports, the command with all its verbs. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/dump_file.h"
#include "cli/dump_proto.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/verb.h"
#include "report/core/memory.h"

/* top10 and the like, as go tool pprof has them: the digits. NULL: it is none. */
static const char *rows_of(const char *word)
{
    static const char top[] = "top";
    size_t size = sizeof top - 1;
    bool is_short = !strncmp(word, top, size) && word[size] && !word[size + strspn(word + size, "0123456789")];
    return is_short ? word + size : NULL;
}

/* `top10 ...` as `top -n 10 ...`. */
static int run_top(const char *rows, int argc, char **argv)
{
    char **words = hp_alloc((size_t)argc + 3, sizeof *words);
    memcpy(words + 3, argv + 2, (size_t)(argc - 2) * sizeof *words);
    words[0] = (char *)"top";
    words[1] = (char *)"-n";
    words[2] = (char *)rows;
    int status = hp_verb_top.run(argc + 1, words);
    free(words);
    return status;
}

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
    if (!verb && rows_of(argv[1]))
        return run_top(rows_of(argv[1]), argc, argv);
    if (!verb)
        hp_unknown_verb(argv[1], nearest);
    hp_dump_converter = hp_dump_proto;
    return verb->run(argc - 1, argv + 1);
}
