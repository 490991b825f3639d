#include "cli/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/progress.h"
#include "cli/verb.h"
#include "report/core/units.h"

static const char *current_verb = "";

static void say(const char *prefix, const char *format, va_list arguments, const char *suffix)
{
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    char *clean = hp_clean(text);
    hp_progress_clear();
    fprintf(stderr, "%s: %s%s\n", prefix, clean, suffix);
    free(clean);
}

int hp_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("heapprof", format, arguments, "");
    va_end(arguments);
    return HP_FAILED;
}

void hp_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("note", format, arguments, "");
    va_end(arguments);
}

void hp_usage_verb(const char *name)
{
    current_verb = name;
}

void hp_usage(const char *format, ...)
{
    char hint[128];
    snprintf(hint, sizeof hint, " (try 'heapprof help%s%s')", *current_verb ? " " : "", current_verb);
    va_list arguments;
    va_start(arguments, format);
    say("heapprof", format, arguments, hint);
    va_end(arguments);
    exit(HP_USAGE);
}
