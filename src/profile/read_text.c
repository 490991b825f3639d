/* The text profile of heapprof, Go (debug=1) and gperftools: `heap profile: ...`. */
#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"
#include "profile/read.h"
#include "profile/scan.h"

#define LINES_PER_ADDRESS 256 /* inlined calls at one address; deeper ones are a damaged file */

struct text_reader {
    struct hp_input *input;
    struct hp_profile *profile;
    struct hp_stack_buffer stack;
    struct hp_build_ids build_ids;
    struct hp_counts totals; /* of the first line */
    uint64_t front;          /* raw; 0: none, as in all but older dumps of the library */
    /* Symbol lines that belong to one address, until the next address or another kind of line
     * comes. */
    struct hp_line lines[LINES_PER_ADDRESS];
    size_t line_count; /* lines may come again for each call of a direct recursion; counted on beyond the array */
    uint64_t line_pc;
};

int hp_read_counts(struct hp_input *input, const char **text, struct hp_counts *counts)
{
    const char *p = *text;
    uint64_t *const fields[] = {&counts->live_objects, &counts->live_bytes, &counts->alloc_objects,
                                &counts->alloc_bytes};
    static const char after[] = {':', '[', ':', ']'};
    for (size_t i = 0; i < 4; i++) {
        hp_scan_spaces(&p);
        if (*p == '-')
            return hp_input_error(input, "a negative counter; differences are not read");
        if (!hp_scan_dec(&p, fields[i]))
            return hp_input_error(input, "no counter (or one over 2^63) at column %zu: %.40s", (size_t)(p - *text) + 1,
                                  p);
        hp_scan_spaces(&p);
        if (!hp_scan_char(&p, after[i]))
            return hp_input_error(input, "expected '%c' at column %zu: %.40s", after[i], (size_t)(p - *text) + 1, p);
    }
    *text = p;
    return 0;
}

int hp_read_stack(struct hp_input *input, struct hp_profile *profile, const char *text, struct hp_stack_buffer *stack)
{
    const char *p = text;
    stack->depth = 0;
    for (;;) {
        hp_scan_spaces(&p);
        if (!*p)
            return 0;
        uint64_t address;
        const char *digits = p;
        if (p[0] == '0' && p[1] == 'x')
            digits += 2;
        if (!hp_scan_hex(&digits, &address) || (*digits && *digits != ' ' && *digits != '\t'))
            return hp_input_error(input, "no address: %.40s", p);
        p = digits;
        if (stack->depth == stack->capacity)
            stack->locations = hp_grow(stack->locations, &stack->capacity, stack->depth + 1, sizeof *stack->locations);
        stack->locations[stack->depth++] = hp_profile_add_location(profile, address - 1);
    }
}

/* `heap profile: 1: 2 [3: 4] @ heap_v2/524288`. */
static int read_header(struct text_reader *reader)
{
    char *line;
    size_t size;
    int status;
    do {
        status = hp_input_line(reader->input, &line, &size);
    } while (status == 1 && line[strspn(line, " ")] == '\0');
    if (status < 0)
        return status;
    const char *p = line + strspn(line, " ");
    hp_scan_word(&p, "heap profile:");
    status = hp_read_counts(reader->input, &p, &reader->totals);
    if (status)
        return status;
    hp_scan_spaces(&p);
    if (!*p)
        return 0; /* very old gperftools: exact */
    if (!hp_scan_char(&p, '@'))
        return hp_input_error(reader->input, "expected '@ TYPE/INTERVAL': %.40s", p);
    hp_scan_spaces(&p);
    size_t type_size = strcspn(p, "/ \t");
    bool exact = type_size == 11 && memcmp(p, "heapprofile", 11) == 0;
    bool twice = type_size == 4 && memcmp(p, "heap", 4) == 0;
    bool poisson =
        (type_size == 7 && memcmp(p, "heap_v2", 7) == 0) || (type_size == 8 && memcmp(p, "heapz_v2", 8) == 0);
    if (!exact && !twice && !poisson)
        return hp_input_error(reader->input, "a profile of type '%.40s'; heapprofile, heap or heap_v2 are read", p);
    p += type_size;
    uint64_t interval = 0;
    if (hp_scan_char(&p, '/') && *p && !hp_scan_dec(&p, &interval))
        return hp_input_error(reader->input, "no interval: %.40s", p);
    hp_scan_spaces(&p);
    if (*p)
        return hp_input_error(reader->input, "unexpected text behind the header: %.40s", p);
    /* Go writes twice its interval. */
    reader->profile->interval = exact ? 1 : (double)(twice ? interval / 2 : interval);
    return 0;
}

