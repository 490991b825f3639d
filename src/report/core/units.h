/* units.h - figures and names as people read them. */
#ifndef HP_REPORT_CORE_UNITS_H
#define HP_REPORT_CORE_UNITS_H

#include <stdbool.h>
#include <stddef.h>

#define HP_FIGURE 32 /* bytes that any figure fits into, with its NUL */

/* "512 B", "12.0 MiB", "-3.5 GiB"; without `bytes`: "1234567". Returns `buffer`, of HP_FIGURE
 * bytes. */
const char *hp_figure(char *buffer, double value, bool bytes);
/* As hp_figure, with the sign of a positive value, too. */
const char *hp_signed_figure(char *buffer, double value, bool bytes);
/* "48.8%"; "-" when `total` is 0. */
const char *hp_percent(char *buffer, double part, double total);

/* A copy that is safe to print: control characters and bytes that are no UTF-8 become '?'. The
 * caller frees it. */
char *hp_clean(const char *text);
/* Columns of a terminal that clean UTF-8 text takes, one for each code point. */
size_t hp_text_width(const char *text);
/* At most `width` columns of a function's name: its parameters and template arguments become an
 * ellipsis first, then its outer scopes, as far as need be; then as hp_shorten. The caller frees
 * it. */
char *hp_shorten_function(const char *name, size_t width);
/* At most `width` columns of `text`, cut in the middle with an ellipsis. The caller frees it. */
char *hp_shorten(const char *text, size_t width);
/* At most `width` columns of `text`, cut at the right with an ellipsis. The caller frees it. */
char *hp_cut(const char *text, size_t width);
const char *hp_basename(const char *path);

#endif
