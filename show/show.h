/* show.h - results as other people's programs and eyes read them.
 *
 *     const float rows[2][3] = {{1, 2, 3}, {4, 5, 6}};
 *     base_error err = {0};
 *     show_npy npy;
 *     if (show_npy_open(&npy, "rows.npy", (size_t[]){3}, 1, &err) != BASE_OK)
 *         return app_fail(&err);
 *     base_status status = show_npy_append(&npy, rows[0], 2, &err);
 *     if (status == BASE_OK)
 *         status = show_npy_commit(&npy, &err);
 *     else
 *         show_npy_abandon(&npy);
 *     if (status != BASE_OK)
 *         return app_fail(&err);
 *
 * One at a time on one object; nothing is printed but into the file that is named. */
#ifndef SHOW_SHOW_H
#define SHOW_SHOW_H

#include <jansson.h>

#include "base/base.h"
#include "data/data.h"

/* ---- tables of numbers as NumPy files, of unknown length ----------------------------- */

enum { SHOW_NPY_RANK_MAX = 4 };

typedef struct show_npy {
    base_writer out;
    size_t row[SHOW_NPY_RANK_MAX]; /* shape of one row */
    int rank;                      /* of one row, 0..3; the file's is one more */
    size_t row_floats;
    size_t rows; /* written so far */
    bool whole;  /* int32 in place of float32 */
} show_npy;

/* Starts a file of shape [rows, row...]; the rows are counted as they come. On success
 * it must end in commit or abandon. path must be a file that can be written twice (no
 * pipe): the shape is at the front and known last. */
base_status show_npy_open(show_npy *npy, const char *path, const size_t *row, int rank,
                          base_error *err);
/* Adds rows [rows, row...]. On failure err names the file. */
base_status show_npy_append(show_npy *npy, const float *values, size_t rows,
                            base_error *err);
/* Writes the shape and puts the file in its place; closes in any case. */
base_status show_npy_commit(show_npy *npy, base_error *err);
/* A whole file of int32, shape [count]. */
base_status show_npy_whole_write(const char *path, const int32_t *values, size_t count,
                                 base_error *err);
/* Safe on a zeroed struct and after commit. */
void show_npy_abandon(show_npy *npy);

/* ---- documents --------------------------------------------------------------------------
 * A command's result is one JSON document; its pictures stand beside it under names that
 * the document cites. Tables, pages and CSV are views of it. */

typedef struct show_document show_document;

/* json becomes the document's own. NULL: no memory (or no json, which is then released).
 * The caller destroys it. */
show_document *show_document_create(json_t *json);
void show_document_destroy(show_document *document); /* NULL is allowed */
/* Borrowed; it may be added to. */
json_t *show_document_json(const show_document *document);
/* A copy of the picture under a name of its own. A name that nobody keeps a picture under
 * is left out by views. */
base_status show_document_picture(show_document *document, const char *key,
                                  const data_image *image, base_error *err);

/* Finite numbers as numbers, others as null; text that is no UTF-8 with \xNN. */
json_t *show_json_real(double value);
/* A list of numbers; reals: of values / over. */
json_t *show_json_counts(const uint64_t *values, size_t count);
json_t *show_json_reals(const double *values, size_t count, double over);
json_t *show_json_floats(const float *values, size_t count);
/* values [rows, columns] as a list of such lists. */
json_t *show_json_table(const uint64_t *values, size_t rows, size_t columns);
/* An object of every member of settings, choices by word, null for "auto". */
json_t *show_json_fields(const base_field *fields, const void *settings);
json_t *show_json_text(const char *text);
/* A member of an object: a value that becomes the object's own; a number, null where it is
 * not finite; a text, null for NULL. Cannot fail but for memory, which show_document_create
 * does not see: the member is not there. */
void show_put(json_t *json, const char *key, json_t *value);
void show_put_int(json_t *json, const char *key, int64_t value);
void show_put_count(json_t *json, const char *key, uint64_t value);
void show_put_real(json_t *json, const char *key, double value);
void show_put_bool(json_t *json, const char *key, bool value);
void show_put_text(json_t *json, const char *key, const char *text);
/* One more element of a list, as json_pack has it. */
void show_row(json_t *list, const char *format, ...);
/* One more sentence of a list. */
void show_fact(json_t *facts, const char *format, ...) BASE_PRINTF(2, 3);
/* What stands at a path ("paths" below), borrowed; NULL: nothing, or null. json may be
 * NULL. */
json_t *show_json_find(const json_t *json, const char *path);
double show_json_number(const json_t *json, const char *path);      /* NaN: no number */
const char *show_json_string(const json_t *json, const char *path); /* NULL: no text */

