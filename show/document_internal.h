/* document_internal.h - how views find their way through a document: places, paths, rows,
 * and the memory of one rendering. */
#ifndef SHOW_DOCUMENT_INTERNAL_H
#define SHOW_DOCUMENT_INTERNAL_H

#include "show/page_internal.h"
#include "show/show.h"

/* A value and where it stands. What is null or missing has value NULL, number NaN and text
 * NULL. */
typedef struct show_at {
    const json_t *value;
    double number;    /* of a number, 0 or 1 of a boolean */
    const char *text; /* of a string */
    const struct show_at *up;
    const json_t *root;
    const char *key; /* of the member that this is, NULL: of a list */
    size_t index;    /* in its list or object */
} show_at;

typedef struct show_rows {
    show_at *at;
    size_t count;
} show_rows;

/* One rendering: where to, and memory that ends with it. The first failure stays and the
 * rest does nothing. */
typedef struct show_render {
    const show_document *document;
    unsigned where; /* SHOW_PAGE, SHOW_TERMINAL, SHOW_CSV or SHOW_SVG */
    show_page *page;
    FILE *out; /* of the page, too */
    int down;  /* SHOW_SVG: pixels that are drawn */
    struct show_chunk *chunks;
    base_status status;
    base_error *err;
} show_render;

struct show_chunk {
    struct show_chunk *next;
};

/* Zeroed memory until show_render_end; NULL: there is none, and the rendering has
 * failed. */
void *show_take(show_render *r, size_t count, size_t bytes_each);
/* printf into such memory; "" when there is none. */
const char *show_print(show_render *r, const char *format, ...) BASE_PRINTF(2, 3);
void show_render_end(show_render *r);

show_at show_root(const show_document *document);
/* The value at the end of a path that names one (show.h, "paths"). up: at, borrowed. */
show_at show_find(const show_at *at, const char *path);
/* All values of a path with [] parts, in order; of one without, the one there is. */
show_rows show_all(show_render *r, const show_at *at, const char *path);
/* The numbers of a list; false: it is no list. */
bool show_numbers(show_render *r, double **out, size_t *count, const show_at *list);
/* The picture of that name, NULL: the document has none. */
const struct show_picture *show_picture_of(const show_document *document, const char *key);

struct show_picture {
    char *key;
    unsigned char *png;
    size_t bytes, width, height;
};

/* ---- texts (text.c) ------------------------------------------------------------------ */

/* text with {path} and {path:kind} filled in; NULL for NULL and where a value is
 * missing. */
const char *show_fill(show_render *r, const show_at *at, const char *text);
/* The value of a column as text, "" when it is not there; without interval and note. */
const char *show_value_text(show_render *r, const show_at *row, const show_column *column);
/* "95 %: 76.1 to 79.8" without its head, "" when there is none. */
const char *show_interval_text(show_render *r, const show_at *row,
                               const show_column *column);
/* Whether the path names true. */
bool show_is(const show_at *row, const char *path);
/* "pass", "warn", "fail", "skipped", "right", "wrong" of a verdict's path; "". */
const char *show_verdict_class(const show_at *row, const char *path);
/* Whether a column's values stand at the right. */
bool show_is_number(const show_column *column);
/* Characters of UTF-8 text. */
size_t show_letters(const char *text);

/* ---- blocks (view.c, table.c, figure.c) ---------------------------------------------- */

void show_table_put(show_render *r, const show_block *block, const show_at *at,
                    const show_rows *rows);
void show_cards_put(show_render *r, const show_block *block, const show_at *at);
void show_figure_put(show_render *r, const show_block *block, const show_at *at,
                     const show_rows *rows);
void show_pictures_put(show_render *r, const show_block *block, const show_rows *rows);

#endif
