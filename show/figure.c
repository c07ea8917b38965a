/* figure.c - the figures of views: from the values of a document to the charts of plot.c,
 * heat.c and scatter.c; and cards with pictures. Free to change: which chart. Relied on
 * elsewhere: what is no number is left out. */
#include "show/document_internal.h"
#include "show/plot_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t columns_of(const show_block *block)
{
    size_t count = 0;

    while (block->columns[count].path)
        count++;
    return count;
}

static const char *caption_of(show_render *r, const show_block *block, const show_at *at)
{
    const char *caption = show_fill(r, at, block->caption);

    return caption ? caption : "";
}

/* The texts of a list of names by path; NULL: there is none. */
static const char **names_of(show_render *r, const show_at *at, const char *path,
                             size_t *count)
{
    const show_rows rows = path ? show_all(r, at, path) : (show_rows){0};
    const char **names = rows.count ? show_take(r, rows.count, sizeof *names) : NULL;
    const show_column itself = {.path = "."};

    for (size_t i = 0; names && i < rows.count; i++)
        names[i] = show_value_text(r, &rows.at[i], &itself);
    *count = rows.count;
    return names;
}

/* ---- bars ---------------------------------------------------------------------------- */

/* What a full bar stands for. */
static double bars_scale(const show_block *block, const show_rows *rows)
{
    double most = block->high;

    if (most > 0 || block->columns[1].kind == SHOW_PERCENT)
        return most > 0 ? most : 1;
    for (size_t i = 0; i < rows->count; i++)
        most = fmax(most, show_find(&rows->at[i], block->columns[1].path).number);
    return most > 0 ? most : 1;
}

/* One figure of its kind. */
static void bars_put(show_render *r, const show_block *block, const show_rows *rows)
{
    const show_column *c = block->columns;
    const double scale = bars_scale(block, rows);
    show_bar *bars = show_take(r, rows->count, sizeof *bars);
    size_t count = 0;

    for (size_t i = 0; bars && i < rows->count; i++) {
        const show_at *row = &rows->at[i];
        const double share = show_find(row, c[1].path).number;
        const double pale = c[2].path ? show_find(row, c[2].path).number : 0;
        const char *value = show_value_text(r, row, &c[1]),
                   *note = show_fill(r, row, c[1].note);

        if (!isfinite(share))
            continue;
        if (pale > 0)
            value = show_print(r, "%s \u2192 %s", show_value_text(r, row, &c[2]), value);
        if (note && *note)
            value = show_print(r, "%s, %s", value, note);
        bars[count++] = (show_bar){.name = show_value_text(r, row, &c[0]),
                                   .value = value,
                                   .share = share / scale,
                                   .mark = show_is(row, c[1].mark),
                                   .pale = pale / scale};
    }
    if (count > 0)
        show_page_bars(r->page, bars, count);
}

static void stacked_put(show_render *r, const show_block *block, const show_rows *rows)
{
    show_part *parts = show_take(r, rows->count, sizeof *parts);
    int colour = 1;

    for (size_t i = 0; parts && i < rows->count; i++) {
        const char *verdict = show_verdict_class(&rows->at[i], block->columns[1].verdict);
        const int own = strcmp(verdict, "skipped") == 0 ? -1
                        : strcmp(verdict, "pass") == 0  ? -2
                                                        : colour++ % SHOW_PLOT_COLOURS;

        parts[i] = (show_part){
            .name = show_value_text(r, &rows->at[i], &block->columns[0]),
            .share = fmax(show_find(&rows->at[i], block->columns[1].path).number, 0),
            .colour = own};
    }
    if (parts)
        show_plot_parts(r->page, parts, rows->count);
}

static void upright_put(show_render *r, const show_block *block, const show_at *at,
                        const show_rows *rows)
{
    const size_t series = columns_of(block) - 1;
    show_upright u = {.count = rows->count,
                      .series = series,
                      .mean = block->mean,
                      .percent = block->columns[1].kind == SHOW_PERCENT,
                      .high = block->high,
                      .title = caption_of(r, block, at),
                      .x_title = block->x_title};
    double *values = show_take(r, rows->count * series, sizeof *values);
    const char **names = show_take(r, rows->count, sizeof *names);
    const char **titles = show_take(r, series, sizeof *titles);

    if (!values || !names || !titles)
        return;
    for (size_t i = 0; i < rows->count; i++) {
        names[i] = show_value_text(r, &rows->at[i], &block->columns[0]);
        for (size_t s = 0; s < series; s++)
            values[s * rows->count + i] =
                show_find(&rows->at[i], block->columns[1 + s].path).number;
    }
    for (size_t s = 0; s < series; s++)
        titles[s] = block->columns[1 + s].title;
    u.values = values;
    u.names = names;
    u.titles = titles;
    show_plot_upright(r->page, &u);
}

