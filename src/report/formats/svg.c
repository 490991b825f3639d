/* A flame graph as a picture: the outermost function on top, no scripts, figures in the titles. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/header.h"
#include "report/core/markup.h"
#include "report/core/memory.h"
#include "report/core/trie.h"
#include "report/core/units.h"

#define WIDTH 1200.0
#define LEAST 0.5 /* pixels: narrower boxes are left out */
#define ROW 17
#define LETTER 6.6 /* of the 11 pixel monospaced font */
#define LINE 16    /* of the heading */
#define MOST_DEPTH 512

struct picture {
    FILE *out;
    const struct hp_stacks *stacks;
    const struct hp_trie *trie;
    const struct hp_report_options *options;
    const char *significant; /* by row; NULL: no difference */
    double *size;            /* by node: what its box is as wide as */
    double *left;            /* by node, in pixels */
    double scale;            /* pixels a byte or object */
    size_t top;              /* of the boxes, in pixels */
};

/* In a difference a box is as wide as the later profile's share. */
static void measure(struct picture *picture)
{
    const struct hp_trie *trie = picture->trie;
    picture->size = hp_alloc(trie->count, sizeof *picture->size);
    picture->left = hp_alloc(trie->count, sizeof *picture->left);
    for (size_t i = trie->count; i-- > 0;) {
        picture->size[i] += fmax(trie->nodes[i].flat.after.value, 0);
        if (i)
            picture->size[trie->nodes[i].parent] += picture->size[i];
    }
    picture->scale = picture->size[0] > 0 ? WIDTH / picture->size[0] : 0;
}

static size_t deepest_shown(const struct picture *picture)
{
    size_t depth = 0, deepest = 0;
    uint32_t node = 0;
    bool into = true;
    while ((node = hp_trie_next(picture->trie, node, into, &depth))) {
        into = picture->size[node] * picture->scale >= LEAST && depth < MOST_DEPTH;
        if (into && depth > deepest)
            deepest = depth;
    }
    return deepest;
}

static void put_title(const struct picture *picture, uint32_t index)
{
    const struct hp_trie_node *node = &picture->trie->nodes[index];
    const struct hp_place *place = index ? &picture->stacks->places.rows[node->row] : NULL;
    bool bytes = hp_in_bytes(picture->options);
    char value[HP_FIGURE], error[HP_FIGURE], percent[HP_FIGURE];
    fputs("<title>", picture->out);
    hp_markup_text(picture->out, index ? place->label : "all");
    char *where = index ? hp_header_place(place, picture->options) : hp_strdup("");
    if (*where) {
        fputs(" (", picture->out);
        hp_markup_text(picture->out, where);
        fputs(node->inlined ? ", inlined)" : ")", picture->out);
    }
    free(where);
    fprintf(picture->out, ": %s ± %s, %s, %" PRIu64 " samples</title>",
            picture->significant ? hp_signed_figure(value, node->cum.value, bytes)
                                 : hp_figure(value, node->cum.value, bytes),
            hp_figure(error, hp_estimate_error(&node->cum), bytes),
            hp_percent(percent, node->cum.value, picture->stacks->total.value), node->cum.samples);
}

