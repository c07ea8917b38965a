/* plot.c - the charts of reports, as SVG. Free to change: all that a reader sees. Relied on
 * elsewhere: nothing but numbers is written unescaped. */
#include "show/plot_internal.h"

#include <math.h>
#include <string.h>

/* ---- lines --------------------------------------------------------------------------- */

enum {
    TITLE = 18, /* of the vertical axis, clear of its labels */
    LETTER = 7,
    TOP = 12,
    RIGHT = 30,
    UNDER = 44,
    TICKS_MOST = 12 /* a span of a few units in the last place has no end of them */
};

typedef struct frame {
    FILE *file;
    const show_axes *axes;
    double x_low, x_high;
    int left; /* of the plot: room for the title and the longest label, minus sign included */
} frame;

static double place_x(const frame *f, double x)
{
    const double span = f->x_high > f->x_low ? f->x_high - f->x_low : 1;

    return f->left + (x - f->x_low) / span * f->axes->width;
}

static double place_y(const frame *f, double y)
{
    const double span = f->axes->y_high - f->axes->y_low;
    const double share = span > 0 ? (y - f->axes->y_low) / span : 0.5;

    return TOP + f->axes->height * (1 - fmin(fmax(share, 0), 1));
}

double show_nice_step(double span)
{
    static const double steps[] = {1, 2, 2.5, 5};
    const double rough = span / 5, power = pow(10, floor(log10(rough > 0 ? rough : 1)));

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (steps[i] * power >= rough)
            return steps[i] * power;
    return 10 * power;
}

/* 0.25, 5000, 40 M. */
static void number_label(char out[32], double value)
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    size_t unit = 0;

    for (; unit < 4 && fabs(value) >= (unit ? 1e3 : 1e4); unit++)
        value /= 1000;
    snprintf(out, 32, "%.4g%s", value, units[unit]);
}

/* The label of tick i of the vertical axis and its place; false: there is none. */
static bool y_tick(char out[32], double *y, const show_axes *axes, int i)
{
    const double step = show_nice_step(axes->y_high - axes->y_low);

    *y = (ceil(axes->y_low / step - 1e-9) + i) * step + 0.0; /* never -0 */
    if (*y > axes->y_high + step * 1e-9)
        return false;
    if (axes->percent)
        snprintf(out, 32, "%.4g %%", 100 * *y);
    else
        number_label(out, fabs(*y) < step * 1e-6 ? 0 : *y);
    return true;
}

/* Room on the left for the title and the longest label. */
static int left_of(const show_axes *axes)
{
    char label[32];
    size_t letters = 3;
    double y;

    for (int i = 0; i < TICKS_MOST && y_tick(label, &y, axes, i); i++)
        if (strlen(label) > letters)
            letters = strlen(label);
    return TITLE + 8 + LETTER * (int)letters;
}

