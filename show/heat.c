/* heat.c - a table of numbers as colours: squares with their figures, or, beyond 40 rows or
 * columns, a picture of a pixel a cell. Free to change: sizes and colours. Relied on
 * elsewhere: the scale of colours is the caller's or of the kind, never what the largest
 * value happens to be, but for counts. */
#include "show/plot_internal.h"

#include <math.h>
#include <string.h>

enum { NAMED = 40, LETTERS = 18, LETTER = 7, UNDER = 100, TOP = 24, NUMBERS_UNDER = 26 };

/* What a colour is made of: 0..1. */
static double *shares_of(const show_heat_map *h)
{
    double *share = base_alloc(h->rows * h->columns, sizeof *share);
    double top = h->high;

    for (size_t i = 0; share && i < h->rows * h->columns && !(h->high > 0); i++)
        top = fmax(top, h->percent ? 1 : h->values[i]);
    for (size_t r = 0; share && r < h->rows; r++) {
        const double *row = h->values + r * h->columns;
        double sum = 0;

        for (size_t c = 0; c < h->columns; c++)
            sum += row[c] > 0 ? row[c] : 0;
        for (size_t c = 0; c < h->columns; c++) {
            const double of = h->by_row ? sum : top;
            const double part = of > 0 && row[c] > 0 ? fmin(row[c] / of, 1) : 0;

            /* The root lifts the small values of a row, which are what one looks for. */
            share[r * h->columns + c] = h->by_row ? sqrt(part) : part;
        }
    }
    return share;
}

/* CSS pixels for a side of `cells`: as near to 600 as whole pixels a cell allow, 24 at most
 * each. */
static int side_of(size_t cells)
{
    return (int)(cells <= 25 ? 24 * cells : cells >= 600 ? cells : cells * (600 / cells));
}

static base_status heat_picture(show_page *page, const show_heat_map *h,
                                const double *share, base_error *err)
{
    static const int none[3] = {246, 248, 250}, all[3] = {18, 70, 130};
    data_image image = {0};
    base_status status = data_image_reserve(&image, h->columns, h->rows, 3, err);

    for (size_t i = 0; status == BASE_OK && i < h->rows * h->columns; i++)
        for (int c = 0; c < 3; c++)
            image.pixels[3 * i + (size_t)c] =
                (unsigned char)lround(none[c] + share[i] * (all[c] - none[c]));
    if (status == BASE_OK)
        status = show_page_picture(page, &image, side_of(h->columns), side_of(h->rows),
                                   "heat map", err);
    data_image_destroy(&image);
    return status;
}

/* A name of at most so many letters, cut between two of them. */
static void name_put(show_page *page, const char *name)
{
    char text[4 * LETTERS + 8];
    size_t letters = 0, cut = 0;

    for (; name[cut] && cut < sizeof text - 4; cut++) {
        letters += ((unsigned char)name[cut] & 0xc0) != 0x80;
        if (letters > LETTERS)
            break;
    }
    snprintf(text, sizeof text, "%.*s%s", (int)cut, name, name[cut] ? ".." : "");
    show_page_text(page, text);
}

static void cell_put(show_page *page, const show_heat_map *h, double value, double share,
                     int x, int y, int wide, int high)
{
    FILE *file = page->out.file;
    char text[32];

    fprintf(file,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" class=\"bar\" "
            "fill-opacity=\"%.3f\"/>",
            x, y, wide - 1, high - 1, 0.03 + 0.97 * share);
    if (!isfinite(value) || wide < 24 || (value == 0 && !h->percent))
        return;
    if (h->percent)
        snprintf(text, sizeof text, "%.0f", 100 * value);
    else
        snprintf(text, sizeof text, "%.4g", value);
    fprintf(file,
            "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" style=\"font-size:11px%s\">%s"
            "</text>",
            x + (wide - 1) / 2.0, y + high / 2 + 4,
            share > 0.55 ? ";fill:var(--paper)" : "", text);
}

static void column_names(show_page *page, const show_heat_map *h, int left, int y, int wide)
{
    for (size_t c = 0; c < h->columns; c++) {
        const int x = left + (int)c * wide + wide / 2;

        if (h->column_names) {
            fprintf(page->out.file, "<text transform=\"translate(%d %d) rotate(40)\">",
                    x - 4, y);
            name_put(page, h->column_names[c]);
            fputs("</text>\n", page->out.file);
        } else if (wide >= 24 || c % 8 == 0) {
            fprintf(
                page->out.file,
                "<text class=\"soft\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%zu</text>\n",
                x, y + 2, c);
        }
    }
}

/* The number in a cell: of shares of a row, its share. */
static double told_of(const show_heat_map *h, size_t row, size_t column)
{
    const double *values = h->values + row * h->columns;
    double sum = 0;

    if (!h->by_row || !h->percent)
        return values[column];
    for (size_t c = 0; c < h->columns; c++)
        sum += values[c] > 0 ? values[c] : 0;
    return sum > 0 ? values[column] / sum : (double)NAN;
}

static void heat_squares(show_page *page, const show_heat_map *h, const double *share)
{
    FILE *file = page->out.file;
    const size_t most = h->rows > h->columns ? h->rows : h->columns;
    const int wide = most <= 12 ? 42 : most <= 20 ? 30 : 18, high = wide > 30 ? 30 : wide;
    size_t letters = 6;

    for (size_t r = 0; h->row_names && r < h->rows; r++)
        if (strlen(h->row_names[r]) > letters)
            letters = strlen(h->row_names[r]) < LETTERS ? strlen(h->row_names[r]) : LETTERS;
    const int left = LETTER * (int)letters + 16;
    const int across = left + (int)h->columns * wide + (h->column_names ? 80 : 8);
    const int down = TOP + (int)h->rows * high + (h->column_names ? UNDER : NUMBERS_UNDER);

    fprintf(file,
            "<svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n<text class=\"soft\" "
            "x=\"%d\" y=\"13\">",
            across, down, across, left);
    show_page_text(page, h->column_title ? h->column_title : "");
    fputs("</text>\n", file);
    for (size_t r = 0; r < h->rows; r++) {
        const int y = TOP + (int)r * high;

        fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", left - 8,
                y + high / 2 + 4);
        name_put(page, h->row_names ? h->row_names[r] : "");
        fputs("</text>\n", file);
        for (size_t c = 0; c < h->columns; c++)
            cell_put(page, h, told_of(h, r, c), share[r * h->columns + c],
                     left + (int)c * wide, y, wide, high);
        fputc('\n', file);
    }
    column_names(page, h, left, TOP + (int)h->rows * high + 14, wide);
    fputs("</svg>", file);
}

base_status show_heat_draw(show_page *page, const show_heat_map *h, base_error *err)
{
    const bool large = h->rows > NAMED || h->columns > NAMED;
    double *share = shares_of(h);
    base_status status = BASE_OK;

    if (!share)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a heat map");
    fputs("<figure class=\"scroll\">", page->out.file);
    if (large)
        status = heat_picture(page, h, share, err);
    else
        heat_squares(page, h, share);
    fputs("<figcaption>", page->out.file);
    if (large && h->row_title && h->column_title) {
        fputs("down: ", page->out.file);
        show_page_text(page, h->row_title);
        fputs("; across: ", page->out.file);
        show_page_text(page, h->column_title);
        fputs(h->by_row ? "; colour by the root of the row's share. " : ". ",
              page->out.file);
    }
    show_page_text(page, h->title);
    fputs("</figcaption></figure>\n", page->out.file);
    base_free(share);
    return status;
}
