#include "report/page/html_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/header.h"
#include "report/core/memory.h"
#include "report/core/resident_parts.h"
#include "report/core/rows.h"
#include "report/core/thread_table.h"
#include "report/core/trie.h"
#include "report/core/units.h"

void hp_html_string(FILE *out, const char *text)
{
    char *clean = hp_clean(text);
    fputc('"', out);
    for (const char *c = clean; *c; c++) {
        if (*c == '<') /* "</script>" must not end the element that holds the document */
            fputs("\\u003c", out);
        else
            fprintf(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    }
    fputc('"', out);
    free(clean);
}

static void put_header(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options)
{
    char *lines = NULL;
    size_t size;
    FILE *memory = open_memstream(&lines, &size);
    if (!memory)
        return;
    if (input->before) {
        fputs("before ", memory);
        hp_header_write(memory, input->before, NULL);
        fputs("after ", memory);
    }
    hp_header_write(memory, input->profile, NULL);
    fclose(memory);
    fputs("{\"header\":[", out);
    bool first = true;
    for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n"), first = false) {
        fputs(first ? "" : ",", out);
        hp_html_string(out, line);
    }
    free(lines);
    fputs("],\n\"title\":", out);
    hp_html_string(out, input->profile->name);
    fprintf(out,
            ",\n\"diff\":%s,\"exact\":%s,\"raw\":%s,\"type\":%d,\"granularity\":", input->before ? "true" : "false",
            hp_header_exact(input, options) ? "true" : "false", options->raw ? "true" : "false", (int)options->sample);
    hp_html_string(out, hp_granularity_names[options->view.granularity]);
}

static void put_facts(FILE *out, const char *name, const struct hp_profile *profile)
{
    bool first = true;
    fprintf(out, ",\n\"%s\":{", name);
    for (size_t i = 0; profile && i < profile->fact_count; i++) {
        if (!strcmp(profile->facts[i].name, "heapprof.module") || !strcmp(profile->facts[i].name, HP_FACT_THREAD))
            continue; /* many, and of no use without the file */
        fputs(first ? "" : ",\n", out);
        first = false;
        hp_html_string(out, profile->facts[i].name);
        fputc(':', out);
        hp_html_string(out, profile->facts[i].value);
    }
    fputc('}', out);
}

/* Where the profile does not tell: nothing. */
static void put_resident(FILE *out, const char *name, const struct hp_profile *profile)
{
    struct hp_resident_set set;
    if (!profile || !hp_resident_find(profile, &set))
        return;
    fprintf(out,
            ",\n\"%s\":{\"rss\":%.0f,\"live_error\":%.0f,\"released\":%.0f,\"untouched\":%.0f,"
            "\"swapped\":%.0f,\"parts\":[",
            name, set.rss, set.live_error, set.released, set.untouched, set.swapped);
    for (size_t i = 0; i < HP_RESIDENT_PARTS; i++) {
        const struct hp_resident_name *part = &hp_resident_names[i];
        fprintf(out,
                "%s{\"letter\":\"%c\",\"name\":\"%s\",\"meaning\":\"%s\",\"colour\":\"%s\","
                "\"dark\":%s,\"bytes\":%.0f}",
                i ? ",\n" : "\n", part->letter, part->name, part->meaning, part->colour, part->dark ? "true" : "false",
                set.parts[i]);
    }
    fputs("]}", out);
}

static void put_rows(FILE *out, const struct hp_places *places)
{
    fputs(",\n\"rows\":[", out);
    for (size_t i = 0; i < places->row_names.count; i++) {
        fputs(i ? ",\n[" : "[", out);
        hp_html_string(out, places->rows[i].label);
        if (*places->rows[i].file) {
            fputc(',', out);
            hp_html_string(out, places->rows[i].file);
            fprintf(out, ",%" PRIu32, places->rows[i].line);
        }
        fputc(']', out);
    }
    fputc(']', out);
}

enum column { DEPTH, ROW, INLINED };

static void put_column(FILE *out, const char *name, const struct hp_trie *trie, enum column column)
{
    size_t depth = 0;
    uint32_t node = 0;
    fprintf(out, ",\n\"%s\":[", name);
    bool first = true;
    for (uint32_t number = 0;; number++) {
        size_t value = column == DEPTH ? depth : column == ROW ? trie->nodes[node].row : number;
        if (column != INLINED || trie->nodes[node].inlined) {
            fprintf(out, first ? "%zu" : ",%zu", value);
            first = false;
        }
        node = hp_trie_next(trie, node, true, &depth);
        if (!node)
            break;
    }
    fputc(']', out);
}

/* Bytes are whole; of counts the fractions matter, as they are added up. */
static void put_number(FILE *out, double value, bool whole)
{
    if (whole || value == round(value))
        fprintf(out, "%.0f", value);
    else
        fprintf(out, "%.2f", value);
}

enum figure { DISTANCE, VALUE, VARIANCE, SQUARES, SAMPLES, BEFORE, AFTER };