/* ---- lines --------------------------------------------------------------------------- */

typedef struct lines {
    show_line *line;
    size_t count;
    const char **tried; /* names, drawn or not: a colour each */
    size_t tries;
    double low, high; /* of what is drawn */
} lines;

/* The first fiftieth of a long line does not stretch the axis: the loss of the first steps
 * would flatten all that follows. */
enum { LONG_LINE = 100, SETTLES = 50 };

/* A line from the rows whose name is `name` (NULL: all of them). */
static void line_add(show_render *r, lines *all, const show_block *block,
                     const show_column *c, const show_rows *rows, const char *name)
{
    double *x = show_take(r, rows->count, sizeof *x),
           *y = show_take(r, rows->count, sizeof *y);
    double *low = c->low_high ? show_take(r, rows->count, sizeof *low) : NULL;
    double *high = c->low_high ? show_take(r, rows->count, sizeof *high) : NULL;
    const show_column by = {.path = block->by};
    size_t count = 0, first = 0;

    if (!x || !y)
        return;
    const int number = (int)all->tries;
    all->tried[all->tries++] = name ? name : "";
    for (size_t i = 0; i < rows->count; i++) {
        const show_at *row = &rows->at[i];
        const double px = show_find(row, block->x).number,
                     py = show_find(row, c->path).number;
        const show_at ends = show_find(row, c->low_high);

        if (!isfinite(px) || !isfinite(py) ||
            (name && strcmp(show_value_text(r, row, &by), name) != 0))
            continue;
        first = count ? first : i;
        x[count] = block->style == SHOW_LOG ? log2(px) : px;
        y[count] = py;
        if (low && high) {
            const bool known = json_array_size(ends.value) == 2;
            low[count] = known ? json_number_value(json_array_get(ends.value, 0)) : py;
            high[count] = known ? json_number_value(json_array_get(ends.value, 1)) : py;
        }
        count++;
    }
    if (count == 0)
        return;
    for (size_t i = count > LONG_LINE ? count / SETTLES : 0; i < count; i++) {
        all->low = fmin(all->low, low && high ? fmin(y[i], low[i]) : y[i]);
        all->high = fmax(all->high, low && high ? fmax(y[i], high[i]) : y[i]);
    }
    all->line[all->count++] =
        (show_line){.name = name       ? name
                            : c->title ? c->title
                                       : "",
                    .x = x,
                    .y = y,
                    .low = low,
                    .high = high,
                    .count = count,
                    .colour = number % SHOW_PLOT_COLOURS,
                    .dashed = c->dashed || show_is(&rows->at[first], c->mark) ||
                              number / SHOW_PLOT_COLOURS % 2 == 1};
}

/* A line for each name that `by` has, in the order of the document: a name has its colour
 * in every figure. */
static void lines_by(show_render *r, lines *all, const show_block *block,
                     const show_rows *rows, const show_rows *as_they_come)
{
    const show_column by = {.path = block->by};

    for (size_t i = 0; i < rows->count; i++) {
        const char *name = show_value_text(r, &as_they_come->at[i], &by);
        bool known = false;

        for (size_t l = 0; l < all->tries && !known; l++)
            known = strcmp(all->tried[l], name) == 0;
        if (!known)
            line_add(r, all, block, &block->columns[0], rows, name);
    }
    for (const show_column *c = &block->columns[1]; block->columns[0].path && c->path; c++)
        line_add(r, all, block, c, rows, NULL);
}

