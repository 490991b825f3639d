#include "reader/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ledger/heap.h"
#include "reader/mapping.h"
#include "reader/process.h"
#include "base/sys.h"
#include "reader/ledger_v3.h"

#define WALK_NS 20000000ull /* at most: a screen shows it each second */

struct hp_watch {
    struct hp_ledger_info info;
    struct hp_mapping mapping;
    uint64_t file; /* inode */
    struct hp_ledger_view view;
    struct hp_store translated; /* what the view is of, if the ledger is of the version before */
    struct hp_store next;       /* ... and will be of */
    struct hp_entry_row *rows;
    uint64_t capacity;
    void *work;                /* of hp_heap_work_size() */
    struct hp_figures figures; /* of the last reading */
};

static uint64_t inode_of(const char *path)
{
    struct stat status;
    return stat(path, &status) ? 0 : status.st_ino;
}

int hp_watch_open(const char *pid, struct hp_watch **result, char *error, size_t error_size)
{
    struct hp_watch *watch = calloc(1, sizeof *watch);
    struct hp_guard guard;
    unsigned uid;
    if (!watch)
        return -ENOMEM;
    volatile int status = hp_ledger_find(pid, &watch->info, error, error_size);
    if (!status) {
        watch->file = inode_of(watch->info.path);
        watch->work = hp_sys_mmap(NULL, hp_heap_work_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
        status = watch->work ? hp_mapping_open(watch->info.path, false, &watch->mapping, &uid) : -ENOMEM;
        if (!status) {
            hp_guard_begin(&guard);
            status = sigsetjmp(hp_on_cut, 1) ? -EBADMSG
                                             : hp_v3_view_open(&watch->view, watch->mapping.memory, watch->mapping.size,
                                                               &watch->translated);
            hp_guard_end(&guard);
        }
        if (status)
            snprintf(error, error_size, "%s: %s", watch->info.path, strerror(-status));
    }
    if (status) {
        hp_watch_close(watch);
        return status;
    }
    *result = watch;
    return 0;
}

void hp_watch_close(struct hp_watch *watch)
{
    if (!watch)
        return;
    hp_v3_free(&watch->translated);
    hp_v3_free(&watch->next);
    if (watch->mapping.memory)
        hp_sys_munmap(watch->mapping.memory, watch->mapping.size);
    if (watch->work)
        hp_sys_munmap(watch->work, hp_heap_work_size());
    free(watch->rows);
    free(watch);
}

bool hp_watch_is_over(const struct hp_watch *watch)
{
    return inode_of(watch->info.path) != watch->file || (watch->info.running && hp_process_is_over(watch->info.pid));
}

bool hp_watch_is_running(const struct hp_watch *watch)
{
    return watch->info.running;
}

const char *hp_watch_program(const struct hp_watch *watch)
{
    return watch->info.program;
}

/* With room for more rows, where the target made more meanwhile than there was room for. */
static int collect_rows(struct hp_watch *watch, struct hp_watch_reading *reading)
{
    uint64_t most = hp_ledger_view_row_count(&watch->view);
    do {
        if (most > watch->capacity) {
            struct hp_entry_row *more = realloc(watch->rows, (most + most / 2) * sizeof *more);
            if (!more)
                return -ENOMEM;
            watch->rows = more;
            watch->capacity = most + most / 2;
        }
        reading->count = hp_rows_collect(&watch->view, watch->rows, watch->capacity);
        most = watch->capacity + 1;
    } while (reading->count == watch->capacity);
    return 0;
}

/* What has changed since. Rows have the same hashes in each translation. */
static int refresh(struct hp_watch *watch)
{
    if (!watch->translated.ledger) {
        hp_ledger_view_refresh(&watch->view);
        return 0;
    }
    struct hp_ledger_view view = {0};
    hp_v3_free(&watch->next); /* where the last translation was cut short */
    int error = hp_v3_view_open(&view, watch->mapping.memory, watch->mapping.size, &watch->next);
    if (error < 0)
        return error;
    hp_v3_free(&watch->translated);
    watch->translated = watch->next;
    watch->next.ledger = NULL;
    watch->view = view;
    return 0;
}

static int collect(struct hp_watch *watch, struct hp_watch_reading *reading)
{
    int error = refresh(watch);
    if (error < 0)
        return error;
    const struct hp_ledger *ledger = watch->view.ledger;
    struct hp_figures figures = {.source = HP_FIGURES_NONE};
    char process[16];
    reading->clock_ns = hp_clock_ns(CLOCK_MONOTONIC);
    if (watch->info.running) {
        snprintf(process, sizeof process, "%d", (int)watch->info.pid);
        hp_heap_walk(&watch->view, process, (int)watch->info.pid, WALK_NS, watch->work, &figures);
    }
    figures = hp_figures_shown(ledger, &figures, __atomic_load_n(&ledger->live_estimate, __ATOMIC_RELAXED),
                               reading->clock_ns);
    watch->figures = figures;
    error = collect_rows(watch, reading);
    if (error < 0)
        return error;
    reading->rows = watch->rows;
    reading->interval = hp_ledger_view_interval(&watch->view);
    reading->inuse = figures.inuse;
    reading->idle = figures.sys > figures.inuse ? figures.sys - figures.inuse : 0;
    reading->audit = hp_audit_read(ledger);
    reading->own_bytes = hp_ledger_own_bytes(ledger);
    reading->own_ns = hp_audit_own_ns(&reading->audit);
    return 0;
}

int hp_watch_read(struct hp_watch *watch, struct hp_watch_reading *reading)
{
    struct hp_guard guard;
    volatile int status;
    hp_guard_begin(&guard);
    status = sigsetjmp(hp_on_cut, 1) ? -EBADMSG : collect(watch, reading);
    hp_guard_end(&guard);
    return status;
}

int hp_watch_write(const struct hp_watch *watch, const struct hp_entry_row *rows, uint64_t count, hp_sink_fn *sink,
                   void *state)
{
    const struct hp_moment moment = {
        .time_ns = hp_clock_ns(CLOCK_REALTIME), .clock_ns = hp_clock_ns(CLOCK_MONOTONIC), .figures = watch->figures};
    const uint64_t scratch_size = hp_snapshot_base_size(&watch->view);
    char *scratch = malloc(scratch_size + HP_TEXT_BUFFER);
    struct hp_text text;
    struct hp_guard guard;
    volatile int status;
    if (!scratch)
        return -ENOMEM;
    hp_text_init(&text, sink, state, scratch + scratch_size);
    hp_guard_begin(&guard);
    status = sigsetjmp(hp_on_cut, 1)
                 ? -EBADMSG
                 : hp_snapshot_write_rows(&watch->view, &moment, rows, count, &text, scratch, scratch_size);
    hp_guard_end(&guard);
    free(scratch);
    return status;
}
