/* table.h - aligned columns, the last of which takes what room is left. */
#ifndef HP_REPORT_CORE_TABLE_H
#define HP_REPORT_CORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* How output looks. */
struct hp_look {
    size_t width; /* columns of the terminal; 0: no terminal, nothing is shortened */
    bool color;
};

enum hp_style { HP_PLAIN, HP_BOLD, HP_DIM, HP_RED, HP_GREEN };

struct hp_column {
    const char *title;
    /* On a terminal so narrow that the last column would get less than 40, columns are left out,
     * the highest rank first. 0: never. */
    unsigned rank;
};

struct hp_table;

/* `columns` outlives the table. All are aligned to the right but the last. */
struct hp_table *hp_table_new(const struct hp_column *columns, size_t count);
void hp_table_free(struct hp_table *table);

/* Cells in the order of the columns, row by row. The table keeps a clean copy (units.h) of each
 * text. */
void hp_table_cell(struct hp_table *table, enum hp_style style, const char *text);
/* The cell of the last column: `text` is shortened if need be; `tail` follows dimmed,
 * while there is room for both. */
void hp_table_last(struct hp_table *table, enum hp_style style, const char *text, const char *tail);

/* As hp_table_last, for text in which the left end tells most: it is cut at the right. */
void hp_table_source(struct hp_table *table, enum hp_style style, const char *text, const char *tail);

void hp_table_write(const struct hp_table *table, FILE *out, const struct hp_look *look);

/* One line of its own, as the last column of a table puts it, behind `indent` columns. */
void hp_table_one(FILE *out, const struct hp_look *look, size_t indent, const char *text, const char *tail);

/* Prints `text` in `style`, if the look has colours. */
void hp_put_styled(FILE *out, const struct hp_look *look, enum hp_style style, const char *text);

#endif
