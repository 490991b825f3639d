#include "report/core/table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "report/core/units.h"

#define LAST_AT_LEAST 40
#define GAP 2

struct cell {
    char *text, *tail;
    size_t width;
    enum hp_style style;
    bool source; /* cut at the right */
};

struct hp_table {
    const struct hp_column *columns;
    size_t column_count;
    struct cell *cells;
    size_t cell_count, cell_capacity;
};

struct hp_table *hp_table_new(const struct hp_column *columns, size_t count)
{
    struct hp_table *table = hp_alloc(1, sizeof *table);
    table->columns = columns;
    table->column_count = count;
    return table;
}

void hp_table_free(struct hp_table *table)
{
    for (size_t i = 0; i < table->cell_count; i++) {
        free(table->cells[i].text);
        free(table->cells[i].tail);
    }
    free(table->cells);
    free(table);
}

void hp_table_last(struct hp_table *table, enum hp_style style, const char *text, const char *tail)
{
    struct cell cell = {hp_clean(text), hp_clean(tail), 0, style, false};
    cell.width = hp_text_width(cell.text);
    table->cells = hp_grow(table->cells, &table->cell_capacity, table->cell_count + 1, sizeof *table->cells);
    table->cells[table->cell_count++] = cell;
}

void hp_table_source(struct hp_table *table, enum hp_style style, const char *text, const char *tail)
{
    hp_table_last(table, style, text, tail);
    table->cells[table->cell_count - 1].source = true;
}

void hp_table_cell(struct hp_table *table, enum hp_style style, const char *text)
{
    hp_table_last(table, style, text, "");
}

void hp_put_styled(FILE *out, const struct hp_look *look, enum hp_style style, const char *text)
{
    static const char *const codes[] = {"", "\033[1m", "\033[2m", "\033[31m", "\033[32m"};
    bool color = look->color && style != HP_PLAIN && *text;
    fprintf(out, "%s%s%s", color ? codes[style] : "", text, color ? "\033[0m" : "");
}

/* Widths of all columns but the last; 0 for those left out. Returns the room for the last one; 0:
 * no limit. */
static size_t lay_out(const struct hp_table *table, const struct hp_look *look, size_t *widths)
{
    size_t last = table->column_count - 1, used = 0;
    for (size_t column = 0; column < last; column++) {
        widths[column] = hp_text_width(table->columns[column].title);
        for (size_t i = column; i < table->cell_count; i += table->column_count)
            if (table->cells[i].width > widths[column])
                widths[column] = table->cells[i].width;
        used += widths[column] + GAP;
    }
    while (look->width && used + LAST_AT_LEAST > look->width) {
        size_t victim = last;
        for (size_t column = 0; column < last; column++)
            if (widths[column] && table->columns[column].rank &&
                (victim == last || table->columns[column].rank > table->columns[victim].rank))
                victim = column;
        if (victim == last)
            break;
        used -= widths[victim] + GAP;
        widths[victim] = 0;
    }
    if (!look->width)
        return 0;
    return look->width > used + 8 ? look->width - used : 8;
}

static void put_last(FILE *out, const struct hp_look *look, const struct cell *cell, size_t room)
{
    /* What marks a place in a tree is never shortened away. */
    static const char mark[] = "↳ ";
    const char *name = cell->text + strspn(cell->text, " ");
    if (!cell->source && !strncmp(name, mark, sizeof mark - 1))
        name += sizeof mark - 1;
    int lead = cell->source ? 0 : (int)(name - cell->text);
    size_t tail = hp_text_width(cell->tail);
    bool fits = *cell->tail && (!room || cell->width + GAP + tail <= room || tail + GAP + LAST_AT_LEAST <= room ||
                                3 * tail + GAP <= room);
    size_t text_room = !room ? SIZE_MAX : fits ? room - tail - GAP : room;
    size_t lead_width = cell->width - hp_text_width(cell->text + lead);
    char *text = cell->source ? hp_cut(cell->text, text_room)
                              : hp_shorten_function(name, text_room > lead_width + 8 ? text_room - lead_width : 8);
    fprintf(out, "%.*s", lead, cell->text);
    hp_put_styled(out, look, cell->style, text);
    if (fits) {
        fprintf(out, "%*s", GAP, "");
        hp_put_styled(out, look, HP_DIM, cell->tail);
    }
    free(text);
}

void hp_table_write(const struct hp_table *table, FILE *out, const struct hp_look *look)
{
    size_t last = table->column_count - 1;
    size_t *widths = hp_alloc(table->column_count, sizeof *widths);
    size_t room = lay_out(table, look, widths);
    for (size_t column = 0; column < last; column++)
        if (widths[column]) {
            fprintf(out, "%*s", (int)(widths[column] - hp_text_width(table->columns[column].title)), "");
            hp_put_styled(out, look, HP_BOLD, table->columns[column].title);
            fprintf(out, "%*s", GAP, "");
        }
    hp_put_styled(out, look, HP_BOLD, table->columns[last].title);
    fputc('\n', out);
    for (size_t i = 0; i < table->cell_count; i++) {
        const struct cell *cell = &table->cells[i];
        size_t column = i % table->column_count;
        if (column == last) {
            put_last(out, look, cell, room);
            fputc('\n', out);
        } else if (widths[column]) {
            fprintf(out, "%*s", (int)(widths[column] - cell->width), "");
            hp_put_styled(out, look, cell->style, cell->text);
            fprintf(out, "%*s", GAP, "");
        }
    }
    free(widths);
}

void hp_table_one(FILE *out, const struct hp_look *look, size_t indent, const char *text, const char *tail)
{
    struct cell cell = {hp_clean(text), hp_clean(tail), 0, HP_PLAIN, false};
    cell.width = hp_text_width(cell.text);
    size_t room = !look->width ? 0 : look->width > indent + 8 ? look->width - indent : 8;
    fprintf(out, "%*s", (int)indent, "");
    put_last(out, look, &cell, room);
    fputc('\n', out);
    free(cell.text);
    free(cell.tail);
}
