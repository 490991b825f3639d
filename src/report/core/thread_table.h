/* thread_table.h - the threads of a profile, from the facts that ledger/thread_facts.h describes. */
#ifndef HP_REPORT_CORE_THREAD_TABLE_H
#define HP_REPORT_CORE_THREAD_TABLE_H

#include <jansson.h>

#include "report/core/report.h"

#define HP_FACT_THREAD "heapprof.thread"

/* A table. Nothing when the profile tells of no threads, or when not live memory is shown. */
void hp_threads_write_text(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options);
/* As rows of a JSON document; NULL in the same cases. */
json_t *hp_threads_json(const struct hp_report_input *input, const struct hp_report_options *options);

#endif
