/* One page that holds a profile and all that is needed to look at it: nothing is loaded. */
#include "report/page/html_data.h"
#include "report/page/html_parts.h"
#include "report/core/markup.h"

static int write_html(FILE *out, const struct hp_report_input *input, const struct hp_report_options *options,
                      struct hp_report_outcome *outcome, struct hp_error *error)
{
    /* The policy keeps the promise even if the page had a fault. */
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "style-src 'unsafe-inline'; script-src 'unsafe-inline'",
          out);
    fprintf(out, "%s\">\n", input->refresh_ms ? "; connect-src 'self'" : "");
    fputs("<meta name=\"viewport\" content=\"width=device-width\">\n<title>", out);
    hp_markup_text(out, input->profile->name);
    fprintf(out, " - heapprof</title>\n<style>\n%s</style>\n</head>\n%s", hp_page_page_css, hp_page_body_html);
    fputs("<script type=\"application/json\" id=\"data\">", out);
    int status = hp_html_data(out, input, options, error);
    fprintf(out,
            "</script>\n<script>\n\"use strict\";\n(() => {\n%s%s%s%s%s%s%s})();\n</script>\n"
            "</body>\n</html>\n",
            hp_page_model_js, hp_page_noise_js, hp_page_series_js, hp_page_flame_js, hp_page_resident_js,
            hp_page_panels_js, hp_page_main_js);
    return status;
}

const struct hp_report hp_report_html = {"html", write_html};
