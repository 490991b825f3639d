#include <errno.h>

#include "report/core/view.h"

static int compile(regex_t *compiled, bool *has, const char *option, const char *expression, struct hp_error *error)
{
    if (!expression)
        return 0;
    int code = regcomp(compiled, expression, REG_EXTENDED | REG_NOSUB);
    if (code) {
        char reason[128];
        regerror(code, compiled, reason, sizeof reason);
        return hp_error_set(error, -EINVAL, "--%s: '%s' is no regular expression: %s", option, expression, reason);
    }
    *has = true;
    return 0;
}

int hp_filter_compile(struct hp_filter *filter, const struct hp_view_options *options, struct hp_error *error)
{
    *filter = (struct hp_filter){0};
    int status = compile(&filter->focus, &filter->has_focus, "focus", options->focus, error);
    if (!status)
        status = compile(&filter->ignore, &filter->has_ignore, "ignore", options->ignore, error);
    if (!status)
        status = compile(&filter->hide, &filter->has_hide, "hide", options->hide, error);
    if (!status)
        status = compile(&filter->show, &filter->has_show, "show", options->show, error);
    if (status)
        hp_filter_free(filter);
    return status;
}

void hp_filter_free(struct hp_filter *filter)
{
    if (filter->has_focus)
        regfree(&filter->focus);
    if (filter->has_ignore)
        regfree(&filter->ignore);
    if (filter->has_hide)
        regfree(&filter->hide);
    if (filter->has_show)
        regfree(&filter->show);
    *filter = (struct hp_filter){0};
}