static void y_axis(show_page *page, const frame *f)
{
    const show_axes *axes = f->axes;
    char label[32];
    double y;

    for (int i = 0; i < TICKS_MOST && y_tick(label, &y, axes, i); i++) {
        const double at = place_y(f, y);

        fprintf(f->file,
                "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text class=\"soft\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                f->left, f->left + axes->width, at, at, f->left - 6, at + 4, label);
    }
    fprintf(f->file,
            "<text class=\"soft\" transform=\"rotate(-90)\" x=\"%d\" y=\"11\" "
            "text-anchor=\"middle\">",
            -(TOP + axes->height / 2));
    show_page_text(page, axes->y_title);
    fputs("</text>\n", f->file);
}

static void x_axis(show_page *page, const frame *f)
{
    const show_axes *axes = f->axes;
    const int y = TOP + axes->height;
    const double step = show_nice_step(f->x_high - f->x_low);
    const double first = ceil(f->x_low / step - 1e-9) * step;
    char label[32];
    double room = -1e9;

    for (size_t i = 0; i < axes->tick_count; i++) {
        const double x = place_x(f, axes->ticks[i]);

        if (axes->ticks[i] < f->x_low || axes->ticks[i] > f->x_high)
            continue; /* of a point that no line has */
        fprintf(f->file,
                "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x,
                y, y + 4);
        if (x - room < 9.0 * (double)strlen(axes->tick_names[i]))
            continue; /* names would touch */
        room = x;
        fprintf(f->file, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
                x, y + 18);
        show_page_text(page, axes->tick_names[i]);
        fputs("</text>\n", f->file);
    }
    for (int i = 0; axes->tick_count == 0 && i < TICKS_MOST; i++) {
        const double x = first + i * step + 0.0; /* never -0 */

        if (x > f->x_high + step * 1e-9)
            break;
        number_label(label, x);
        fprintf(
            f->file,
            "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
            place_x(f, x), y + 18, label);
    }
    fprintf(f->file, "<text class=\"soft\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
            f->left + axes->width / 2, y + 36);
    show_page_text(page, axes->x_title);
    fputs("</text>\n", f->file);
}

static void band(const frame *f, const show_line *line)
{
    fprintf(f->file, "<polygon class=\"band c%d\" points=\"", line->colour);
    for (size_t i = 0; i < line->count; i++)
        fprintf(f->file, "%.1f,%.1f ", place_x(f, line->x[i]), place_y(f, line->high[i]));
    for (size_t i = line->count; i-- > 0;)
        fprintf(f->file, "%.1f,%.1f ", place_x(f, line->x[i]), place_y(f, line->low[i]));
    fputs("\"/>\n", f->file);
}

static void line_draw(show_page *page, const frame *f, const show_line *line, bool dots)
{
    bool pen = false;

    fprintf(f->file, "<path class=\"line c%d%s\" d=\"", line->colour,
            line->dashed ? " dash" : "");
    for (size_t i = 0; i < line->count; i++) {
        if (!isfinite(line->y[i])) {
            pen = false;
            continue;
        }
        fprintf(f->file, "%c%.1f %.1f", pen ? 'L' : 'M', place_x(f, line->x[i]),
                place_y(f, line->y[i]));
        pen = true;
    }
    fputs("\"/>\n", f->file);
    for (size_t i = 0; i < line->count && dots; i++) {
        if (!isfinite(line->y[i]))
            continue;
        fprintf(f->file,
                "<circle class=\"dot c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>",
                line->colour, place_x(f, line->x[i]), place_y(f, line->y[i]));
        show_page_text(page, line->name);
        fprintf(f->file, f->axes->percent ? ": %.2f %%" : ": %.4g",
                f->axes->percent ? 100 * line->y[i] : line->y[i]);
        fputs("</title></circle>\n", f->file);
    }
}

static frame frame_of(FILE *file, const show_line *lines, size_t count,
                      const show_axes *axes)
{
    frame f = {.file = file,
               .axes = axes,
               .x_low = INFINITY,
               .x_high = -INFINITY,
               .left = left_of(axes)};

    for (size_t l = 0; l < count; l++) {
        for (size_t i = 0; i < lines[l].count; i++) {
            f.x_low = fmin(f.x_low, lines[l].x[i]);
            f.x_high = fmax(f.x_high, lines[l].x[i]);
        }
    }
    if (!(f.x_high >= f.x_low))
        f.x_low = f.x_high = 0;
    return f;
}

/* Axes, bands and lines. */
static void frame_fill(show_page *page, const frame *f, const show_line *lines,
                       size_t count)
{
    y_axis(page, f);
    x_axis(page, f);
    for (size_t l = 0; l < count; l++)
        if (lines[l].low && lines[l].high && lines[l].count > 1)
            band(f, &lines[l]);
    for (size_t l = count; l-- > 0;) /* the first on top */
        line_draw(page, f, &lines[l], lines[l].count <= 24);
}

void show_plot_lines(show_page *page, const show_line *lines, size_t count,
                     const show_axes *axes)
{
    FILE *file = page->out.file;
    const frame f = frame_of(file, lines, count, axes);
    const int wide = f.left + axes->width + RIGHT, high = TOP + axes->height + UNDER;

    fputs("<figure>", file);
    if (axes->title) {
        fputs("<figcaption><b>", file);
        show_page_text(page, axes->title);
        fputs("</b></figcaption>", file);
    }
    fprintf(file, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" aria-label=\"",
            wide, high, wide);
    show_page_text(page, axes->title ? axes->title : axes->y_title);
    fputs(" over ", file);
    show_page_text(page, axes->x_title);
    fputs("\">\n", file);
    frame_fill(page, &f, lines, count);
    fputs("</svg>", file);
    if (!axes->unnamed && (count > 1 || (count == 1 && lines[0].name[0]))) {
        fputs("<figcaption class=\"legend\">", file);
        for (size_t l = 0; l < count; l++) {
            fprintf(file, "<span><i class=\"key c%d%s\"></i>", lines[l].colour,
                    lines[l].dashed ? " dash" : "");
            show_page_text(page, lines[l].name);
            fputs("</span>", file);
        }
        fputs("</figcaption>", file);
    }
    fputs("</figure>\n", file);
}

/* ---- the same as a file of its own --------------------------------------------------- */

enum { SVG_WIDE = 900, SVG_LEGEND = 180, SVG_ROW = 16, SVG_HEAD = 26 };

void show_plot_svg_begin(show_page *page, int high)
{
    /* The page's colours in light, by name nowhere: not every viewer knows variables. */
    static const char *const colours[SHOW_PLOT_COLOURS] = {"#2b6cb0", "#d97a1f", "#8a5fbf",
                                                           "#2a9d8f", "#c2577f", "#8d8423",
                                                           "#5b6b7c", "#b5543a"};
    FILE *file = page->out.file;

    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\">\n<style>text{font:12px sans-serif;fill:#1d2733}"
            ".soft{fill:#667384}.title{font-size:15px;font-weight:600}.grid{stroke:#dde3ea}"
            ".line{fill:none;stroke-width:2;stroke-linejoin:round}"
            ".dash{stroke-dasharray:5 4}.band{fill-opacity:.15}",
            SVG_WIDE, high, SVG_WIDE, high);
    for (int i = 0; i < SHOW_PLOT_COLOURS; i++)
        fprintf(file, ".line.c%d{stroke:%s}.dot.c%d,.band.c%d{fill:%s}", i, colours[i], i,
                i, colours[i]);
    fputs("</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n", file);
}

