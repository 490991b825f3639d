/* markup.h - text in XML and HTML, and the colours of flame graphs. */
#ifndef HP_REPORT_CORE_MARKUP_H
#define HP_REPORT_CORE_MARKUP_H

#include <stdbool.h>
#include <stdio.h>

/* Writes `text`, made clean (units.h), with & < > " ' as entities. */
void hp_markup_text(FILE *out, const char *text);

/* "#rrggbb" of a function: always the same for the same name, light enough for black letters. */
const char *hp_markup_colour(char buffer[8], const char *name);
/* Of a growth in proportion to the size: orange to blue, which nobody takes for one another; grey
 * when it is none that counts. */
const char *hp_markup_growth(char buffer[8], double growth, double size, bool significant);

#endif
