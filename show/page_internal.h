/* page_internal.h - pages of results: one HTML file that needs nothing else (no network,
 * no scripts, pictures inside), light or dark as the reader's system asks.
 *
 *     show_page page;
 *     if (show_page_open(&page, "eval.html", "vmoe eval", "m on d", &err) == BASE_OK) {
 *         show_page_section(&page, "Accuracy", NULL);
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

#endif