int show_plot_svg_lines(show_page *page, const show_line *lines, size_t count,
                        const show_axes *axes, int top)
{
    FILE *file = page->out.file;
    show_axes own = *axes;

    own.width = SVG_WIDE - SVG_LEGEND - left_of(axes);
    const frame f = frame_of(file, lines, count, &own);
    const int legend = TOP + SVG_ROW * (int)count, plot = TOP + own.height + UNDER;
    const int high = legend > plot ? legend : plot;
    fprintf(file, "<text class=\"title\" x=\"%d\" y=\"%d\">", f.left, top + SVG_HEAD - 6);
    show_page_text(page, own.title ? own.title : own.y_title);
    fprintf(file, "</text>\n<svg y=\"%d\" width=\"%d\" height=\"%d\">\n", top + SVG_HEAD,
            SVG_WIDE, high);
    frame_fill(page, &f, lines, count);
    for (size_t l = 0; l < count; l++) {
        const double last = lines[l].count > 0 ? lines[l].y[lines[l].count - 1] : 0;
        const int x = SVG_WIDE - SVG_LEGEND + 12, y = TOP + 8 + SVG_ROW * (int)l;

        fprintf(file,
                "<line class=\"line c%d%s\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>"
                "<text x=\"%d\" y=\"%d\">",
                lines[l].colour, lines[l].dashed ? " dash" : "", x, x + 18, y, y, x + 24,
                y + 4);
        show_page_text(page, lines[l].name);
        fprintf(file, own.percent ? " %.2f %%" : " %.4g", own.percent ? 100 * last : last);
        fputs("</text>\n", file);
    }
    fputs("</svg>\n", file);
    return SVG_HEAD + high;
}

/* ---- rows of dots -------------------------------------------------------------------- */