static void put_figure(FILE *out, const struct hp_measure *flat, enum figure figure, uint32_t distance, bool whole)
{
    switch (figure) {
    case DISTANCE:
        fprintf(out, "%" PRIu32, distance);
        return;
    case VARIANCE:
        fprintf(out, "%.6g", flat->growth.variance);
        return;
    case SQUARES:
        fprintf(out, "%.6g", flat->growth.variance_squares);
        return;
    case SAMPLES:
        fprintf(out, "%" PRIu64, flat->growth.samples);
        return;
    case VALUE:
        put_number(out, flat->growth.value, whole);
        return;
    case BEFORE:
        put_number(out, flat->before.value, whole);
        return;
    case AFTER:
    default:
        put_number(out, flat->after.value, whole);
    }
}

/* Of the nodes in which stacks end. */
static void put_figures(FILE *out, const char *name, const struct hp_trie *trie, enum figure figure, bool whole)
{
    size_t depth = 0;
    uint32_t node = 0, last = 0;
    bool first = true;
    fprintf(out, ",\n\"%s\":[", name);
    for (uint32_t number = 0;; number++) {
        if (trie->nodes[node].ends) {
            fputs(first ? "" : ",", out);
            put_figure(out, &trie->nodes[node].flat, figure, number - last, whole);
            first = false;
            last = number;
        }
        node = hp_trie_next(trie, node, true, &depth);
        if (!node)
            break;
    }
    fputc(']', out);
}

static int put_marks(FILE *out, const char *name, const struct hp_report_input *input,
                     const struct hp_report_options *options, bool by_cum, struct hp_error *error)
{
    struct hp_report_options as = *options;
    as.by_cum = by_cum;
    char *marks;
    size_t count;
    int status = hp_rows_significant(input, &as, &marks, &count, error);
    if (status)
        return status;
    fprintf(out, ",\n\"%s\":[", name);
    bool first = true;
    for (size_t i = 0; i < count; i++)
        if (marks[i]) {
            fprintf(out, first ? "%zu" : ",%zu", i);
            first = false;
        }
    fputc(']', out);
    free(marks);
    return 0;
}

static int put_type(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                    const struct hp_trie *trie, const struct hp_estimate *total, struct hp_error *error)
{
    bool whole = hp_in_bytes(options);
    fprintf(out, "%s{\"name\":\"%s\",\"unit\":\"%s\",\"total\":%.0f,\"total_error\":%.0f", options->sample ? ",\n" : "",
            hp_sample_type_names[options->sample], hp_sample_type_units[options->sample], total->value,
            hp_estimate_error(total));
    put_figures(out, "value", trie, VALUE, whole);
    put_figures(out, "variance", trie, VARIANCE, whole);
    put_figures(out, "squares", trie, SQUARES, whole);
    put_figures(out, "samples", trie, SAMPLES, whole);
    int status = 0;
    if (input->before) {
        put_figures(out, "before", trie, BEFORE, whole);
        put_figures(out, "after", trie, AFTER, whole);
        status = put_marks(out, "marked_cum", input, options, true, error);
        if (!status)
            status = put_marks(out, "marked_flat", input, options, false, error);
    }
    fputc('}', out);
    return status;
}

/* Stacks and nodes have the same numbers for all sample types (stacks.h). */
int hp_html_data(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                 struct hp_error *error)
{
    struct hp_html_sites *sites = NULL;
    int status = 0;
    put_header(out, input, options);
    put_facts(out, "facts", input->profile);
    put_facts(out, "facts_before", input->before);
    put_resident(out, "resident", input->profile);
    put_resident(out, "resident_before", input->before);
    for (int type = 0; type < HP_SAMPLE_TYPES && !status; type++) {
        struct hp_report_options as = *options;
        as.sample = (enum hp_sample_type)type;
        struct hp_stacks stacks;
        struct hp_trie trie;
        status = hp_stacks_build(input, &as, &stacks, error);
        if (status)
            break;
        hp_trie_build(&stacks, HP_TRIE_BY_NAME, &trie);
        if (!type) {
            sites = hp_html_sites_new(stacks.places.site_names.count);
            put_rows(out, &stacks.places);
            put_column(out, "depth", &trie, DEPTH);
            put_column(out, "row", &trie, ROW);
            put_column(out, "inlined", &trie, INLINED);
            put_figures(out, "at", &trie, DISTANCE, true);
            if (input->series)
                hp_html_series(out, input, &stacks, &trie);
            fputs(",\n\"types\":[", out);
        }
        status = put_type(out, input, &as, &trie, &stacks.total, error);
        hp_html_sites_add(sites, &stacks, as.sample);
        if (type + 1 == HP_SAMPLE_TYPES) {
            fputc(']', out);
            hp_html_sites_write(out, sites, &stacks, options);
        }
        hp_trie_free(&trie);
        hp_stacks_free(&stacks);
    }
    if (sites)
        hp_html_sites_free(sites);
    fputs("}\n", out);
    return status;
}