static void put_box(const struct picture *picture, uint32_t index, size_t depth)
{
    const struct hp_trie_node *node = &picture->trie->nodes[index];
    const struct hp_place *place = index ? &picture->stacks->places.rows[node->row] : NULL;
    double width = picture->size[index] * picture->scale, left = picture->left[index];
    char colour[8];
    if (!index)
        snprintf(colour, sizeof colour, "#e0e0e0");
    else if (picture->significant)
        hp_markup_growth(colour, node->cum.value, picture->size[index],
                         picture->significant[node->row] && fabs(node->cum.value) > hp_estimate_error(&node->cum));
    else
        hp_markup_colour(colour, place->label);
    fputs("<g>", picture->out);
    put_title(picture, index);
    fprintf(picture->out, "<rect x=\"%.2f\" y=\"%zu\" width=\"%.2f\" height=\"%d\" fill=\"%s\"/>", left,
            picture->top + depth * ROW, fmax(width - 0.5, 0.3), ROW - 1, colour);
    size_t letters = (size_t)(fmax(width - 6, 0) / LETTER);
    if (letters >= 3) {
        char *name = hp_clean(index ? place->label : "all");
        char *text = hp_shorten_function(name, letters);
        fprintf(picture->out, "<text x=\"%.2f\" y=\"%zu\">", left + 3, picture->top + depth * ROW + 12);
        hp_markup_text(picture->out, text);
        fputs("</text>", picture->out);
        free(text);
        free(name);
    }
    fputs("</g>\n", picture->out);
}

static void put_boxes(const struct picture *picture)
{
    const struct hp_trie *trie = picture->trie;
    put_box(picture, 0, 0);
    size_t depth = 0;
    uint32_t node = 0;
    bool into = true;
    double *next = hp_alloc(trie->count, sizeof *next); /* by node: where its next child begins */
    while ((node = hp_trie_next(trie, node, into, &depth))) {
        uint32_t parent = trie->nodes[node].parent;
        double width = picture->size[node] * picture->scale;
        picture->left[node] = next[node] = next[parent];
        next[parent] += width;
        into = width >= LEAST && depth < MOST_DEPTH;
        if (into)
            put_box(picture, node, depth);
    }
    free(next);
}

static void put_line(FILE *out, int *y, const char *text)
{
    fprintf(out, "<text x=\"4\" y=\"%d\">", *y);
    hp_markup_text(out, text);
    fputs("</text>\n", out);
    *y += LINE;
}

static void put_heading(const struct picture *picture, const struct hp_report_input *input)
{
    char *lines = NULL;
    size_t size;
    FILE *memory = open_memstream(&lines, &size);
    if (!memory)
        return;
    hp_header_report(memory, input, &picture->stacks->total, picture->options);
    fclose(memory);
    size_t length = strlen(lines);
    if (length > 2)
        lines[length - 2] = 0; /* ", " */
    int y = 18;
    for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n"))
        put_line(picture->out, &y, line);
    if (picture->significant)
        put_line(picture->out, &y, "orange: grew; blue: shrank; grey: no more than noise explains");
    free(lines);
}

static int write_svg(FILE *out, const struct hp_report_input *input, struct hp_stacks *stacks,
                     const struct hp_report_options *options, struct hp_error *error)
{
    char *significant = NULL;
    int status = 0;
    if (input->before) {
        struct hp_report_options by_cum = *options;
        size_t count;
        by_cum.by_cum = true;
        status = hp_rows_significant(input, &by_cum, &significant, &count, error);
    }
    struct hp_trie trie;
    hp_trie_build(stacks, HP_TRIE_BY_NAME, &trie);
    struct picture picture = {out, stacks, &trie, options, significant, NULL, NULL, 0, 0};
    const char *lost = hp_profile_fact(input->profile, "heapprof.lost");
    size_t lines = (input->before ? 4 : 2) + (lost && strcmp(lost, "0") != 0);
    picture.top = 14 + lines * LINE;
    measure(&picture);
    size_t height = picture.top + (deepest_shown(&picture) + 1) * ROW + 6;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%zu\" "
            "viewBox=\"0 0 %.0f %zu\" font-family=\"DejaVu Sans Mono,Menlo,Consolas,monospace\" "
            "font-size=\"11\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            WIDTH, height, WIDTH, height);
    put_heading(&picture, input);
    put_boxes(&picture);
    fputs("</svg>\n", out);
    free(picture.size);
    free(picture.left);
    free(significant);
    hp_trie_free(&trie);
    return status;
}

const struct hp_report hp_report_svg = {.name = "svg", .write_stacks = write_svg};
