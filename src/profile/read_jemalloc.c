/* jemalloc's own text profile:
 *
 *     heap_v2/524288
 *       t*: 28106: 56637512 [0: 0]
 *       t0: ...
 *     @ 0x5f86da8 0x5f5a1dc
 *       t*: 13: 6688 [0: 0]
 *       t0: ...
 *
 *     MAPPED_LIBRARIES:
 *     ...
 *
 * The lines of single threads repeat what t* adds up. The allocated counters are 0 unless
 * prof_accum is on.
 */
#include <stdlib.h>
#include <string.h>

#include "profile/read.h"
#include "profile/scan.h"

enum state { TOTALS, STACK, COUNTED };

static int read_interval(struct hp_input *input, struct hp_profile *profile)
{
    char *line;
    size_t size;
    uint64_t interval;
    int status;
    do {
        status = hp_input_line(input, &line, &size);
    } while (status == 1 && line[strspn(line, " ")] == '\0');
    if (status < 0)
        return status;
    const char *p = line + strspn(line, " ");
    if (!hp_scan_word(&p, "heap_v2/") || !hp_scan_dec(&p, &interval) || *p)
        return hp_input_error(input, "expected 'heap_v2/INTERVAL': %.40s", line);
    profile->interval = (double)interval;
    return 0;
}

/* `t*: objects: bytes [objects: bytes]`; nothing to do for single threads. */
static int read_thread(struct hp_input *input, struct hp_profile *profile, const char *line,
                       const struct hp_stack_buffer *stack, enum state *state)
{
    if (!hp_scan_word(&line, "t*:"))
        return 0;
    struct hp_counts counts;
    int status = hp_read_counts(input, &line, &counts);
    if (status || *state == TOTALS)
        return status;
    if (*state == COUNTED)
        return hp_input_error(input, "a second t* line for one stack");
    const char *wrong = hp_check_counts(&counts);
    if (wrong)
        return hp_input_error(input, "%s", wrong);
    hp_profile_add_sample(profile, stack->locations, stack->depth, &counts);
    *state = COUNTED;
    return 0;
}

static int read_body(struct hp_input *input, struct hp_profile *profile, struct hp_stack_buffer *stack)
{
    enum state state = TOTALS;
    char *line;
    size_t size;
    int status;
    while ((status = hp_input_line(input, &line, &size)) == 1) {
        const char *p = line;
        hp_scan_spaces(&p);
        if (*p == 't') {
            status = read_thread(input, profile, p, stack, &state);
        } else if (*p == '@' || hp_is_maps_start(p)) {
            if (state == STACK)
                return hp_input_error(input, "the stack before has no t* line");
            if (*p != '@')
                return hp_read_maps(input, profile, &(struct hp_build_ids){0});
            state = STACK;
            status = hp_read_stack(input, profile, p + 1, stack);
        } else if (*p && *p != '#') {
            status = hp_input_error(input, "neither a stack nor a thread's counters: %.40s", p);
        } else {
            status = 0;
        }
        if (status)
            return status;
    }
    if (!status && state == STACK)
        status = hp_input_error(input, "the file ends before the last stack's t* line");
    return status;
}

int hp_read_jemalloc(struct hp_input *input, struct hp_profile *profile)
{
    struct hp_stack_buffer stack = {0};
    int status = read_interval(input, profile);
    if (!status)
        status = read_body(input, profile, &stack);
    free(stack.locations);
    return status;
}
