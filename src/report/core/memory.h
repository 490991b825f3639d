/* memory.h - strings for reports; where memory runs out, they end the program as profile/alloc.h
 * does. */
#ifndef HP_REPORT_CORE_MEMORY_H
#define HP_REPORT_CORE_MEMORY_H

#include "profile/alloc.h"

char *hp_strdup(const char *string);
/* printf into a string that the caller frees. */
char *hp_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
