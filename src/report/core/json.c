#include "report/core/json.h"

#include <math.h>
#include <stdlib.h>

#include "report/core/memory.h"
#include "report/core/units.h"

json_t *hp_json_number(double value)
{
    if (!(fabs(value) < 9.2e18))
        value = value > 0 ? 9.2e18 : value < 0 ? -9.2e18 : 0;
    return json_integer((json_int_t)llround(value));
}

json_t *hp_json_string(const char *text)
{
    char *clean = hp_clean(text);
    json_t *string = json_string(clean);
    free(clean);
    return string;
}

void hp_json_set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value)) {
        fputs("heapprof: out of memory\n", stderr);
        exit(1);
    }
}

json_t *hp_json_document(const struct hp_report_input *input, const struct hp_report_options *options)
{
    json_t *document = json_object();
    hp_json_set(document, "sample", json_string(hp_sample_type_names[options->sample]));
    hp_json_set(document, "unit", json_string(hp_sample_type_units[options->sample]));
    hp_json_set(document, "interval", hp_json_number(input->profile->interval));
    return document;
}

void hp_json_total(json_t *object, const struct hp_estimate *total)
{
    hp_json_set(object, "total", hp_json_number(total->value));
    hp_json_set(object, "total_error", hp_json_number(hp_estimate_error(total)));
    hp_json_set(object, "samples", hp_json_number((double)total->samples));
}

void hp_json_place(json_t *object, const struct hp_place *place)
{
    hp_json_set(object, "function", hp_json_string(place->function));
    hp_json_set(object, "file", hp_json_string(place->file));
    hp_json_set(object, "line", hp_json_number(place->line));
}

void hp_json_write(FILE *out, json_t *document)
{
    json_dumpf(document, out, JSON_INDENT(1));
    fputc('\n', out);
    json_decref(document);
}
