/* json.h - what the JSON forms of reports have in common. Bytes and counts are integers, rounded.
 */
#ifndef HP_REPORT_CORE_JSON_H
#define HP_REPORT_CORE_JSON_H

#include <jansson.h>
#include <stdio.h>

#include "profile/profile.h"
#include "report/core/report.h"
#include "report/core/view.h"

/* Owned by the caller, as with jansson's own. Never NULL. */
json_t *hp_json_number(double value);
json_t *hp_json_string(const char *text); /* made clean (units.h): JSON is UTF-8 */

/* {"sample", "unit", "interval"}: how each document begins. */
json_t *hp_json_document(const struct hp_report_input *input, const struct hp_report_options *options);
/* Adds "total", "total_error", "samples". */
void hp_json_total(json_t *object, const struct hp_estimate *total);
/* Adds "function", "file", "line". */
void hp_json_place(json_t *object, const struct hp_place *place);
void hp_json_set(json_t *object, const char *key, json_t *value);
/* Writes the document and a newline, and frees it. */
void hp_json_write(FILE *out, json_t *document);

#endif
