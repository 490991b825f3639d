#include "ledger/thread_facts.h"

#include <string.h>

#include "base/decimal.h"
#include "base/sys.h"

#define LARGE (64ull << 10)     /* smaller objects are touched, by what is written beside them if not by themselves */
#define PAGES_MOST (1ull << 20) /* 4 GiB: a few ms */

struct collection {
    const struct hp_ledger_view *view;
    struct hp_thread_sums *sums;
    const char *process;
    int pagemap;             /* below 0: not opened yet (-EAGAIN), or it can't be */
    uint64_t size, interval; /* that `p` was computed for */
    double p;
};

uint64_t hp_threads_size(const struct hp_ledger_view *view, uint32_t *count)
{
    uint32_t threads = __atomic_load_n(&view->ledger->thread_count, __ATOMIC_RELAXED);
    *count = threads < HP_THREADS ? threads : HP_THREADS;
    return *count * sizeof(struct hp_thread_sum);
}

static struct hp_thread_sum *sum_of(struct hp_thread_sums *sums, uint32_t number)
{
    return number && number <= sums->count ? &sums->sums[number - 1] : &sums->others;
}

/* Of the object's whole pages, the bytes that are not in memory. */
static uint64_t untouched(struct collection *collection, uint64_t address, uint64_t size)
{
    struct hp_thread_sums *sums = collection->sums;
    uint64_t start = (address + HP_PAGE - 1) / HP_PAGE * HP_PAGE, limit = (address + size) / HP_PAGE * HP_PAGE;
    if (size < LARGE || (limit - start) / HP_PAGE > sums->pages_left)
        return 0;
    if (collection->pagemap == -EAGAIN)
        collection->pagemap = collection->process ? hp_proc_open(collection->process, "pagemap") : -ENOENT;
    if (collection->pagemap < 0)
        return 0;
    sums->pages_left -= (limit - start) / HP_PAGE;
    uint64_t there = HP_PAGE * hp_resident_pages(collection->pagemap, start, limit, sums->pagemap,
                                                 sizeof sums->pagemap / sizeof *sums->pagemap);
    return there < limit - start ? limit - start - there : 0;
}

static void add_object(void *state, uint64_t address, const struct hp_live_data *data)
{
    struct collection *collection = state;
    const struct hp_ledger_view *view = collection->view;
    if (!data->size || (address | data->size) >> HP_FRAME_MODULE_SHIFT)
        return;
    uint64_t interval = hp_ledger_view_interval_of(view, data->row);
    if (data->size != collection->size || interval != collection->interval) {
        collection->size = data->size;
        collection->interval = interval;
        collection->p = hp_probability((double)data->size, interval ? (double)interval : 1);
    }
    collection->sums->untouched += (double)untouched(collection, address, data->size) / collection->p;
    struct hp_thread_sum *sum = sum_of(collection->sums, data->thread);
    double p = collection->p, bytes = (double)data->size / p;
    double objects_variance = (1 - p) / p / p, bytes_variance = bytes * bytes * (1 - p);
    sum->samples++;
    sum->sampled_bytes += data->size;
    sum->bytes += bytes;
    sum->bytes_variance += bytes_variance;
    sum->bytes_squares += bytes_variance * bytes_variance;
    sum->objects += 1 / p;
    sum->objects_variance += objects_variance;
    sum->objects_squares += objects_variance * objects_variance;
}

static void put_pair(struct hp_text *text, const char *name, uint64_t value)
{
    hp_text_put(text, name);
    hp_text_put_dec(text, value);
}

static size_t put_text(char *to, size_t at, const char *text)
{
    memcpy(to + at, text, strlen(text) + 1);
    return at + strlen(text);
}