/* What all values, means and bars lie between, with a margin. */
static void dots_span(double *low, double *high, const show_dots *rows, size_t count)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t r = 0; r < count; r++) {
        const double bar = isfinite(rows[r].std) ? rows[r].std : 0;
        *low = fmin(*low, rows[r].mean - bar); /* fmin and fmax pass over NaN */
        *high = fmax(*high, rows[r].mean + bar);
        for (size_t i = 0; i < rows[r].count; i++) {
            *low = fmin(*low, rows[r].values[i]);
            *high = fmax(*high, rows[r].values[i]);
        }
    }
    if (!(*high >= *low))
        *low = *high = 0;
    const double margin =
        *high > *low ? 0.06 * (*high - *low) : fmax(fabs(*high) * 0.1, 0.01);
    *low -= margin;
    *high += margin;
}

void show_plot_dots(show_page *page, const show_dots *rows, size_t count, const char *title,
                    bool percent)
{
    enum { ROW = 22, WIDE = 250, EDGE = 14, FOOT = 24, NAME_LETTER = 8, NAMES_MOST = 200 };
    FILE *file = page->out.file;
    const double scale = percent ? 100 : 1;
    double low, high;
    size_t letters = 4;

    for (size_t r = 0; r < count; r++)
        if (strlen(rows[r].name) > letters)
            letters = strlen(rows[r].name);
    const int names = NAME_LETTER * (int)letters + 10 < NAMES_MOST
                          ? NAME_LETTER * (int)letters + 10
                          : NAMES_MOST;
    const int across = names + WIDE + EDGE, down = 4 + ROW * (int)count + FOOT;
    dots_span(&low, &high, rows, count);
    const double step = show_nice_step(high - low), zoom = WIDE / (high - low);
    fputs("<figure><figcaption><b>", file);
    show_page_text(page, title);
    fprintf(file,
            "</b></figcaption><svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n",
            across, down, across);
    for (int i = 0; i < TICKS_MOST; i++) {
        const double x = (ceil(low / step - 1e-9) + i) * step,
                     at = names + (x - low) * zoom;
        if (x > high)
            break;
        fprintf(file,
                "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"2\" y2=\"%d\"/>"
                "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g%s"
                "</text>\n",
                at, at, down - FOOT + 4, at, down - 6,
                fabs(x) < step * 1e-6 ? 0 : scale * x, percent ? " %" : "");
    }
    for (size_t r = 0; r < count; r++) {
        const show_dots *d = &rows[r];
        const double y = 4 + ROW * ((double)r + 0.5);

        if (d->mark && isfinite(d->mean))
            fprintf(file,
                    "<line class=\"mid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"2\" y2=\"%d\"/>\n",
                    names + (d->mean - low) * zoom, names + (d->mean - low) * zoom,
                    down - FOOT + 4);
        fprintf(file, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\"%s>", names - 8, y + 4,
                (size_t)(NAMES_MOST - 10) / NAME_LETTER < strlen(d->name)
                    ? " textLength=\"186\" lengthAdjust=\"spacingAndGlyphs\""
                    : "");
        show_page_text(page, d->name);
        fprintf(file, "</text><g class=\"c%d\">", d->mark ? 1 : 0);
        if (isfinite(d->mean) && isfinite(d->std))
            fprintf(file,
                    "<line class=\"line\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" "
                    "stroke-opacity=\".45\" style=\"stroke-width:6\"/>",
                    names + (d->mean - d->std - low) * zoom,
                    names + (d->mean + d->std - low) * zoom, y, y);
        for (size_t i = 0; i < d->count; i++)
            if (isfinite(d->values[i]))
                fprintf(file,
                        "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\" "
                        "fill-opacity=\".75\"><title>%.4g%s</title></circle>",
                        names + (d->values[i] - low) * zoom, y, scale * d->values[i],
                        percent ? " %" : "");
        if (isfinite(d->mean))
            fprintf(
                file,
                "<line class=\"line\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                names + (d->mean - low) * zoom, names + (d->mean - low) * zoom, y - 7,
                y + 7);
        fputs("</g>\n", file);
    }
    fputs("</svg></figure>\n", file);
}

/* ---- columns side by side ------------------------------------------------------------ */

