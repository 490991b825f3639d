#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/page/html_data.h"
#include "report/core/memory.h"
#include "report/core/source.h"
#include "report/core/stacks.h"
#include "report/core/units.h"

#define AROUND 6             /* lines shown around one with figures */
#define MOST_TEXT (4u << 20) /* bytes of source in a page that is to be mailed */

struct figures {
    double flat[HP_SAMPLE_TYPES], cum[HP_SAMPLE_TYPES];
    size_t seen;
};

struct hp_html_sites {
    struct figures *figures; /* by site */
    size_t count, mark;
};

struct hp_html_sites *hp_html_sites_new(size_t site_count)
{
    struct hp_html_sites *sites = hp_alloc(1, sizeof *sites);
    sites->figures = hp_alloc(site_count, sizeof *sites->figures);
    sites->count = site_count;
    return sites;
}

void hp_html_sites_free(struct hp_html_sites *sites)
{
    free(sites->figures);
    free(sites);
}

void hp_html_sites_add(struct hp_html_sites *sites, const struct hp_stacks *stacks, enum hp_sample_type type)
{
    for (size_t i = 0; i < stacks->count; i++) {
        const struct hp_stack *stack = &stacks->stacks[i];
        double value = stack->pair.growth.value;
        sites->mark++;
        for (uint32_t j = 0; j < stack->depth; j++) {
            struct figures *figures = &sites->figures[stacks->frames[stack->first + j].site];
            if (j == 0)
                figures->flat[type] += value;
            if (figures->seen != sites->mark)
                figures->cum[type] += value;
            figures->seen = sites->mark;
        }
    }
}

static int by_place(const void *a, const void *b, void *state)
{
    const struct hp_place *places = state, *left = &places[*(const uint32_t *)a],
                          *right = &places[*(const uint32_t *)b];
    int files = strcmp(left->file, right->file);
    if (files)
        return files;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return (left->row > right->row) - (left->row < right->row);
}

static size_t write_lines(FILE *out, const struct hp_source *source, uint32_t first, uint32_t limit)
{
    size_t size = 0;
    for (uint32_t line = first; line < limit; line++) {
        char *plain = hp_source_tabs(source->lines[line - 1]);
        fprintf(out, "%s[%u,", size || line > first ? "," : "", line);
        hp_html_string(out, plain);
        fputc(']', out);
        size += strlen(plain) + 8;
        free(plain);
    }
    return size;
}

/* The sites sorted[first] up to sorted[limit] are all of one file. Returns how much was written. */
static size_t write_file(FILE *out, const struct hp_source *source, const struct hp_place *places,
                         const uint32_t *sorted, size_t first, size_t limit)
{
    size_t size = 0;
    uint32_t next = 1;
    for (size_t i = first; i < limit; i++) {
        uint32_t line = places[sorted[i]].line;
        if (!line || line > source->line_count)
            continue;
        uint32_t from = line > AROUND && line - AROUND > next ? line - AROUND : next;
        uint32_t end = line + AROUND + 1;
        if (end > source->line_count + 1)
            end = (uint32_t)source->line_count + 1;
        if (from >= end)
            continue;
        if (size)
            fputc(',', out);
        size += write_lines(out, source, from, end);
        next = end;
    }
    return size;
}

static void write_sources(FILE *out, const struct hp_place *places, const uint32_t *sorted, size_t count,
                          const struct hp_report_options *options)
{
    size_t size = 0;
    bool any = false;
    fputs(",\n\"sources\":{", out);
    for (size_t first = 0, limit; first < count && size < MOST_TEXT; first = limit) {
        const char *file = places[sorted[first]].file;
        for (limit = first + 1; limit < count && !strcmp(places[sorted[limit]].file, file);)
            limit++;
        struct hp_source source;
        if (!*file || !hp_source_read(&source, file, options->source))
            continue;
        if (any)
            fputc(',', out);
        any = true;
        hp_html_string(out, file);
        fputs(":[", out);
        size += write_file(out, &source, places, sorted, first, limit);
        fputc(']', out);
        hp_source_free(&source);
    }
    fputc('}', out);
}

void hp_html_sites_write(FILE *out, const struct hp_html_sites *sites, const struct hp_stacks *stacks,
                         const struct hp_report_options *options)
{
    const struct hp_place *places = stacks->places.sites;
    uint32_t *sorted = hp_alloc(sites->count, sizeof *sorted);
    size_t count = 0;
    for (uint32_t i = 0; i < sites->count; i++)
        if (sites->figures[i].seen)
            sorted[count++] = i;
    if (count)
        qsort_r(sorted, count, sizeof *sorted, by_place, stacks->places.sites);
    fputs(",\n\"sites\":[", out);
    for (size_t i = 0; i < count; i++) {
        const struct hp_place *place = &places[sorted[i]];
        const struct figures *figures = &sites->figures[sorted[i]];
        fprintf(out, "%s[%u,%u,", i ? ",\n" : "", place->row, place->line);
        bool same = i && !strcmp(places[sorted[i - 1]].file, place->file);
        if (same)
            fputc('0', out); /* as the site before */
        else
            hp_html_string(out, place->file);
        for (int type = 0; type < HP_SAMPLE_TYPES; type++)
            fprintf(out, ",%.0f,%.0f", figures->flat[type], figures->cum[type]);
        fputc(']', out);
    }
    fputc(']', out);
    write_sources(out, places, sorted, count, options);
    free(sorted);
}
