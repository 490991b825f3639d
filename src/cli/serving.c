#include "cli/serving.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/say.h"
#include "cli/verb.h"
#include "report/core/memory.h"

void hp_serving_token(struct hp_serving *serving, const char *value)
{
    char line[1024] = "";
    if (*value == '@') {
        FILE *file = fopen(value + 1, "re");
        if (!file || !fgets(line, sizeof line, file))
            hp_usage("--token: %s: %s", value + 1, file ? "nothing to read in there" : strerror(errno));
        fclose(file);
        line[strcspn(line, "\r\n")] = '\0';
        value = line;
    }
    if (!*value)
        hp_usage("--token: an empty token protects nothing");
    free(serving->token);
    serving->token = hp_strdup(value);
}

static void note(void *state, const char *text)
{
    struct hp_serving *serving = state;
    bool added;
    hp_names_add(&serving->notes, text, &added);
    if (added)
        hp_note("%s", text);
}

int hp_serving_listen(struct hp_serving *serving)
{
    struct hp_error error = {""};
    if (serving->where && hp_listen(serving->where, serving->token != NULL, &serving->listener, &error))
        return hp_fail("--http: %s", error.text);
    return HP_DONE;
}

/* Only what the user named: whoever asks a server may be somebody else than who started it. */
static const struct hp_source_rules *allow_source(struct hp_serving *serving, char *const *targets, size_t count,
                                                  const struct hp_sources *sources)
{
    if (!sources || !sources->source.count)
        return NULL;
    serving->source.folders = sources->source.names;
    serving->source.folder_count = sources->source.count;
    for (size_t i = 0; i < count; i++)
        hp_source_owner_of(&serving->source, targets[i]);
    return &serving->source;
}

int hp_serving_begin(struct hp_serving *serving, char *const *targets, size_t count, const struct hp_sources *sources)
{
    struct hp_error error = {""};
    const struct hp_collector_options collector = {.arguments = targets,
                                                   .count = count,
                                                   .symbol_directories = sources ? sources->symbols.names : NULL,
                                                   .symbol_directory_count = sources ? sources->symbols.count : 0,
                                                   .source = allow_source(serving, targets, count, sources),
                                                   .note = note,
                                                   .note_state = serving};
    if (!serving->where)
        return HP_DONE;
    serving->collector = hp_collector_new(&collector);
    serving->history =
        hp_history_start(serving->collector, serving->every_ms ? serving->every_ms : HP_HISTORY_EVERY_MS);
    const struct hp_server_options server = {&serving->listener, serving->token, serving->collector, serving->history};
    int status = hp_server_start(&server, &serving->server, &error);
    serving->listener = (struct hp_listener){.fd = -1};
    return status ? hp_fail("--http: %s", error.text) : HP_DONE;
}

void hp_serving_end(struct hp_serving *serving)
{
    if (serving->server)
        hp_server_stop(serving->server);
    hp_listener_close(&serving->listener);
    hp_history_stop(serving->history);
    if (serving->collector)
        hp_collector_free(serving->collector);
    hp_source_rules_free(&serving->source);
    hp_names_free(&serving->notes);
    free(serving->token);
    *serving = (struct hp_serving)HP_SERVING(NULL);
}