void show_plot_upright(show_page *page, const show_upright *u)
{
    enum { EDGE = 8, HIGH = 110, FOOT = 20, X_TITLE = 16 };
    FILE *file = page->out.file;
    const size_t all = u->count * u->series;
    const int wide = u->count <= 16 ? 26 : u->count <= 32 ? 16 : u->count <= 64 ? 9 : 4;
    const int across = 2 * EDGE + wide * (int)u->count;
    const double column = 0.84 * wide / (double)(u->series ? u->series : 1);
    double largest = 0, sum = 0, mean = 0;

    for (size_t i = 0; i < all; i++) {
        largest = fmax(largest, u->values[i]);
        sum += isfinite(u->values[i]) ? u->values[i] : 0;
    }
    if (u->mean && all > 0)
        mean = sum / (double)all;
    const double top = u->high > 0 ? u->high : fmax(fmax(largest, 1.5 * mean), 1e-12);
    fprintf(file, "<figure><svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n", across,
            EDGE + HIGH + FOOT + (u->x_title ? X_TITLE : 0), across);
    for (size_t i = 0; i < u->count; i++) {
        for (size_t s = 0; s < u->series; s++) {
            const double v = u->values[s * u->count + i];
            const double high = v > 0 ? fmin(v / top, 1) * HIGH : 0;
            const bool mark = u->series == 1 && v < 0.01 * mean;

            if (!isfinite(v))
                continue;
            fprintf(file,
                    "<rect class=\"c%zu\" x=\"%.1f\" width=\"%.1f\" y=\"%.2f\" "
                    "height=\"%.2f\"><title>",
                    mark ? 1 : s % SHOW_PLOT_COLOURS,
                    EDGE + wide * ((double)i + 0.08) + column * (double)s, column,
                    EDGE + HIGH - high, high);
            show_page_text(page, u->names[i]);
            fprintf(file, u->percent ? ": %.2f %%" : ": %.6g", u->percent ? 100 * v : v);
            fputs("</title></rect>", file);
        }
        if (wide * 2 >= 8 * (int)strlen(u->names[i]) && (wide >= 16 || i % 8 == 0)) {
            fprintf(file,
                    "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
                    EDGE + wide * ((double)i + 0.5), EDGE + HIGH + 15);
            show_page_text(page, u->names[i]);
            fputs("</text>", file);
        }
        fputc('\n', file);
    }
    if (u->mean)
        fprintf(file, "<line class=\"mid\" x1=\"%d\" x2=\"%d\" y1=\"%.2f\" y2=\"%.2f\"/>\n",
                EDGE, across - EDGE, EDGE + HIGH - mean / top * HIGH,
                EDGE + HIGH - mean / top * HIGH);
    fprintf(file, "<text class=\"soft\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
            across / 2, EDGE + HIGH + FOOT + 12);
    show_page_text(page, u->x_title ? u->x_title : "");
    fputs("</text></svg><figcaption>", file);
    show_page_text(page, u->title);
    for (size_t s = 0; s < u->series && u->series > 1; s++) {
        fprintf(file, " <i class=\"key c%zu\"></i>", s % SHOW_PLOT_COLOURS);
        show_page_text(page, u->titles[s]);
    }
    fputs("</figcaption></figure>\n", file);
}

/* ---- a bar of parts ------------------------------------------------------------------ */

static const char *part_class(char *out, size_t bytes, int colour)
{
    if (colour >= 0)
        snprintf(out, bytes, "c%d", colour);
    else
        snprintf(out, bytes, "%s", colour == -1 ? "grey" : "green");
    return out;
}

void show_plot_parts(show_page *page, const show_part *parts, size_t count)
{
    FILE *file = page->out.file;
    char colour[16];

    fputs("<div class=\"parts\">", file);
    for (size_t i = 0; i < count; i++) {
        if (!(parts[i].share > 0))
            continue;
        fprintf(file, "<i class=\"%s\" style=\"width:%.3f%%\" title=\"",
                part_class(colour, sizeof colour, parts[i].colour), 100 * parts[i].share);
        show_page_text(page, parts[i].name);
        fprintf(file, ": %.2f %%\"></i>", 100 * parts[i].share);
    }
    fputs("</div><p class=\"legend\">", file);
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "<span><i class=\"key %s\"></i>",
                part_class(colour, sizeof colour, parts[i].colour));
        show_page_text(page, parts[i].name);
        fprintf(file, " %.2f %%</span>", 100 * parts[i].share);
    }
    fputs("</p>\n", file);
}
