#include "cli/arguments.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/say.h"

#define KEY_HELP 0x1001
#define MOST_OPTIONS 64

struct parsing {
    const struct hp_verb *verb;
    void *input;
    int next; /* argv index behind the option that stopped the parser */
};

static error_t parse_common(int key, char *argument, struct argp_state *state)
{
    struct parsing *parsing = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = parsing->input;
        return 0;
    case KEY_HELP:
        hp_verb_page(parsing->verb);
        exit(HP_DONE);
    case ARGP_KEY_ERROR:
        parsing->next = state->next;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The option that `word` (with its dashes) spells in full; NULL if there is none. */
static const struct argp_option *known_option(const struct argp *argp, const char *word)
{
    size_t length = strcspn(word, "=");
    for (const struct argp_option *option = argp->options; option && (option->name || option->key); option++) {
        if (!strncmp(word, "--", 2) && option->name && strlen(option->name) == length - 2 &&
            !strncmp(option->name, word + 2, length - 2))
            return option;
        if (word[0] == '-' && word[1] != '-' && word[1] == option->key)
            return option;
    }
    return NULL;
}

static void complain_of_unknown(const struct argp *argp, const char *word)
{
    const char *names[MOST_OPTIONS], *name = word + strspn(word, "-");
    size_t count = 0;
    for (const struct argp_option *option = argp->options; option && (option->name || option->key); option++)
        if (option->name && count < MOST_OPTIONS)
            names[count++] = option->name;
    char bare[64];
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(name, "="), name);
    const char *nearest = bare[0] && bare[1] ? hp_word_nearest(bare, names, count) : NULL;
    if (nearest)
        hp_usage("unknown option '%s'; did you mean '--%s'?", word, nearest);
    hp_usage("unknown option '%s'", word);
}

static void complain(const struct argp *argp, const char *word)
{
    const struct argp_option *option = known_option(argp, word);
    if (!option) {
        complain_of_unknown(argp, word);
        return;
    }
    if (option->arg)
        hp_usage("option '%s' needs a value", word);
    hp_usage("option '%s' takes no value", word);
}

void hp_arguments_parse(const struct hp_verb *verb, const struct argp *argp, unsigned flags, int argc, char **argv,
                        void *input)
{
    static const struct argp_option common[] = {{"help", KEY_HELP, NULL, 0, NULL, 0}, {0}};
    const struct argp_child children[] = {{argp, 0, NULL, 0}, {0}};
    const struct argp whole = {.options = common, .parser = parse_common, .children = children};
    struct parsing parsing = {verb, input, 0};
    hp_usage_verb(verb->name);
    error_t error = argp_parse(&whole, argc, argv, flags | ARGP_NO_HELP | ARGP_NO_ERRS | ARGP_NO_EXIT, NULL, &parsing);
    if (error)
        complain(argp, parsing.next > 0 && parsing.next <= argc ? argv[parsing.next - 1] : "");
}

void hp_verb_page(const struct hp_verb *verb)
{
    printf("usage: heapprof %s %s\n\n%s.\n", verb->name, verb->arguments, verb->summary);
    if (*verb->help)
        printf("\n%s", verb->help);
}
