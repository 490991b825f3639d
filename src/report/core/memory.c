#include "report/core/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *hp_strdup(const char *string)
{
    size_t size = strlen(string) + 1;
    return memcpy(hp_alloc(size, 1), string, size);
}

/* gcc's check of its own nonnull attributes makes it warn of a null format. */
__attribute__((no_sanitize("nonnull-attribute"))) char *hp_print(const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    size_t size = length < 0 ? 1 : (size_t)length + 1;
    char *text = hp_alloc(size, 1);
    vsnprintf(text, size, format, again);
    va_end(again);
    return text;
}
