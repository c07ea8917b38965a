/* page_internal.h - pages of results: one HTML file that needs nothing else (no network,
 * no scripts, pictures inside), light or dark as the reader's system asks.
 *
 *     show_page page;
 *     if (show_page_open(&page, "eval.html", "vmoe eval", "m on d", &err) == BASE_OK) {
 *         show_page_section(&page, "Accuracy", NULL);
 *         show_page_cards(&page, cards, 3);
 *         status = show_page_commit(&page, &err);
 *     }
 * Everything but open, picture and commit cannot fail: a full disk shows at commit. All
 * texts are escaped, whatever a class or a file is called. */
#ifndef SHOW_PAGE_INTERNAL_H
#define SHOW_PAGE_INTERNAL_H

#include "base/base.h"
#include "data/data.h"

typedef struct show_page {
    base_writer out; /* out.file: write HTML of your own here */
} show_page;

/* The head of the page with its styles, a heading and a line below it. On success page
 * must end in commit or abandon. */
base_status show_page_open(show_page *page, const char *path, const char *title,
                           const char *lead, base_error *err);
/* The end of the page with the program's version; the file appears. Closes in any case. */
base_status show_page_commit(show_page *page, base_error *err);
void show_page_abandon(show_page *page);

/* A heading of the second rank and a sentence that explains what follows (NULL: none). */
void show_page_section(show_page *page, const char *heading, const char *note);
/* A pale sentence of its own. */
void show_page_note(show_page *page, const char *note);
/* text with & < > " ' escaped; bytes that are no UTF-8 as \xNN. */
void show_page_text(show_page *page, const char *text);

/* A figure that is read first: "top-1", "91.2 %", "of 10,000 images". */
typedef struct show_card {
    const char *label, *value, *note; /* note may be NULL */
} show_card;
void show_page_cards(show_page *page, const show_card *cards, size_t count);

/* Bars below one another, each with its name and its value as text; share in 0..1 of the
 * width. */
typedef struct show_bar {
    const char *name, *value;
    double share;
    bool mark;   /* in the second colour */
    double pale; /* a second share, pale behind the first; 0: none */
} show_bar;
void show_page_bars(show_page *page, const show_bar *bars, size_t count);

/* <img> with the picture as PNG inside, shown in so many CSS pixels, hard pixel edges
 * when enlarged. Fails for want of memory only. */
base_status show_page_picture(show_page *page, const data_image *image, int width,
                              int height, const char *caption, base_error *err);

/* The same of a picture that is PNG already; wide: its own pixels. */
void show_page_png(show_page *page, const unsigned char *png, size_t bytes, size_t wide,
                   int width, int height, const char *caption);

/* A picture with the network's answers below it. */
typedef struct show_shot {
    const data_image *picture;
    const char *name;   /* of the sample */
    const char *answer; /* first answer */
    const char *truth;  /* NULL: unknown */
    bool right;         /* with truth: the answer is right */
    const show_bar *bars;
    size_t bar_count;
} show_shot;
/* Shots stand between these two: a grid as wide as the page. */
void show_page_shots_begin(show_page *page);
void show_page_shots_end(show_page *page);
base_status show_page_shot(show_page *page, const show_shot *shot, base_error *err);

/* ---- charts (chart.c), as SVG inside the page ---------------------------------------- */

/* values [rows, columns] >= 0, coloured by their share of the row's sum; a square each.
 * Up to SHOW_CHART_NAMED rows carry names (NULL names: numbers) and figures, larger ones
 * are a picture. */
enum { SHOW_CHART_NAMED = 40 };
typedef struct show_heat {
    const uint64_t *values;
    size_t rows, columns;
    const char *const *row_names, *const *column_names; /* each may be NULL: numbers */
    const char *row_title, *column_title;
    const char *order; /* of a picture, in its caption; NULL: that of the class list */
    bool percent;      /* figures are per cent of the row in place of the values */
} show_heat;
base_status show_chart_heat(show_page *page, const show_heat *heat, base_error *err);

#endif