/* text with {path} in it ("texts" below) filled in from json; base_free. NULL: a value is
 * not there, or no memory. */
char *show_text(const json_t *json, const char *text);

/* ---- views: static tables ---------------------------------------------------------------
 * Paths. "threat.eps" follows names; "attacks[]" is every element of a list, or of an
 * object (@ is then its name, # its number); "points[main].attacks[]" takes the element
 * that the number "main" at the top means, [3] the fourth, [-1] the last, [#] the one with
 * the number of the row. In a row "." is the row itself, "^" what encloses it, "/" the top.
 * Texts. {path} in a title (also of a table's column or a card), note or caption is the
 * value there, {path:%} in the form of a kind: % percent, p per cent without the sign, n
 * count, d duration, b bytes, a amount; a digit after it counts the places behind the
 * point. {path|0} and {path:%|0} are 0 where there is no value. A text with a value that is
 * not there is left out, and so is a block whose path has nothing. */

typedef enum show_kind {
    SHOW_TEXT,     /* numbers are told in six digits, lists with ", " between */
    SHOW_COUNT,    /* 10,000 */
    SHOW_NUMBER,   /* four digits that count, or `digits` places */
    SHOW_PERCENT,  /* a share of 1 in per cent, two places */
    SHOW_DURATION, /* seconds as 1:43 */
    SHOW_BYTES,    /* 110.3 kB */
    SHOW_AMOUNT,   /* 1.234 G */
    SHOW_VERDICT   /* a text in the colour of PASS, WARN, FAIL */
} show_kind;

enum {
    SHOW_WHOLE = -1, /* digits: no place behind the point */
    SHOW_TERMINAL = 1,
    SHOW_PAGE = 2,
    SHOW_CSV = 4,
    SHOW_SVG = 8 /* of show_svg_write: lines only */
};

/* A value of a row. Columns end with {0}. One of a table or of cards is left out when its
 * title has a value that is not there. */
typedef struct show_column {
    const char *title, *path;
    show_kind kind;
    const char *low_high; /* [low, high] of 95 %: told beside the value, a band of a line */
    const char *spread;   /* told behind +- */
    const char *of;       /* a count: "3 of 10" */
    const char *note;     /* told below the value */
    const char *strong;   /* bold where it is true */
    const char
        *verdict;     /* colour: PASS, WARN, FAIL, or true for right and false for wrong */
    const char *mark; /* second colour of a bar where it is true */
    const char *join; /* between the values of a list; NULL: ", " */
    const char
        *fill;      /* a text with {path} in place of the value, or of each one of a list */
    int digits;     /* behind the point; 0: as the kind has it */
    bool dashed;    /* a line that is a control */
    bool bare;      /* per cent without the sign: the title has it */
    unsigned where; /* 0: wherever the block is */
} show_column;

typedef enum show_block_kind {
    SHOW_END,
    SHOW_CARDS,  /* figures that are read first; on a terminal a line each */
    SHOW_BANNER, /* path: {verdict, text, facts: [...]} */
    SHOW_TEXTS,  /* path: a text or a list of them; or note alone */
    SHOW_TABLE,  /* a row each */
    SHOW_BARS,   /* columns: name, share; then a second share behind it, pale */
    SHOW_LINES, /* points by rising x; a line for each column, the first for each value of `by` */
    SHOW_HEAT,     /* columns: name of the row, list of values; colours from 0 to `high` */
    SHOW_DOTS,     /* columns: name, list of values, mean; or points of a plane, with x */
    SHOW_PICTURES, /* a card each */
    SHOW_GROUP     /* inner blocks, whose paths begin at this one's */
} show_block_kind;

typedef enum show_style {
    SHOW_PLAIN = 1, /* cards: a table of two columns */
    SHOW_UPRIGHT,   /* bars: columns side by side, a colour each */
    SHOW_STACKED,   /* bars: one bar of parts */
    SHOW_ROW_SHARE, /* heat: colour by the share of the row's sum */
    SHOW_LOG,       /* lines: x by its logarithm */
    SHOW_ZERO       /* lines: y from 0 */
} show_style;

