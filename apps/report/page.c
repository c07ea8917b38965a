/* page.c - the page that compares models: a table of what each is worth, attacks
 * (report_attacks.c), corruption by corruption, sources. Free to change: all that a reader
 * sees. */
#include <math.h>
#include <string.h>

#include "apps/report/internal.h"

/* ---- tables -------------------------------------------------------------------------- */

void app_report_table_begin(const app_report_set *set, show_page *page, const char *first)
{
    fputs("<div class=\"scroll\"><table><tr><th>", page->out.file);
    show_page_text(page, first);
    fputs("</th>", page->out.file);
    for (size_t i = 0; i < set->count; i++) {
        fputs("<th class=\"n\">", page->out.file);
        show_page_text(page, set->model[i].name);
        fputs("</th>", page->out.file);
    }
    fputs("</tr>\n", page->out.file);
}

void app_report_table_end(show_page *page)
{
    fputs("</table></div>\n", page->out.file);
}

static void value_put(FILE *file, double value, app_report_kind kind)
{
    char text[32];

    if (!isfinite(value))
        fputs("&ndash;", file);
    else if (kind == APP_REPORT_SHARE)
        fprintf(file, "%.2f %%", 100 * value);
    else if (kind == APP_REPORT_COUNT && value >= 0 && value < 0x1p63) /* it is of a file */
        fputs(show_thousands(text, sizeof text, (uint64_t)(value + 0.5)), file);
    else if (kind == APP_REPORT_FLOPS)
        fprintf(file, "%.4g M", value / 1e6);
    else
        fprintf(file, "%.4g", value);
}

void app_report_row(const app_report_set *set, show_page *page, const char *name,
                    const double *values, app_report_kind kind, app_report_best best)
{
    FILE *file = page->out.file;
    double top = (double)NAN;
    size_t known = 0;

    for (size_t i = 0; i < set->count; i++) {
        if (!isfinite(values[i]))
            continue;
        top = known++ == 0                  ? values[i]
              : best == APP_REPORT_BEST_LOW ? fmin(top, values[i])
                                            : fmax(top, values[i]);
    }
    if (known == 0)
        return;
    fputs("<tr><td>", file);
    show_page_text(page, name);
    fputs("</td>", file);
    for (size_t i = 0; i < set->count; i++) {
        const bool bold = best != APP_REPORT_BEST_NONE && known > 1 && values[i] == top;

        fputs(bold ? "<td class=\"n\"><b>" : "<td class=\"n\">", file);
        value_put(file, values[i], kind);
        fputs(bold ? "</b></td>" : "</td>", file);
    }
    fputs("</tr>\n", file);
}

/* ---- the overview -------------------------------------------------------------------- */

static double clean_of(const app_report_model *m)
{
    const double eval = app_report_number(m->eval, "top1");

    return isfinite(eval) || m->attacks == 0
               ? eval
               : app_report_number(m->attack[0].json, "clean.acc");
}

/* A number that several kinds of files know. */
static double known_of(const app_report_model *m, const char *key)
{
    char of_model[64];

    snprintf(of_model, sizeof of_model, "model.%s", key);
    for (size_t a = 0; a < m->attacks; a++) {
        const double value = app_report_number(m->attack[a].json, of_model);
        if (isfinite(value))
            return value;
    }
    return app_report_number(m->inspect, key);
}

