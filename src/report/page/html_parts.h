/* html_parts.h - the parts of the page, embedded by scripts/embed.py at build time. */
#ifndef HP_REPORT_PAGE_HTML_PARTS_H
#define HP_REPORT_PAGE_HTML_PARTS_H

extern const char hp_page_page_css[], hp_page_body_html[];
extern const char hp_page_model_js[], hp_page_noise_js[], hp_page_series_js[], hp_page_flame_js[],
    hp_page_resident_js[], hp_page_panels_js[], hp_page_main_js[];

#endif
