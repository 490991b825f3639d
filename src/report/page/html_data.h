/* html_data.h - a profile, or two to compare, as the page of html.c wants them: one JSON document.
 *
 *   nodes    the tree of all stacks, each node before what it calls: depth[i] (the root: 0), row[i]
 *   at       the nodes in which stacks end: distances of their numbers
 *   types    for each sample type and each of these nodes value, variance, squares, samples; of a
 *            difference: before, after, and value is the growth; marked: the rows that changed by
 *            more than noise explains, with all that they call (cum) and by themselves (flat)
 *   sites    lines of source, with flat and cum by type
 *   sources  text around these lines, where it was found
 *   series   moments with their figures; for each entry (series.h) its place in `at`, or -1; and
 * for each moment what changed since the one before: distance of the entry, and differences of its
 * four counters
 */
#ifndef HP_REPORT_PAGE_HTML_DATA_H
#define HP_REPORT_PAGE_HTML_DATA_H

#include "report/core/report.h"
#include "report/core/trie.h"

/* 0, or -EINVAL and *error for a bad regular expression. "<" in strings is escaped, so that the
 * document may stand in a script element. */
int hp_html_data(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                 struct hp_error *error);
/* A JSON string, with its quotes. */
void hp_html_string(FILE *out, const char *text);

/* html_series.c: the member "series"; the trie is of the stacks. */
void hp_html_series(FILE *out, const struct hp_report_input *input, const struct hp_stacks *stacks,
                    const struct hp_trie *trie);

/* html_source.c: the members "sites" and "sources" of the document. `stacks`: by sample type. */
struct hp_html_sites;
struct hp_html_sites *hp_html_sites_new(size_t site_count);
void hp_html_sites_add(struct hp_html_sites *sites, const struct hp_stacks *stacks, enum hp_sample_type type);
void hp_html_sites_write(FILE *out, const struct hp_html_sites *sites, const struct hp_stacks *stacks,
                         const struct hp_report_options *options);
void hp_html_sites_free(struct hp_html_sites *sites);

#endif
