#include "cli/report_verb.h"

static int run(int argc, char **argv)
{
    return hp_report_verb(&hp_verb_peek, &hp_report_peek, (HP_TAKES_ALL & ~(unsigned)HP_TAKES_ORDER) | HP_WANTS_PATTERN,
                          argc, argv);
}

const struct hp_verb hp_verb_peek = {
    "peek", "[OPTION...] REGEX FILE|PID...", "The functions that match, with their callers and callees", hp_help_peek,
    run,
};
