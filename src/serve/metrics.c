/* Figures in OpenMetrics' text format (prometheus.io/docs/specs/om/open_metrics_spec). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "serve/answer.h"

struct metric {
    const char *name, *unit; /* the unit is part of the name, or "" */
    bool counter;            /* only grows; its sample is called name_total */
    const char *fact;        /* of the text profile */
    double factor;
    const char *help;
};

static const struct metric metrics[] = {
    {"heapprof_heap_alloc_bytes", "bytes", false, "HeapAlloc", 1, "Bytes of allocated objects, from the allocator."},
    {"heapprof_heap_inuse_bytes", "bytes", false, "HeapInuse", 1, "Bytes in spans that hold objects."},
    {"heapprof_heap_idle_bytes", "bytes", false, "HeapIdle", 1, "Bytes that the allocator holds unused."},
    {"heapprof_heap_released_bytes", "bytes", false, "HeapReleased", 1, "Idle bytes given back to the system."},
    {"heapprof_heap_sys_bytes", "bytes", false, "HeapSys", 1, "Bytes that the allocator took from the system."},
    {"heapprof_heap_objects", "", false, "HeapObjects", 1, "Live objects, estimated from the samples."},
    {"heapprof_allocated_bytes", "bytes", true, "TotalAlloc", 1, "Bytes ever allocated, estimated from the samples."},
    {"heapprof_allocated_objects", "", true, "Mallocs", 1, "Objects ever allocated, estimated from the samples."},
    {"heapprof_freed_objects", "", true, "Frees", 1, "Objects freed, estimated from the samples."},
    {"heapprof_max_resident_bytes", "bytes", false, "MaxRSS", 1, "Largest resident set of the process so far."},
    {"heapprof_interval_bytes", "bytes", false, "heapprof.interval", 1, "Mean bytes between two samples."},
    {"heapprof_samples", "", true, "heapprof.samples", 1, "Allocations sampled."},
    {"heapprof_lost_samples", "", true, "heapprof.lost", 1, "Allocations that could not be recorded."},
    {"heapprof_truncated_stacks", "", true, "heapprof.truncated", 1, "Stacks deeper than HEAPPROF_DEPTH."},
    {"heapprof_own_memory_bytes", "bytes", false, "heapprof.own_bytes", 1, "Memory that the profiler takes."},
    {"heapprof_own_cpu_seconds", "seconds", true, "heapprof.own_ns", 1e-9, "Time that the profiler took."},
};

/* Inside of quotes: the format escapes these three. */
static void put_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else if (*value == '"' || *value == '\\')
            fprintf(out, "\\%c", *value);
        else
            fputc((unsigned char)*value < ' ' || (unsigned char)*value > '~' ? '?' : *value, out);
    }
    fputc('"', out);
}

static const char *fact_or_empty(const struct hp_profile *profile, const char *name)
{
    const char *value = hp_profile_fact(profile, name);
    return value ? value : "";
}

static void put_target(FILE *out, const struct hp_profile *profile)
{
    const char *program = hp_profile_program(profile);
    fputs("# TYPE heapprof_target info\n# HELP heapprof_target The profiled process.\nheapprof_target_info{", out);
    put_label(out, "program", program ? program : "");
    fputc(',', out);
    put_label(out, "pid", fact_or_empty(profile, "heapprof.pid"));
    fputc(',', out);
    put_label(out, "exe", fact_or_empty(profile, "heapprof.exe"));
    fputs("} 1\n", out);
}

static void put_metric(FILE *out, const struct hp_profile *profile, const struct metric *metric)
{
    const char *value = hp_profile_fact(profile, metric->fact);
    char *end;
    if (!value || *value < '0' || *value > '9')
        return;
    uint64_t number = strtoull(value, &end, 10);
    fprintf(out, "# TYPE %s %s\n", metric->name, metric->counter ? "counter" : "gauge");
    if (*metric->unit)
        fprintf(out, "# UNIT %s %s\n", metric->name, metric->unit);
    fprintf(out, "# HELP %s %s\n%s%s ", metric->name, metric->help, metric->name, metric->counter ? "_total" : "");
    if (metric->factor == 1)
        fprintf(out, "%" PRIu64 "\n", number);
    else
        fprintf(out, "%.9f\n", (double)number * metric->factor);
}

void hp_answer_metrics(struct hp_collector *collector, struct hp_answer *answer)
{
    struct hp_error error = {""};
    struct hp_profile *profile;
    if (hp_collector_load(collector, HP_COLLECT_NUMBERS, &profile, &error)) {
        hp_answer_fail_to_load(answer, &error);
        return;
    }
    FILE *out = hp_answer_open(answer);
    if (out) {
        put_target(out, profile);
        fprintf(out,
                "# TYPE heapprof_target_running gauge\n# HELP heapprof_target_running 0: it was killed, and these "
                "are its last figures.\nheapprof_target_running %d\n",
                hp_collector_running(collector));
        for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
            put_metric(out, profile, &metrics[i]);
        fputs("# EOF\n", out);
        hp_answer_close(out, answer, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    }
    hp_profile_free(profile);
}