static int by_x(const void *a, const void *b, void *user)
{
    const show_block *block = user;
    const double x = show_find(a, block->x).number, y = show_find(b, block->x).number;

    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

/* The x of all rows with their names, each once, where the block names them. */
static void ticks_fill(show_render *r, show_axes *axes, const show_block *block,
                       const show_rows *rows)
{
    const show_column name = {.path = block->x_name};
    double *ticks = show_take(r, rows->count, sizeof *ticks);
    const char **names = show_take(r, rows->count, sizeof *names);
    size_t count = 0;

    for (size_t i = 0; block->x_name && ticks && names && i < rows->count; i++) {
        double x = show_find(&rows->at[i], block->x).number;

        x = block->style == SHOW_LOG ? log2(x) : x;
        if (!isfinite(x) || (count > 0 && x <= ticks[count - 1]))
            continue;
        ticks[count] = x;
        names[count++] = show_value_text(r, &rows->at[i], &name);
    }
    axes->ticks = ticks;
    axes->tick_names = names;
    axes->tick_count = count;
}

static void lines_put(show_render *r, const show_block *block, const show_at *at,
                      const show_rows *rows)
{
    const size_t most = rows->count + columns_of(block);
    lines all = {.line = show_take(r, most, sizeof *all.line),
                 .tried = show_take(r, most, sizeof *all.tried),
                 .low = INFINITY,
                 .high = -INFINITY};
    const show_rows sorted = {show_take(r, rows->count, sizeof *rows->at), rows->count};
    const show_column *first = &block->columns[0];
    show_axes axes = {.x_title = block->x_title ? block->x_title : "",
                      .y_title = block->y_title ? block->y_title
                                 : first->title ? first->title
                                                : "",
                      .y_low = block->low,
                      .y_high = block->high,
                      .percent = first->kind == SHOW_PERCENT,
                      .width = block->each ? 210 : 460,
                      .height = block->each ? 130 : 250};

    if (!all.line || !all.tried || !sorted.at)
        return;
    memcpy(sorted.at, rows->at, rows->count * sizeof *rows->at);
    if (block->beside || block->caption)
        axes.width = block->each ? 210 : 360;
    qsort_r(sorted.at, sorted.count, sizeof *sorted.at, by_x, (void *)(uintptr_t)block);
    if (block->by)
        lines_by(r, &all, block, &sorted, rows);
    for (const show_column *c = first; !block->by && c->path; c++)
        line_add(r, &all, block, c, &sorted, NULL);
    if (all.count == 0)
        return;
    if (!(axes.y_high > axes.y_low)) {
        const double margin = all.high > all.low ? 0.04 * (all.high - all.low) : 0.05;

        axes.y_low = block->style == SHOW_ZERO ? 0 : all.low - margin;
        axes.y_high = all.high + margin;
        if (axes.percent) {
            axes.y_low = fmax(axes.y_low, 0);
            axes.y_high = fmin(axes.y_high, 1);
        }
    }
    ticks_fill(r, &axes, block, &sorted);
    axes.title = show_fill(r, at, block->caption);
    axes.unnamed = block->each && at->index > 0;
    if (r->where == SHOW_SVG)
        r->down += show_plot_svg_lines(r->page, all.line, all.count, &axes, r->down);
    else
        show_plot_lines(r->page, all.line, all.count, &axes);
}

/* ---- heat ---------------------------------------------------------------------------- */

/* row, column, count, row, ...: the form of a large table of which most is zero. */
static void cells_fill(show_heat_map *h, double *values, const double *cells, size_t count)
{
    for (size_t i = 0; i + 2 < count; i += 3) {
        const double row = cells[i], column = cells[i + 1];

        if (row >= 0 && row < (double)h->rows && column >= 0 && column < (double)h->columns)
            values[(size_t)row * h->columns + (size_t)column] = cells[i + 2];
    }
}

static void heat_put(show_render *r, const show_block *block, const show_at *at,
                     const show_rows *rows)
{
    const show_column *c = block->columns;
    show_heat_map h = {.rows = rows->count,
                       .high = block->high,
                       .by_row = block->style == SHOW_ROW_SHARE,
                       .percent = c[1].kind == SHOW_PERCENT,
                       .row_title = c[0].title,
                       .column_title = c[1].title,
                       .title = caption_of(r, block, at)};
    double *list = NULL;
    size_t count = 0, names = 0;

    h.column_names = names_of(r, at, block->names, &names);
    if (block->cells) {
        const show_at cells = show_find(at, block->cells);

        if (!show_numbers(r, &list, &count, &cells))
            return;
        h.rows = h.columns = names;
        h.row_names = h.column_names;
    } else {
        const char **row_names = show_take(r, rows->count, sizeof *row_names);

        for (size_t i = 0; row_names && i < rows->count; i++) {
            const show_at values = show_find(&rows->at[i], c[1].path);

            row_names[i] = show_value_text(r, &rows->at[i], &c[0]);
            if (json_array_size(values.value) > h.columns)
                h.columns = json_array_size(values.value);
        }
        h.row_names = row_names;
    }
    if (h.columns == 0 || h.rows == 0 || (h.column_names && names < h.columns))
        return;
    double *values = show_take(r, h.rows * h.columns, sizeof *values);
    if (!values)
        return;
    for (size_t i = 0; i < h.rows * h.columns; i++)
        values[i] = block->cells ? 0 : (double)NAN;
    if (block->cells)
        cells_fill(&h, values, list, count);
    for (size_t i = 0; !block->cells && i < h.rows; i++) {
        const show_at row = show_find(&rows->at[i], c[1].path);

        if (show_numbers(r, &list, &count, &row))
            memcpy(values + i * h.columns, list, count * sizeof *values);
    }
    h.values = values;
    if (r->status == BASE_OK)
        r->status = show_heat_draw(r->page, &h, r->err);
}

/* ---- dots ---------------------------------------------------------------------------- */

/* Points of a plane: x, the first column as y, the group's number by `by`. */
static void plane_put(show_render *r, const show_block *block, const show_at *at,
                      const show_rows *rows)
{
    float *points = show_take(r, 2 * rows->count, sizeof *points);
    int32_t *group = show_take(r, rows->count, sizeof *group);
    show_scatter s = {.at = points, .group = group, .title = caption_of(r, block, at)};
    size_t names = 0;

    s.names = names_of(r, at, block->names, &names);
    s.groups = names;
    for (size_t i = 0; points && group && i < rows->count; i++) {
        const double x = show_find(&rows->at[i], block->x).number;
        const double y = show_find(&rows->at[i], block->columns[0].path).number;
        const double of = show_find(&rows->at[i], block->by).number;

        if (!isfinite(x) || !isfinite(y))
            continue;
        points[2 * s.count] = (float)x;
        points[2 * s.count + 1] = (float)y;
        group[s.count] = of >= 0 && of < INT32_MAX / 2 ? (int32_t)of : -1;
        if (s.names && group[s.count] >= (int32_t)names)
            group[s.count] = -1;
        if (!s.names && group[s.count] >= (int32_t)s.groups)
            s.groups = (size_t)group[s.count] + 1;
        s.count++;
    }
    if (s.count > 0 && r->status == BASE_OK)
        r->status = show_plot_scatter(r->page, &s, r->err);
}

static void dots_put(show_render *r, const show_block *block, const show_at *at,
                     const show_rows *rows)
{
    const show_column *c = block->columns;
    show_dots *dots = show_take(r, rows->count, sizeof *dots);
    size_t count = 0;

    if (block->x) {
        plane_put(r, block, at, rows);
        return;
    }
    for (size_t i = 0; dots && i < rows->count; i++) {
        const show_at values = show_find(&rows->at[i], c[1].path);
        double *list = NULL;
        size_t most = 0;

        if (!show_numbers(r, &list, &most, &values))
            continue;
        dots[count++] = (show_dots){.name = show_value_text(r, &rows->at[i], &c[0]),
                                    .values = list,
                                    .count = most,
                                    .mean = show_find(&rows->at[i], c[2].path).number,
                                    .std = show_find(&rows->at[i], c[2].spread).number,
                                    .mark = show_is(&rows->at[i], c[1].mark)};
    }
    if (count > 0)
        show_plot_dots(r->page, dots, count, caption_of(r, block, at),
                       c[1].kind == SHOW_PERCENT);
}

void show_figure_put(show_render *r, const show_block *block, const show_at *at,
                     const show_rows *rows)
{
    if (block->kind == SHOW_LINES)
        lines_put(r, block, at, rows);
    else if (block->kind == SHOW_HEAT)
        heat_put(r, block, at, rows);
    else if (block->kind == SHOW_DOTS)
        dots_put(r, block, at, rows);
    else if (block->style == SHOW_UPRIGHT)
        upright_put(r, block, at, rows);
    else if (block->style == SHOW_STACKED)
        stacked_put(r, block, rows);
    else
        bars_put(r, block, rows);
}

/* ---- pictures ------------------------------------------------------------------------ */

enum { SIDE = 112, SIDE_OF_SEVERAL = 160 };

/* told: shown while one points at it; NULL: nothing. */
static void picture_put(show_render *r, const char *key, const char *caption,
                        const char *told, int side)
{
    const struct show_picture *p = show_picture_of(r->document, key);

    if (!p || p->width == 0)
        return;
    fputs("<div", r->out);
    if (told) {
        fputs(" title=\"", r->out);
        show_page_text(r->page, told);
        fputs("\"", r->out);
    }
    fputs(">", r->out);
    show_page_png(r->page, p->png, p->bytes, p->width, side,
                  (int)((double)side * (double)p->height / (double)p->width + 0.5),
                  caption);
    show_page_text(r->page, caption);
    fputs("</div>", r->out);
}

static void pictures_list(show_render *r, const show_at *list)
{
    const show_rows rows = show_all(r, list, "[]");

    fputs("<div class=\"imgs\">", r->out);
    for (size_t i = 0; i < rows.count; i++) {
        const show_at caption = show_find(&rows.at[i], "caption");

        picture_put(r, show_find(&rows.at[i], "picture").text,
                    caption.text ? caption.text : "", show_find(&rows.at[i], "told").text,
                    SIDE_OF_SEVERAL);
    }
    fputs("</div>", r->out);
}

/* One picture, or several beside one another. */
static void pictures_of(show_render *r, const show_block *block, const show_at *row)
{
    const show_at one = show_find(row, block->picture), more = show_find(row, block->below);

    if (one.text)
        picture_put(r, one.text, "", NULL, SIDE);
    else
        pictures_list(r, &one);
    if (more.value)
        pictures_list(r, &more);
}

/* The first column bold, the others pale lines; then bars. */
static void card_put(show_render *r, const show_block *block, const show_at *row)
{
    enum { BARS_MOST = 5 };
    show_column bars[] = {
        {.path = "name"},
        {.path = "probability", .kind = SHOW_PERCENT, .digits = SHOW_WHOLE, .mark = "mark"},
        {0}};

    for (const show_column *c = block->columns; c->path; c++) {
        const char *value = show_value_text(r, row, c);
        const bool first = c == block->columns;

        if (!*value)
            continue;
        fprintf(r->out, first ? "<b class=\"%s\">" : "<br><span class=\"soft %s\">",
                show_verdict_class(row, c->verdict));
        if (c->title && *c->title)
            show_page_text(r->page, show_print(r, "%s ", c->title));
        show_page_text(r->page, value);
        fputs(first ? "</b>" : "</span>", r->out);
    }
    if (block->bars) {
        show_rows rows = show_all(r, row, block->bars);

        rows.count = rows.count < BARS_MOST ? rows.count : BARS_MOST;
        if (rows.count > 0 && show_find(&rows.at[0], "title").text)
            bars[0].path = "title";
        bars_put(r, &(show_block){.kind = SHOW_BARS, .columns = bars}, &rows);
    }
}

/* Pictures as wide as the page, each below its texts. */
static void wide_put(show_render *r, const show_block *block, const show_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        const char *key = show_find(&rows->at[i], block->picture).text;
        const struct show_picture *p = show_picture_of(r->document, key);
        const size_t twice = p ? 2 * p->width : 0;

        fputs("<p>", r->out);
        card_put(r, block, &rows->at[i]);
        fputs("</p><div class=\"scroll\">", r->out);
        picture_put(r, key, "", NULL,
                    twice < (size_t)block->wide ? (int)twice : block->wide);
        fputs("</div>\n", r->out);
    }
}

void show_pictures_put(show_render *r, const show_block *block, const show_rows *rows)
{
    if (block->wide > 0) {
        wide_put(r, block, rows);
        return;
    }
    const bool several =
        rows->count > 0 && json_is_array(show_find(&rows->at[0], block->picture).value);

    fprintf(r->out, "<div class=\"%s\">\n", several ? "triples" : "shots");
    for (size_t i = 0; i < rows->count; i++) {
        fprintf(r->out, "<div class=\"%s\">", several ? "triple" : "shot");
        pictures_of(r, block, &rows->at[i]);
        card_put(r, block, &rows->at[i]);
        fputs("</div>\n", r->out);
    }
    fputs("</div>\n", r->out);
}