typedef struct show_block {
    show_block_kind kind;
    unsigned where;           /* 0: page and, but for figures, terminal */
    const char *title, *note; /* heading, and a sentence below it */
    const char *path;         /* what it is of */
    const char *also;    /* what comes after it: a sum below rows, rows below a first one */
    const char *each;    /* the block once for each of these, its path from there */
    const char *caption; /* of a figure; of each one of a group */
    const show_column *columns;
    const struct show_block *inner; /* of a group */
    show_style style;
    const char *order; /* number of a row to sort by, rising; "-path": falling */
    size_t most;       /* rows shown at most; 0: all */
    const char *more;  /* of a terminal's table that was cut: "and 12 more: MORE" */
    size_t least;      /* rows below which it is not shown */
    bool beside;       /* stands beside the block before */
    bool open;         /* group with a caption: the last one is unfolded */
    /* of figures */
    const char *x, *x_name, *x_title, *y_title;
    const char *
        by; /* lines: name of the line that a point is of; dots of a plane: number of the group */
    const char *names; /* list of names: of columns of a heat map, of groups */
    const char *cells; /* heat: row, column, count, row, ... in place of rows */
    double low,
        high;  /* of y or of colours; both 0: as the values have it (shares: 0 to 1) */
    bool mean; /* bars: a line at the mean */
    /* of pictures */
    const char *picture; /* name of a picture, or a list of {picture, caption, told} */
    const char *below;   /* a second list, below the first */
    const char *bars;    /* the first five: title or name, probability, mark */
    int wide;            /* a row of the page each, twice its size up to so many pixels */
} show_block;

/* title and lead may hold {path}. */
typedef struct show_view {
    const char *title, *lead;
    const show_block *blocks; /* end with {0} */
} show_view;

/* One HTML file that needs nothing else. */
base_status show_page_write(const show_document *document, const show_view *view,
                            const char *path, base_error *err);
/* What of the view is for SVG: figures of lines below one another, each with the last value
 * of its lines; for any viewer, so in light colours only. */
base_status show_svg_write(const show_document *document, const show_view *view,
                           const char *path, base_error *err);
/* What of the view is for a terminal, 80 characters wide. */
base_status show_print_terminal(FILE *out, const show_document *document,
                                const show_view *view, base_error *err);
/* The table among the view's blocks that is for CSV, the first one with this path; RFC
 * 4180. */
base_status show_csv_write(const show_document *document, const show_view *view,
                           const char *block_path, const char *path, base_error *err);
/* Line by line, for those who print as they measure: names of columns, and of the row at a
 * path of the document their values. columns, with commas between: "NAME", the row's value
 * of that name, or "NAME TEXT" with {path} in it, empty where a value is not there. */
void show_csv_head(FILE *out, const char *columns);
base_status show_csv_row(FILE *out, const char *columns, const show_document *document,
                         const char *path, base_error *err);
enum { SHOW_CSV_COLUMNS_MAX = 16 };
/* The whole numbers of some columns, by name, of a CSV without quotes: *cells [rows,
 * columns] (base_free). *rows 0: the file has not all of the columns. BASE_FORMAT names a
 * line that is damaged. On failure *cells is NULL. */
base_status show_csv_read(int64_t **cells, size_t *rows, const char *path,
                          const char *const *names, size_t columns, base_error *err);
/* A field: quoted where it must be, on one line; = + - @ in front are disarmed with '. */
void show_csv_text(FILE *out, const char *text);
/* A number, nothing when it is not finite. */
void show_csv_number(FILE *out, double value);

/* ---- pictures of pictures ------------------------------------------------------------ */

enum { SHOW_LABEL_WIDE = 6, SHOW_LABEL_HIGH = 9 }; /* a letter's cell in dots */

/* Draws text into a picture, its top left corner at (left, top), a dot `scale` pixels wide,
 * in one grey; what lies outside is left out. Letters (as small ones), figures and - . , :
 * ; / ( ) % are drawn, all else is a blank. */
void show_label_draw(data_image *image, const char *text, size_t left, size_t top,
                     size_t scale, unsigned char grey);
/* Copies picture into sheet, which has as many channels and room for it at (left, top). */
void show_image_put(data_image *sheet, const data_image *picture, size_t left, size_t top);
/* image at its proportions in the middle of a square of paper, side x side. */
base_status show_image_fit(data_image *out, const data_image *image, size_t side,
                           unsigned char paper, data_scratch *scratch, base_error *err);

/* text in lines of at most `wide` characters, broken between words, each with the indent in
 * front but the first, and the end of the line. */
void show_wrapped(FILE *out, const char *text, size_t wide, const char *indent);
/* "10,000"; "0.8 s", "41 s", "1:43", "2:03:11"; "110.3 kB". Each returns out. */
const char *show_thousands(char *out, size_t out_bytes, uint64_t value);
const char *show_duration(char *out, size_t out_bytes, double seconds);
const char *show_bytes(char *out, size_t out_bytes, double bytes);

#endif
