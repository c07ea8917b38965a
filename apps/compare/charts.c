/* charts.c - the charts of a comparison's page: every seed of every router, training
 * curves, errors by corruption. Free to change: all that a reader sees. */
#include <math.h>
#include <string.h>

#include "apps/compare/table_internal.h"
#include "show/plot_internal.h"

enum { CURVE_WIDE = 286, CURVE_HIGH = 210 };

/* ---- seeds --------------------------------------------------------------------------- */

static void figure_dots(const app_table *t, show_page *page, show_dots *rows,
                        double *values, size_t figure, const char *title)
{
    const app_compare *c = t->compare;
    const size_t seeds = (size_t)c->args->seeds;

    for (size_t i = 0; i < c->entries.count; i++) {
        const size_t e = t->order[i];
        const measure_mean *s = app_table_spread(t, e, figure);
        double *own = values + i * seeds;

        for (size_t k = 0; k < seeds; k++)
            own[k] = app_table_value(t, e * seeds + k, figure);
        rows[i] = (show_dots){.name = c->entries.entry[e].label,
                              .values = own,
                              .count = seeds,
                              .mean = s->mean,
                              .std = s->std,
                              .mark = e == t->baseline};
    }
    show_plot_dots(page, rows, c->entries.count, title,
                   t->figure[figure].kind == APP_KIND_SHARE);
}

static bool known(const app_table *t, size_t figure)
{
    for (size_t e = 0; e < t->compare->entries.count; e++)
        if (app_table_spread(t, e, figure)->count > 0)
            return true;
    return false;
}

base_status app_compare_dots(const app_table *table, show_page *page, base_error *err)
{
    const app_compare *c = table->compare;
    const size_t seeds = (size_t)c->args->seeds;
    show_dots *rows = base_alloc(c->entries.count, sizeof *rows);
    double *values = base_alloc(c->entries.count * seeds, sizeof *values);
    char title[96];

    if (!rows || !values) {
        base_free(rows);
        base_free(values);
        return base_fail(err, BASE_NO_MEMORY, "no memory for a chart");
    }
    fputs("<div class=\"row\">\n", page->out.file);
    figure_dots(table, page, rows, values, APP_FIGURE_TOP1, "clean top-1");
    if (known(table, APP_FIGURE_CORRUPTED))
        figure_dots(table, page, rows, values, APP_FIGURE_CORRUPTED,
                    "error under corruptions (less is better)");
    for (size_t f = APP_FIGURE_COUNT; f < table->figures; f++) {
        if (!known(table, f))
            continue;
        snprintf(title, sizeof title, "accuracy under %s", table->figure[f].title);
        figure_dots(table, page, rows, values, f, title);
    }
    fputs("</div>\n", page->out.file);
    base_free(rows);
    base_free(values);
    return BASE_OK;
}

/* ---- curves -------------------------------------------------------------------------- */

/* One chart of a number of all entries; picks it from a curve. */
static void curves_draw(const app_table *t, show_page *page, show_line *lines,
                        const app_curve *curves, double *(*pick)(const app_curve *c),
                        const char *title, bool percent)
{
    double low = INFINITY, high = -INFINITY;
    size_t count = 0;

    for (size_t i = 0; i < t->compare->entries.count; i++) {
        const size_t e = t->order[i];
        const app_curve *c = &curves[e];
        const double *y = pick(c);

        for (size_t k = 0; k < c->count; k++) {
            if (isfinite(y[k])) {
                low = fmin(low, y[k]);
                high = fmax(high, y[k]);
            }
        }
        if (c->count == 0)
            continue;
        lines[count] = (show_line){.name = t->compare->entries.entry[e].label,
                                   .x = c->step,
                                   .y = y,
                                   .count = c->count,
                                   .colour = (int)(i % SHOW_PLOT_COLOURS),
                                   .dashed = i / SHOW_PLOT_COLOURS % 2 == 1};
        count++;
    }
    if (!(high >= low))
        return;
    const double margin = high > low ? 0.04 * (high - low) : 0.05;
    const show_axes axes = {.x_title = "step",
                            .y_title = title,
                            .y_low = low - margin,
                            .y_high = high + margin,
                            .percent = percent,
                            .width = CURVE_WIDE,
                            .height = CURVE_HIGH};
    fputs("<section style=\"max-width:372px\">", page->out.file);
    show_plot_lines(page, lines, count, &axes);
    fputs("</section>\n", page->out.file);
}

static double *pick_loss(const app_curve *c)
{
    return c->loss;
}

static double *pick_accuracy(const app_curve *c)
{
    return c->accuracy;
}

static double *pick_cv(const app_curve *c)
{
    return c->cv;
}

base_status app_compare_curves(const app_table *table, show_page *page, base_error *err)
{
    show_line *lines = base_alloc(table->compare->entries.count, sizeof *lines);

    if (!lines)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a chart");
    fputs("<div class=\"row\">\n", page->out.file);
    curves_draw(table, page, lines, table->train, pick_loss, "training loss", false);
    curves_draw(table, page, lines, table->train, pick_cv, "load CV in training", false);
    curves_draw(table, page, lines, table->eval, pick_accuracy, "top-1 in evaluations",
                true);
    fputs("</div>\n", page->out.file);
    base_free(lines);
    return BASE_OK;
}

/* ---- corruptions --------------------------------------------------------------------- */

void app_compare_corruptions(const app_table *table, show_page *page)
{
    const app_compare *c = table->compare;
    FILE *file = page->out.file;

    fputs("<div class=\"scroll\"><table class=\"heat\"><tr><th>error, %</th>", file);
    for (size_t k = 0; k < CORRUPT_BENCH_COUNT; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s", corrupt_kind_name((corrupt_kind)k));
        for (char *at = name; *at; at++)
            *at = *at == '_' ? ' ' : *at;
        fputs("<th class=\"up\"><span>", file);
        show_page_text(page, name);
        fputs("</span></th>", file);
    }
    fputs("</tr>\n", file);
    for (size_t i = 0; i < c->entries.count; i++) {
        const size_t e = table->order[i];
        const double *row = table->kind_error + e * CORRUPT_BENCH_COUNT;

        if (isnan(row[0]))
            continue;
        fputs("<tr><td>", file);
        show_page_text(page, c->entries.entry[e].label);
        fputs("</td>", file);
        for (size_t k = 0; k < CORRUPT_BENCH_COUNT; k++) {
            double low = INFINITY, high = -INFINITY;
            for (size_t o = 0; o < c->entries.count; o++) { /* fmin passes over NaN */
                low = fmin(low, table->kind_error[o * CORRUPT_BENCH_COUNT + k]);
                high = fmax(high, table->kind_error[o * CORRUPT_BENCH_COUNT + k]);
            }
            const double share = high > low ? (row[k] - low) / (high - low) : 0;
            fprintf(
                file,
                "<td class=\"n\" style=\"background:rgba(217,122,31,%.2f)\">%s%.1f%s</td>",
                0.55 * share, row[k] == low ? "<b>" : "", 100 * row[k],
                row[k] == low ? "</b>" : "");
        }
        fputs("</tr>\n", file);
    }
    fputs("</table></div>\n", file);
}
