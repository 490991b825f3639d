/* source.h - source files, found and split into lines. */
#ifndef HP_REPORT_CORE_SOURCE_H
#define HP_REPORT_CORE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_source {
    char *path;   /* as found; NULL: not found */
    char *text;   /* NUL for each newline */
    char **lines; /* lines[0] is line 1 */
    size_t line_count;
    int64_t time_ns; /* last change of the file */
};

/* Looks in each of `directories` for `file` with all of its path, then with ever fewer of its
 * leading folders; then at `file` itself. Regular files of at most 64 MiB. False if there is none.
 */
bool hp_source_read(struct hp_source *source, const char *file, const char *const *directories, size_t directory_count);
/* `line` with spaces for its tabs, 4 columns each; the caller frees it. */
char *hp_source_tabs(const char *line);
void hp_source_free(struct hp_source *source);

#endif
