/* source.h - source files, found and split into lines.
 *
 * Which files: their names come from profiles and modules, that anybody may have made, and what is shown of them goes to
 * terminals, pages and servers. So a name alone opens nothing; rules say what may be shown.
 */
#ifndef HP_REPORT_CORE_SOURCE_H
#define HP_REPORT_CORE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/core/names.h"
#include "symbolize/symbolize.h"

/* A file is shown if it is below one of the folders, wherever links lead, or is named by a module of the reader's or of
 * root's; and only if each owner could read it. */
struct hp_source_rules {
    const char *const *folders; /* that the user named; files are looked for in there */
    size_t folder_count;
    bool here;                              /* the current folder is one more, but for the root of all */
    const struct hp_symbolizer *symbolizer; /* knows what modules name; NULL: that does not count */
    unsigned *owners;                       /* user ids, of the profiles' files and processes */
    size_t owner_count, owner_capacity;
    struct hp_names left_out; /* names of files that are there, but may not be shown */
};
void hp_source_rules_owner(struct hp_source_rules *rules, unsigned owner);
void hp_source_rules_free(struct hp_source_rules *rules);

struct hp_source {
    char *path;   /* as found; NULL: not found */
    char *text;   /* NUL for each newline */
    char **lines; /* lines[0] is line 1 */
    size_t line_count;
    int64_t time_ns; /* last change of the file */
    bool left_out;   /* it is there, but may not be shown */
};

/* Looks in each folder of the rules for `file` with all of its path, then with ever fewer of its leading folders; then
 * at `file` itself. Regular files of at most 64 MiB. False if there is none that may be shown; `rules` NULL: none may.
 */
bool hp_source_read(struct hp_source *source, const char *file, struct hp_source_rules *rules);
/* `line` with spaces for its tabs, 4 columns each; the caller frees it. */
char *hp_source_tabs(const char *line);
void hp_source_free(struct hp_source *source);

#endif