/* The location that symbol lines of this PC are about. A function's very first address is printed
 * as it is, with offset 0, because there is no call in front of it. */
static uint32_t line_location(const struct text_reader *reader)
{
    uint32_t location = hp_profile_find_location(reader->profile, reader->line_pc);
    if (location == HP_MAP_NONE && reader->lines[0].entry_offset == 0)
        location = hp_profile_find_location(reader->profile, reader->line_pc - 1);
    return location;
}

/* How often the location stands in a row in the latest stack: a function that called itself from one place. */
static size_t recursion(const struct text_reader *reader, uint32_t location)
{
    size_t longest = 1, run = 0;
    for (size_t i = 0; i < reader->stack.depth; i++) {
        run = reader->stack.locations[i] == location ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

static int flush_lines(struct text_reader *reader)
{
    if (!reader->line_count)
        return 0;
    uint32_t location = line_location(reader);
    if (location != HP_MAP_NONE && !reader->profile->locations[location].symbolized) {
        size_t calls = recursion(reader, location), count = reader->line_count;
        if (count % calls == 0)
            count /= calls;
        if (count > LINES_PER_ADDRESS)
            return hp_input_error(reader->input, "more than %d lines for one address", LINES_PER_ADDRESS);
        hp_profile_set_lines(reader->profile, location, reader->lines, count);
    }
    reader->line_count = 0;
    return 0;
}

/* The end of `function+0xoffset`: the mark with nothing but hexadecimal digits up to the next
 * blank. Names may contain blanks themselves. NULL: there is none. */
static char *find_offset(char *text, uint64_t *offset, const char **rest)
{
    for (char *mark = text; (mark = strstr(mark, "+0x")); mark += 3) {
        const char *p = mark + 3;
        if (hp_scan_hex(&p, offset) && (!*p || *p == ' ' || *p == '\t')) {
            *rest = p;
            return mark;
        }
    }
    return NULL;
}

static const char *unescape_and_intern(struct text_reader *reader, char *text, size_t size)
{
    return hp_profile_intern_bytes(reader->profile, text, hp_unescape(text, size));
}

/* `#<TAB>0xPC<TAB>function+0xoffset<TAB>file:line`, more blanks where they are aligned. */
static int read_symbol_line(struct text_reader *reader, char *line)
{
    const char *p = line + 1;
    uint64_t pc;
    hp_scan_spaces(&p);
    if (!hp_scan_word(&p, "0x") || !hp_scan_hex(&p, &pc))
        return 0; /* some other comment */
    hp_scan_spaces(&p);
    if (!*p)
        return 0; /* so Go prints an address that it has no name for */
    char *function = line + (p - line);
    struct hp_line symbol = {.linkage = ""};
    const char *rest;
    char *mark = find_offset(function, &symbol.entry_offset, &rest);
    if (!mark)
        return hp_input_error(reader->input, "a symbol line without function+0xoffset: %.60s", p);
    symbol.function = unescape_and_intern(reader, function, (size_t)(mark - function));
    hp_scan_spaces(&rest);
    char *file = line + (rest - line);
    size_t size = strlen(file);
    char *colon = strrchr(file, ':');
    uint64_t number;
    const char *digits = colon ? colon + 1 : NULL;
    if (digits && hp_scan_dec(&digits, &number) && !*digits && number <= UINT32_MAX) {
        symbol.line = (uint32_t)number;
        size = (size_t)(colon - file);
    }
    symbol.file = unescape_and_intern(reader, file, size);
    int error = reader->line_pc != pc ? flush_lines(reader) : 0;
    reader->line_pc = pc;
    if (reader->line_count < LINES_PER_ADDRESS)
        reader->lines[reader->line_count] = symbol;
    reader->line_count++;
    return error;
}

static int read_build_id(struct text_reader *reader, const char *text)
{
    uint64_t start;
    if (!hp_scan_word(&text, "0x") || !hp_scan_hex(&text, &start) || !hp_scan_char(&text, ' '))
        return hp_input_error(reader->input, "expected 'heapprof.module = 0xSTART BUILD-ID'");
    struct hp_build_ids *all = &reader->build_ids;
    all->ids = hp_grow(all->ids, &all->capacity, all->count + 1, sizeof *all->ids);
    all->ids[all->count] = hp_profile_intern(reader->profile, text);
    hp_map_add(&all->by_start, start, (uint32_t)all->count++);
    return 0;
}

/* The latest entry's counters as they were sampled: `1: 2 [3: 4] @ INTERVAL`. */
static int read_drawn(struct text_reader *reader, const char *text)
{
    struct hp_profile *profile = reader->profile;
    struct hp_counts counts;
    uint64_t interval;
    int status = hp_read_counts(reader->input, &text, &counts);
    if (status)
        return status;
    const char *wrong = hp_check_counts(&counts);
    if (wrong)
        return hp_input_error(reader->input, "%s", wrong);
    if (!hp_scan_word(&text, " @ ") || !hp_scan_dec(&text, &interval) || *text || !interval)
        return hp_input_error(reader->input, "expected '@ INTERVAL': %.40s", text);
    if (!profile->sample_count || profile->samples[profile->sample_count - 1].interval > 0)
        return hp_input_error(reader->input, "no entry that 'heapprof.drawn' could be about");
    struct hp_sample *sample = &profile->samples[profile->sample_count - 1];
    sample->live_objects = (double)sample->counts.live_objects;
    sample->live_bytes = (double)sample->counts.live_bytes;
    sample->alloc_objects = (double)sample->counts.alloc_objects;
    sample->alloc_bytes = (double)sample->counts.alloc_bytes;
    sample->counts = counts;
    sample->interval = (double)interval;
    profile->mixed = true;
    return 0;
}

static int read_comment(struct text_reader *reader, char *line, size_t size)
{
    const char *p = line + 1;
    if (*p == '\t')
        return read_symbol_line(reader, line);
    hp_scan_spaces(&p);
    if (hp_scan_word(&p, "heapprof.module = "))
        return read_build_id(reader, p);
    if (hp_scan_word(&p, "heapprof.drawn = "))
        return read_drawn(reader, p);
    if (hp_scan_word(&p, "heapprof.front = ")) {
        if (!hp_scan_word(&p, "0x") || !hp_scan_hex(&p, &reader->front))
            return hp_input_error(reader->input, "expected 'heapprof.front = 0xADDRESS'");
        return 0;
    }
    hp_profile_add_comment(reader->profile, p, size - (size_t)(p - line));
    return 0;
}

static int read_entry(struct text_reader *reader, const char *line)
{
    struct hp_counts counts;
    int status = hp_read_counts(reader->input, &line, &counts);
    if (status)
        return status;
    const char *wrong = hp_check_counts(&counts);
    if (wrong)
        return hp_input_error(reader->input, "%s", wrong);
    hp_scan_spaces(&line);
    if (!hp_scan_char(&line, '@'))
        return hp_input_error(reader->input, "expected '@' and addresses: %.40s", line);
    status = hp_read_stack(reader->input, reader->profile, line, &reader->stack);
    if (status)
        return status;
    hp_profile_add_sample(reader->profile, reader->stack.locations, reader->stack.depth, &counts);
    return 0;
}

static int read_body(struct text_reader *reader)
{
    char *line;
    size_t size;
    int status;
    while ((status = hp_input_line(reader->input, &line, &size)) == 1) {
        const char *p = line;
        hp_scan_spaces(&p);
        if (*p == '#') {
            status = read_comment(reader, line + (p - line), size - (size_t)(p - line));
        } else {
            status = flush_lines(reader);
            if (!status && hp_is_maps_start(p))
                return hp_read_maps(reader->input, reader->profile, &reader->build_ids);
            if (!status && *p)
                status = read_entry(reader, p);
        }
        if (status)
            return status;
    }
    return status ? status : flush_lines(reader);
}

/* All writers make the first line of the entries; of a file that was cut off some are gone. The reader goes on: whoever
 * wants an excerpt has it. */
static void compare_totals(const struct text_reader *reader)
{
    struct hp_profile *profile = reader->profile;
    uint64_t sum = 0;
    for (size_t i = 0; i < profile->sample_count; i++) {
        const struct hp_sample *sample = &profile->samples[i];
        sum =
            hp_add_clamped(sum, sample->interval > 0 ? hp_round(sample->alloc_objects) : sample->counts.alloc_objects);
    }
    const struct hp_counts *totals = &reader->totals;
    uint64_t told = totals->alloc_objects ? totals->alloc_objects : totals->live_objects;
    profile->missing_objects = told > sum ? told - sum : 0;
}

int hp_read_text(struct hp_input *input, struct hp_profile *profile)
{
    struct text_reader *reader = hp_alloc(1, sizeof *reader);
    reader->input = input;
    reader->profile = profile;
    int status = read_header(reader);
    if (!status)
        status = read_body(reader);
    if (!status)
        compare_totals(reader);
    if (!status && reader->front) {
        uint32_t location = hp_profile_find_location(profile, reader->front - 1);
        if (location != HP_MAP_NONE)
            hp_profile_drop_front(profile, location);
    }
    free(reader->stack.locations);
    free(reader->build_ids.ids);
    hp_map_clear(&reader->build_ids.by_start);
    free(reader);
    return status;
}
