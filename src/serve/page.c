/* The page of convert --to=html for a browser: of a process with what the server remembers of it.
 */
#include <string.h>

#include "report/page/html_data.h"
#include "serve/answer.h"

struct writing {
    struct hp_answer *answer;
    const struct hp_source_rules *source; /* NULL: none is shown */
    unsigned refresh_ms;
    bool whole; /* the page, not only its document */
};

static void write_page(const struct writing *writing, const struct hp_profile *profile, const struct hp_series *series)
{
    /* A copy: several pages may be written at once, each with a list of what it left out. */
    struct hp_source_rules source = writing->source ? *writing->source : (struct hp_source_rules){0};
    const struct hp_report_options options = {.sample = HP_INUSE_SPACE, .source = writing->source ? &source : NULL};
    const struct hp_report_input input = {.profile = profile, .series = series, .refresh_ms = writing->refresh_ms};
    struct hp_report_outcome outcome;
    struct hp_error error = {""};
    FILE *out = hp_answer_open(writing->answer);
    if (!out)
        return;
    int status = writing->whole ? hp_report_html.write(out, &input, &options, &outcome, &error)
                                : hp_html_data(out, &input, &options, &error);
    hp_names_free(&source.left_out);
    hp_answer_close(out, writing->answer, writing->whole ? "text/html; charset=utf-8" : "application/json");
    if (status)
        hp_answer_fail(writing->answer, 500, "%s", *error.text ? error.text : strerror(-status));
}

static void write_series(void *state, const struct hp_series *series)
{
    write_page(state, series->stacks, series);
}

void hp_answer_page(struct hp_collector *collector, struct hp_history *history, struct hp_answer *answer)
{
    struct writing writing = {.answer = answer, .source = hp_collector_source(collector), .whole = true};
    struct hp_error error = {""};
    struct hp_profile *profile;
    if (history) {
        writing.refresh_ms = hp_history_every_ms(history);
        if (hp_history_visit(history, write_series, &writing, &error))
            hp_answer_fail_to_load(answer, &error);
    } else if (hp_collector_load(collector, HP_COLLECT_SYMBOLS, &profile, &error)) {
        hp_answer_fail_to_load(answer, &error);
    } else {
        write_page(&writing, profile, NULL);
        hp_profile_free(profile);
    }
}

/* When the target is gone, the page keeps what it has, and shows the reason. */
void hp_answer_page_data(struct hp_collector *collector, struct hp_history *history, struct hp_answer *answer)
{
    struct writing writing = {.answer = answer, .source = hp_collector_source(collector)};
    struct hp_error error = {""};
    if (!history) {
        hp_answer_fail(answer, 404, "404 page not found");
        return;
    }
    writing.refresh_ms = hp_history_every_ms(history);
    if (hp_history_visit(history, write_series, &writing, &error) || *error.text)
        hp_answer_fail_to_load(answer, &error);
    else if (!hp_collector_running(collector))
        hp_answer_fail(answer, 503, "the process has ended; these are its last figures");
}