static void overview(const app_report_set *set, show_page *page)
{
    static const struct {
        const char *name, *keys;
        int from; /* 0: eval, 1: robust, 2: known_of */
        app_report_kind kind;
        app_report_best best;
    } rows[] = {
        {"calibration error", "ece", 0, APP_REPORT_SHARE, APP_REPORT_BEST_LOW},
        {"mean corruption error (mCE)", "robust.mce", 1, APP_REPORT_SHARE,
         APP_REPORT_BEST_LOW},
        {"mean error under corruption", "robust.mean_error", 1, APP_REPORT_SHARE,
         APP_REPORT_BEST_LOW},
        {"load CV of the experts", "moe_mean.load_cv", 0, APP_REPORT_NUMBER,
         APP_REPORT_BEST_NONE},
        {"parameters", "parameters", 2, APP_REPORT_COUNT, APP_REPORT_BEST_NONE},
        {"parameters that a token meets", "active_parameters", 2, APP_REPORT_COUNT,
         APP_REPORT_BEST_NONE},
        {"operations an image", "flops", 2, APP_REPORT_FLOPS, APP_REPORT_BEST_NONE},
        {"images a second, as evaluated", "images_per_second", 0, APP_REPORT_COUNT,
         APP_REPORT_BEST_NONE},
    };
    double values[APP_REPORT_MODELS];

    show_page_section(page, "Overview", "The best value of a row is bold.");
    app_report_table_begin(set, page, "");
    for (size_t i = 0; i < set->count; i++)
        values[i] = clean_of(&set->model[i]);
    app_report_row(set, page, "clean accuracy", values, APP_REPORT_SHARE,
                   APP_REPORT_BEST_HIGH);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (size_t i = 0; i < set->count; i++) {
            const app_report_model *m = &set->model[i];

            values[i] = rows[r].from == 0   ? app_report_number(m->eval, rows[r].keys)
                        : rows[r].from == 1 ? app_report_number(m->robust, rows[r].keys)
                                            : known_of(m, rows[r].keys);
        }
        app_report_row(set, page, rows[r].name, values, rows[r].kind, rows[r].best);
    }
    app_report_table_end(page);
}

/* ---- corruptions, sources ------------------------------------------------------------ */

/* error of a corruption in a model's file */
static double corruption_error(const app_report_model *m, const char *name)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(json_object_get(m->robust, "robust"), "corruptions"),
                       i, one)
    {
        const char *own = app_report_string(one, "name");

        if (own && strcmp(own, name) == 0)
            return app_report_number(one, "error");
    }
    return (double)NAN;
}

static void corruptions(const app_report_set *set, show_page *page)
{
    const app_report_model *first = NULL;
    double values[APP_REPORT_MODELS];
    json_t *one;
    size_t i;

    for (size_t m = 0; m < set->count && !first; m++)
        if (set->model[m].robust)
            first = &set->model[m];
    if (!first)
        return;
    show_page_section(page, "Under corruption",
                      "Error, mean over the severities that were measured.");
    app_report_table_begin(set, page, "corruption");
    json_array_foreach(
        json_object_get(json_object_get(first->robust, "robust"), "corruptions"), i, one)
    {
        const char *name = app_report_string(one, "name");

        for (size_t m = 0; name && m < set->count; m++)
            values[m] = corruption_error(&set->model[m], name);
        if (name)
            app_report_row(set, page, name, values, APP_REPORT_SHARE, APP_REPORT_BEST_LOW);
    }
    app_report_table_end(page);
}

static void sources(const app_report_set *set, show_page *page)
{
    FILE *file = page->out.file;

    show_page_section(page, "Sources", NULL);
    fputs("<table>\n", file);
    for (size_t i = 0; i < set->count; i++) {
        const app_report_model *m = &set->model[i];
        char safe[1024];

        fputs("<tr><td>", file);
        show_page_text(page, m->name);
        fputs("</td><td style=\"overflow-wrap:anywhere\">", file);
        show_page_text(page, base_quote(safe, sizeof safe, m->path));
        fprintf(file, "</td><td class=\"soft\">%s%s%s%zu attack%s</td></tr>\n",
                m->eval ? "eval, " : "", m->robust ? "corruptions, " : "",
                m->inspect ? "inspect, " : "", m->attacks, m->attacks == 1 ? "" : "s");
    }
    fputs("</table>\n", file);
}

base_status app_report_page(const app_report_set *set, const char *path, base_error *err)
{
    show_page page = {0};
    char lead[128];

    snprintf(lead, sizeof lead, "%zu model%s side by side", set->count,
             set->count == 1 ? "" : "s");
    base_status status = show_page_open(&page, path, "Comparison of models", lead, err);
    if (status != BASE_OK)
        return status;
    overview(set, &page);
    status = app_report_attacks(set, &page, err);
    corruptions(set, &page);
    sources(set, &page);
    if (status == BASE_OK)
        return show_page_commit(&page, err);
    show_page_abandon(&page);
    return status;
}
