#include <stdio.h>

#include "cli/arguments.h"
#include "cli/output.h"
#include "cli/say.h"

struct arguments {
    const char *verb;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    arguments->verb = value;
    return 0;
}

static void overview(void)
{
    puts("usage: heapprof VERB [ARGUMENT...]\n\n"
         "A sampling heap profiler for C, C++ and Rust programs. The verbs are:\n");
    for (const struct hp_verb *const *verb = hp_verbs; *verb; verb++)
        printf("  %-10s %s\n", (*verb)->name, (*verb)->summary);
    puts("\n'heapprof help VERB' tells more. A first try:\n\n"
         "  heapprof run -- ./app");
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {.parser = parse_option};
    struct arguments arguments = {0};
    hp_arguments_parse(&hp_verb_help, &argp, 0, argc, argv, &arguments);
    if (!arguments.verb) {
        overview();
        return hp_output_flush();
    }
    const struct hp_verb *nearest, *verb = hp_verb_find(arguments.verb, &nearest);
    if (!verb)
        hp_unknown_verb(arguments.verb, nearest);
    hp_verb_page(verb);
    return hp_output_flush();
}

const struct hp_verb hp_verb_help = {
    "help", "[VERB]", "What the verbs are, or what one of them does", hp_help_help, run,
};
