/* html_internal.h - pages of results: one HTML file that needs nothing else (no network,
 * no scripts, pictures inside), light or dark as the reader's system asks.
 *
 *     app_page page;
 *     if (app_page_open(&page, "eval.html", "vmoe eval", "m on d", &err) == BASE_OK) {
 *         app_page_section(&page, "Accuracy", NULL);
 *         app_page_cards(&page, cards, 3);
 *         status = app_page_commit(&page, &err);
 *     }
 * Everything but open, picture and commit cannot fail: a full disk shows at commit. All
 * texts are escaped, whatever a class or a file is called. */
#ifndef APPS_HTML_INTERNAL_H
#define APPS_HTML_INTERNAL_H

#include "base/base.h"
#include "data/data.h"

typedef struct app_page {
    base_writer out; /* out.file: write HTML of your own here */
} app_page;

/* The head of the page with its styles, a heading and a line below it. On success page
 * must end in commit or abandon. */
base_status app_page_open(app_page *page, const char *path, const char *title,
                          const char *lead, base_error *err);
/* The end of the page with the program's version; the file appears. Closes in any case. */
base_status app_page_commit(app_page *page, base_error *err);
void app_page_abandon(app_page *page);

/* A heading of the second rank and a sentence that explains what follows (NULL: none). */
void app_page_section(app_page *page, const char *heading, const char *note);
/* text with & < > " ' escaped; bytes that are no UTF-8 as \xNN. */
void app_page_text(app_page *page, const char *text);

/* A figure that is read first: "top-1", "91.2 %", "of 10,000 images". */
typedef struct app_card {
    const char *label, *value, *note; /* note may be NULL */
} app_card;
void app_page_cards(app_page *page, const app_card *cards, size_t count);

/* Bars below one another, each with its name and its value as text; share in 0..1 of the
 * width. */
typedef struct app_bar {
    const char *name, *value;
    double share;
    bool mark; /* in the second colour */
} app_bar;
void app_page_bars(app_page *page, const app_bar *bars, size_t count);

/* <img> with the picture as PNG inside, shown in so many CSS pixels, hard pixel edges
 * when enlarged. Fails for want of memory only. */
base_status app_page_picture(app_page *page, const data_image *image, int width, int height,
                             const char *caption, base_error *err);

/* A picture with the network's answers below it. */
typedef struct app_shot {
    const data_image *picture;
    const char *name;   /* of the sample */
    const char *answer; /* first answer */
    const char *truth;  /* NULL: unknown */
    bool right;         /* with truth: the answer is right */
    const app_bar *bars;
    size_t bar_count;
} app_shot;
/* Shots stand between these two: a grid as wide as the page. */
void app_page_shots_begin(app_page *page);
void app_page_shots_end(app_page *page);
base_status app_page_shot(app_page *page, const app_shot *shot, base_error *err);

/* ---- charts (chart.c), as SVG inside the page ---------------------------------------- */

/* Calibration of Guo et al. 2017: in bin b of count equal ones of the confidence 0..1,
 * total[b] samples of which right[b] were right, with confidences that add up to
 * confidence[b]. */
void app_chart_reliability(app_page *page, const uint64_t *total, const uint64_t *right,
                           const double *confidence, size_t count);
/* values [rows, columns] >= 0, coloured by their share of the row's sum; a square each.
 * Up to APP_CHART_NAMED rows carry names (NULL names: numbers) and figures, larger ones
 * are a picture. */
enum { APP_CHART_NAMED = 40 };
typedef struct app_heat {
    const uint64_t *values;
    size_t rows, columns;
    const char *const *row_names, *const *column_names; /* each may be NULL: numbers */
    const char *row_title, *column_title;
    const char *order; /* of a picture, in its caption; NULL: that of the class list */
    bool percent;      /* figures are per cent of the row in place of the values */
} app_heat;
base_status app_chart_heat(app_page *page, const app_heat *heat, base_error *err);
/* Loads of experts as columns with a line at their mean. */
void app_chart_columns(app_page *page, const double *values, size_t count,
                       const char *title);

#endif