/* 0 and the name, without its newline; -ENOENT: there is no such thread any more. */
static int read_name(const char *process, uint32_t tid, char name[32])
{
    char file[32];
    size_t length = put_text(file, 0, "task/");
    length += hp_put_decimal(file + length, tid, 1);
    put_text(file, length, "/comm");
    int fd = hp_proc_open(process, file);
    if (fd < 0)
        return fd;
    long n = hp_sys_read(fd, name, 31);
    hp_sys_close(fd);
    name[n > 0 ? n : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    return n < 0 ? (int)n : 0;
}

static void put_sum(const struct hp_thread_sum *sum, struct hp_text *text)
{
    put_pair(text, " samples=", sum->samples);
    put_pair(text, " sampled_bytes=", sum->sampled_bytes);
    put_pair(text, " bytes=", hp_whole(sum->bytes + 0.5));
    put_pair(text, " bytes_error=", hp_whole(hp_error_of(sum->bytes_variance, sum->bytes_squares) + 0.5));
    put_pair(text, " objects=", hp_whole(sum->objects + 0.5));
    put_pair(text, " objects_error=", hp_whole(hp_error_of(sum->objects_variance, sum->objects_squares) + 0.5));
}

static void write_thread(const struct hp_ledger_view *view, const char *process, uint32_t number,
                         const struct hp_thread_sum *sum, struct hp_text *text)
{
    uint32_t tid = hp_ledger_view_tid(view, number);
    char name[32];
    hp_text_comment(text);
    put_pair(text, "heapprof.thread = ", number);
    if (tid)
        put_pair(text, " tid=", tid);
    put_sum(sum, text);
    int error = tid && process ? read_name(process, tid, name) : -EINVAL;
    if (error == -ENOENT || error == -ESRCH)
        hp_text_put(text, " ended=1");
    if (error == 0) {
        hp_text_put(text, " name=");
        hp_text_put_name(text, name);
    }
    hp_text_line_end(text);
}

static void add_sum(struct hp_thread_sum *to, const struct hp_thread_sum *sum)
{
    to->samples += sum->samples;
    to->sampled_bytes += sum->sampled_bytes;
    to->bytes += sum->bytes;
    to->bytes_variance += sum->bytes_variance;
    to->bytes_squares += sum->bytes_squares;
    to->objects += sum->objects;
    to->objects_variance += sum->objects_variance;
    to->objects_squares += sum->objects_squares;
}

/* By bytes, then by number; 0: none is left. */
static uint32_t largest_left(const struct hp_thread_sums *sums)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < sums->count; i++) {
        const struct hp_thread_sum *sum = &sums->sums[i];
        if (sum->samples && !sum->listed && (!best || sum->bytes > sums->sums[best - 1].bytes))
            best = i + 1;
    }
    return best;
}

void hp_threads_collect(const struct hp_ledger_view *view, const char *process, struct hp_thread_sums *sums)
{
    struct collection collection = {.view = view, .sums = sums, .process = process, .pagemap = -EAGAIN};
    sums->untouched = 0;
    sums->pages_left = PAGES_MOST;
    sums->others = (struct hp_thread_sum){0};
    memset(sums->sums, 0, sums->count * sizeof *sums->sums);
    hp_ledger_view_live(view, add_object, &collection);
    if (collection.pagemap >= 0)
        hp_sys_close(collection.pagemap);
}

void hp_threads_write(const struct hp_ledger_view *view, const char *process, struct hp_thread_sums *sums,
                      struct hp_text *text)
{
    uint32_t left = 0, number;
    for (unsigned listed = 0; listed < HP_THREADS_LISTED && !text->error && (number = largest_left(sums)); listed++) {
        sums->sums[number - 1].listed = true;
        write_thread(view, process, number, &sums->sums[number - 1], text);
    }
    for (uint32_t i = 0; i < sums->count; i++) {
        if (sums->sums[i].samples && !sums->sums[i].listed) {
            add_sum(&sums->others, &sums->sums[i]);
            left++;
        }
    }
    if (!sums->others.samples)
        return;
    hp_text_comment(text);
    hp_text_put(text, "heapprof.thread = 0");
    put_sum(&sums->others, text);
    if (left)
        put_pair(text, " threads=", left);
    hp_text_line_end(text);
}
