#include "symbolize/qualified_name.h"

#include <ctype.h>
#include <string.h>

#define NESTING_MAX 256

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$';
}

bool hp_begins(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

/* Past "operator" and its sign, where `text` is at the word "operator"; else `text`. `before` is
 * the character in front of it, or 0. */
static const char *skip_operator(const char *text, char before)
{
    if (is_word(before) || !hp_begins(text, "operator") || is_word(text[8]))
        return text;
    text += 8;
    if (hp_begins(text, " new") || hp_begins(text, " delete")) {
        text += text[1] == 'n' ? 4 : 7;
        return hp_begins(text, "[]") ? text + 2 : text;
    }
    if (hp_begins(text, "()") || hp_begins(text, "[]"))
        return text + 2;
    if (hp_begins(text, "<=>"))
        return text + 3;
    /* "operator< <int>": the demangler keeps the sign and the arguments apart by a space. */
    size_t length = strspn(text, "<>=!+-*/%^&|~,");
    const char *signs[] = {"<<=", ">>=", "->*", "<<", ">>", "->", "<=", ">=", "<", ">"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (hp_begins(text, signs[i]))
            return text + strlen(signs[i]);
    return text + length;
}

/* Past the bracket that matches the one at `text`, or the end. Brackets of the outer kinds close
 * those left open inside:
 * "<" is also an operator, in expressions, which the demanglers put in parentheses. */
static const char *skip_group(const char *text)
{
    char open[NESTING_MAX];
    size_t depth = 0;
    char before = 0;
    for (; *text; before = *text++) {
        const char *past = skip_operator(text, before);
        if (past != text) {
            text = past - 1;
            continue;
        }
        if (strchr("<([{", *text)) {
            if (depth == NESTING_MAX)
                return text + strlen(text);
            open[depth++] = *text;
        } else if (*text == '>') {
            if (before != '-' && depth && open[depth - 1] == '<')
                depth--;
        } else if (strchr(")]}", *text)) {
            char wanted = *text == ')' ? '(' : *text == ']' ? '[' : '{';
            size_t match = depth;
            while (match && open[match - 1] != wanted)
                match--;
            depth = match ? match - 1 : depth;
        } else {
            continue;
        }
        if (!depth)
            return text + 1;
    }
    return text;
}

static void put(struct hp_qualified_name *qualified, const char *text, size_t size)
{
    if (size >=
        HP_QUALIFIED_NAME_MAX - qualified->used) /* longer than all names in the tables, so its end does not matter */
        size = HP_QUALIFIED_NAME_MAX - 1 - qualified->used;
    memcpy(qualified->text + qualified->used, text, size);
    qualified->used += size;
    qualified->text[qualified->used] = '\0';
}

static bool at_scope_start(const struct hp_qualified_name *qualified)
{
    return !qualified->used || (qualified->used >= 2 && !strcmp(qualified->text + qualified->used - 2, "::"));
}

/* At a bracket outside of all others. Returns where to go on, or NULL when the name ends here. */
static const char *take_group(struct hp_qualified_name *qualified, const char *text, const char **inner_end)
{
    const char *past = skip_group(text);
    bool more = hp_begins(past, "::");
    switch (*text) {
    case '<':
        if (!qualified->used) { /* Rust's <Type as Trait>::method: go on with Type, whose end is skipped
                              later */
            *inner_end = past;
            return text + 1;
        }
        if (at_scope_start(qualified)) /* Rust's function::<T> */
            qualified->text[qualified->used -= 2] = '\0';
        return past;
    case '{':
        put(qualified, "{}", 2);
        return past;
    case '(':
        if (qualified->used >= 8 && !strcmp(qualified->text + qualified->used - 8, "decltype"))
            return past;
        if (!more)
            return NULL;
        if (at_scope_start(qualified)) /* (anonymous namespace):: */
            return past + 2;
        return past;
    default:
        return past; /* [abi:cxx11] */
    }
}

void hp_qualified_name_of(struct hp_qualified_name *qualified, const char *name)
{
    qualified->used = 0;
    qualified->text[0] = '\0';
    const char *inner_end = NULL; /* of the <Type as Trait> that is being read */
    char before = 0;
    for (const char *text = name; *text;) {
        const char *past = skip_operator(text, before);
        if (past != text) {
            put(qualified, text, (size_t)(past - text));
            before = ')';
            text = past;
            continue;
        }
        if (inner_end && (text == inner_end - 1 || hp_begins(text, " as "))) {
            text = inner_end;
            inner_end = NULL;
            before = '>';
            continue;
        }
        before = *text;
        if (strchr("<([{", *text)) {
            text = take_group(qualified, text, &inner_end);
            if (!text)
                return;
        } else if (*text == ' ') {
            if (text[1] == '[') /* [clone .part.0] */
                return;
            qualified->used = 0; /* what came before was the return type */
            qualified->text[0] = '\0';
            text++;
        } else {
            put(qualified, text++, 1);
        }
    }
}
