/* chart.c - a table of counts as a heat map in SVG; the page of vmoe vae is its last user.
 * Free to change: sizes and colours. Relied on elsewhere: a chart of nothing draws empty
 * axes. */
#include "show/page_internal.h"

#include <math.h>
#include <string.h>

/* The sum of one row, at least 1. */
static double row_sum(const show_heat *heat, size_t row)
{
    double sum = 0;

    for (size_t c = 0; c < heat->columns; c++)
        sum += (double)heat->values[row * heat->columns + c];
    return sum > 0 ? sum : 1;
}

/* CSS pixels for a side of `cells`: as near to 600 as whole pixels a cell allow, 24 at
 * most each. */
static int side_of(size_t cells)
{
    return (int)(cells <= 25 ? 24 * cells : cells >= 600 ? cells : cells * (600 / cells));
}

/* A table too large for figures: a picture of one pixel a cell, white to blue. */
static base_status heat_picture(show_page *page, const show_heat *heat, base_error *err)
{
    static const int none[3] = {246, 248, 250}, all[3] = {18, 70, 130};
    data_image image = {0};
    base_status status = data_image_reserve(&image, heat->columns, heat->rows, 3, err);

    for (size_t r = 0; status == BASE_OK && r < heat->rows; r++) {
        const double sum = row_sum(heat, r);

        for (size_t c = 0; c < heat->columns; c++) {
            /* The root lifts the small values, which are what one looks for here. */
            const double share = sqrt((double)heat->values[r * heat->columns + c] / sum);
            unsigned char *out = image.pixels + 3 * (r * heat->columns + c);

            for (int i = 0; i < 3; i++)
                out[i] = (unsigned char)lround(none[i] + share * (all[i] - none[i]));
        }
    }
    if (status == BASE_OK) {
        fputs("<figure>", page->out.file);
        status = show_page_picture(page, &image, side_of(heat->columns),
                                   side_of(heat->rows), "heat map", err);
        fputs("<figcaption>down: ", page->out.file);
        show_page_text(page, heat->row_title);
        fputs("; across: ", page->out.file);
        show_page_text(page, heat->column_title);
        fprintf(page->out.file,
                "; %s, colour by the root of the row's share</figcaption></figure>\n",
                heat->order ? heat->order : "both in the order of the class list");
    }
    data_image_destroy(&image);
    return status;
}

static void name_put(show_page *page, const char *const *names, size_t i, size_t most)
{
    char text[96];

    if (!names || !names[i]) {
        fprintf(page->out.file, "%zu", i);
        return;
    }
    const size_t length = strlen(names[i]);
    size_t cut = length <= most ? length : most;
    while (cut > 0 && cut < length && ((unsigned char)names[i][cut] & 0xc0) == 0x80)
        cut--; /* not in the middle of a character */
    snprintf(text, sizeof text, "%.*s%s", (int)cut, names[i], cut < length ? ".." : "");
    show_page_text(page, text);
}

enum { HEAT_LEFT = 130, HEAT_UNDER = 96, HEAT_TOP = 22 };

/* Name, squares and figures of one row, `cell` units high. */
static void heat_row(show_page *page, const show_heat *heat, size_t row, int cell)
{
    FILE *file = page->out.file;
    const double sum = row_sum(heat, row);
    const int y = HEAT_TOP + (int)row * cell;

    fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", HEAT_LEFT - 8,
            y + cell / 2 + 4);
    name_put(page, heat->row_names, row, 18);
    fputs("</text>\n", file);
    for (size_t c = 0; c < heat->columns; c++) {
        const unsigned long long n = heat->values[row * heat->columns + c];
        const int x = HEAT_LEFT + (int)c * cell;
        const double share = (double)n / sum;

        fprintf(file,
                "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" class=\"bar\" "
                "fill-opacity=\"%.3f\"/>",
                x, y, cell - 1, cell - 1, 0.03 + 0.97 * sqrt(share));
        if (n > 0 && cell >= 30)
            fprintf(file,
                    "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" "
                    "style=\"font-size:11px%s\">%llu</text>",
                    x + (cell - 1) / 2.0, y + cell / 2 + 4,
                    share > 0.3 ? ";fill:var(--paper)" : "",
                    heat->percent ? (unsigned long long)llround(100 * share) : n);
        fputc('\n', file);
    }
}

base_status show_chart_heat(show_page *page, const show_heat *heat, base_error *err)
{
    FILE *file = page->out.file;
    const size_t most = heat->rows > heat->columns ? heat->rows : heat->columns;

    if (most > SHOW_CHART_NAMED)
        return heat_picture(page, heat, err);
    const int cell = most <= 12 ? 42 : most <= 20 ? 30 : 18;
    const int wide = HEAT_LEFT + (int)heat->columns * cell + 50;
    const int under = heat->column_names ? HEAT_UNDER : 24;
    const int high = HEAT_TOP + (int)heat->rows * cell + under;

    fprintf(file, "<figure><svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n", wide,
            high, wide);
    fprintf(file, "<text class=\"soft\" x=\"%d\" y=\"13\">across: ", HEAT_LEFT);
    show_page_text(page, heat->column_title);
    fputs(", down: ", file);
    show_page_text(page, heat->row_title);
    fputs("</text>\n", file);
    for (size_t r = 0; r < heat->rows; r++)
        heat_row(page, heat, r, cell);
    for (size_t c = 0; c < heat->columns; c++) {
        const int x = HEAT_LEFT + (int)c * cell + cell / 2;
        const int y = HEAT_TOP + (int)heat->rows * cell + 14;

        if (heat->column_names)
            fprintf(file, "<text transform=\"translate(%d %d) rotate(40)\">", x - 4, y);
        else
            fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", x, y + 2);
        name_put(page, heat->column_names, c, 18);
        fputs("</text>\n", file);
    }
    fputs("</svg></figure>\n", file);
    return BASE_OK;
}
