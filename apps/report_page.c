/* report_page.c - the page that compares models: a table of what each is worth, robust accuracy over budgets,
 * routing under attack, corruption by corruption, and the exact test where two models were attacked on the
 * same samples. Free to change: all that a reader sees. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/plot_internal.h"
#include "apps/report_internal.h"
#include "apps/score_internal.h"

enum { BUDGETS_MAX = 32, TEXT = 128 };

/* ---- tables ------------------------------------------------------------------------------------------ */

typedef enum cell_kind { CELL_SHARE, CELL_NUMBER, CELL_COUNT, CELL_FLOPS } cell_kind;
typedef enum cell_best { BEST_NONE, BEST_HIGH, BEST_LOW } cell_best;

static void table_begin(const app_report_set *set, app_page *page, const char *first)
{
    fputs("<div class=\"scroll\"><table><tr><th>", page->out.file);
    app_page_text(page, first);
    fputs("</th>", page->out.file);
    for (size_t i = 0; i < set->count; i++) {
        fputs("<th class=\"n\">", page->out.file);
        app_page_text(page, set->model[i].name);
        fputs("</th>", page->out.file);
    }
    fputs("</tr>\n", page->out.file);
}

static void table_end(app_page *page)
{
    fputs("</table></div>\n", page->out.file);
}

static void value_put(FILE *file, double value, cell_kind kind)
{
    char text[32];

    if (!isfinite(value))
        fputs("&ndash;", file);
    else if (kind == CELL_SHARE)
        fprintf(file, "%.2f %%", 100 * value);
    else if (kind == CELL_COUNT)
        fputs(app_thousands(text, sizeof text, (uint64_t)(value + 0.5)), file);
    else if (kind == CELL_FLOPS)
        fprintf(file, "%.4g M", value / 1e6);
    else
        fprintf(file, "%.4g", value);
}

/* One row, the best value bold; left out where no model has it. */
static void row_put(const app_report_set *set, app_page *page, const char *name,
                    const double *values, cell_kind kind, cell_best best)
{
    FILE *file = page->out.file;
    double top = (double)NAN;
    size_t known = 0;

    for (size_t i = 0; i < set->count; i++) {
        if (!isfinite(values[i]))
            continue;
        top = known++ == 0       ? values[i]
              : best == BEST_LOW ? fmin(top, values[i])
                                 : fmax(top, values[i]);
    }
    if (known == 0)
        return;
    fputs("<tr><td>", file);
    app_page_text(page, name);
    fputs("</td>", file);
    for (size_t i = 0; i < set->count; i++) {
        const bool bold = best != BEST_NONE && known > 1 && values[i] == top;

        fputs(bold ? "<td class=\"n\"><b>" : "<td class=\"n\">", file);
        value_put(file, values[i], kind);
        fputs(bold ? "</b></td>" : "</td>", file);
    }
    fputs("</tr>\n", file);
}

/* ---- the overview ------------------------------------------------------------------------------------- */

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

static double layers_mean(const json_t *layers, const char *key)
{
    double sum = 0;
    json_t *one;
    size_t i;

    json_array_foreach(layers, i, one) sum += app_report_number(one, key);
    return json_array_size(layers) ? sum / (double)json_array_size(layers) : (double)NAN;
}

static void overview(const app_report_set *set, app_page *page)
{
    static const struct {
        const char *name, *keys;
        int from; /* 0: eval, 1: robust, 2: known_of */
        cell_kind kind;
        cell_best best;
    } rows[] = {
        {"calibration error", "ece", 0, CELL_SHARE, BEST_LOW},
        {"mean corruption error (mCE)", "robust.mce", 1, CELL_SHARE, BEST_LOW},
        {"mean error under corruption", "robust.mean_error", 1, CELL_SHARE, BEST_LOW},
        {"load CV of the experts", "moe_mean.load_cv", 0, CELL_NUMBER, BEST_NONE},
        {"parameters", "parameters", 2, CELL_COUNT, BEST_NONE},
        {"parameters that a token meets", "active_parameters", 2, CELL_COUNT, BEST_NONE},
        {"operations an image", "flops", 2, CELL_FLOPS, BEST_NONE},
        {"images a second, as evaluated", "images_per_second", 0, CELL_COUNT, BEST_NONE},
    };
    double values[APP_REPORT_MODELS];

    app_page_section(page, "Overview", "The best value of a row is bold.");
    table_begin(set, page, "");
    for (size_t i = 0; i < set->count; i++)
        values[i] = clean_of(&set->model[i]);
    row_put(set, page, "clean accuracy", values, CELL_SHARE, BEST_HIGH);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (size_t i = 0; i < set->count; i++) {
            const app_report_model *m = &set->model[i];

            values[i] = rows[r].from == 0   ? app_report_number(m->eval, rows[r].keys)
                        : rows[r].from == 1 ? app_report_number(m->robust, rows[r].keys)
                                            : known_of(m, rows[r].keys);
        }
        row_put(set, page, rows[r].name, values, rows[r].kind, rows[r].best);
    }
    table_end(page);
}

/* ---- attacks ------------------------------------------------------------------------------------------ */

/* The attack of a model in this norm, NULL: none. */
static const app_report_attack *attack_of(const app_report_model *m, const char *norm)
{
    for (size_t i = 0; i < m->attacks; i++) {
        const char *own = app_report_string(m->attack[i].json, "threat.norm");

        if (own && strcmp(own, norm) == 0)
            return &m->attack[i];
    }
    return NULL;
}

typedef struct budgets {
    double eps[BUDGETS_MAX];
    char text[BUDGETS_MAX][32];
    size_t count;
} budgets;

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Every budget of any model in this norm, rising. */
static void budgets_find(budgets *out, const app_report_set *set, const char *norm)
{
    *out = (budgets){0};
    for (size_t m = 0; m < set->count; m++) {
        const app_report_attack *attack = attack_of(&set->model[m], norm);
        json_t *one;
        size_t i;

        json_array_foreach(attack ? json_object_get(attack->json, "sweep") : NULL, i, one)
        {
            const double eps = app_report_number(one, "eps");
            bool known = !isfinite(eps) || out->count == BUDGETS_MAX;

            for (size_t b = 0; b < out->count; b++)
                known = known || fabs(out->eps[b] - eps) < 1e-9;
            if (!known)
                out->eps[out->count++] = eps;
        }
    }
    qsort(out->eps, out->count, sizeof *out->eps, by_value);
    for (size_t b = 0; b < out->count; b++) { /* as it was written */
        snprintf(out->text[b], sizeof out->text[b], "%.4g", out->eps[b]);
        for (size_t m = 0; m < set->count; m++) {
            const app_report_attack *attack = attack_of(&set->model[m], norm);
            json_t *one;
            size_t i;

            json_array_foreach(attack ? json_object_get(attack->json, "sweep") : NULL, i,
                               one)
            {
                const char *text = app_report_string(one, "eps_text");

                if (text && fabs(app_report_number(one, "eps") - out->eps[b]) < 1e-9)
                    snprintf(out->text[b], sizeof out->text[b], "%s", text);
            }
        }
    }
}

typedef struct curve {
    double x[BUDGETS_MAX], y[BUDGETS_MAX], low[BUDGETS_MAX], high[BUDGETS_MAX];
    size_t count;
} curve;

static void chart(const app_report_set *set, app_page *page, const char *norm,
                  const budgets *b)
{
    curve *curves = base_alloc(set->count, sizeof *curves);
    app_line lines[APP_REPORT_MODELS];
    const char *names[BUDGETS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < b->count; i++)
        names[i] = b->text[i];
    for (size_t m = 0; curves && m < set->count; m++) {
        const app_report_attack *attack = attack_of(&set->model[m], norm);
        curve *c = &curves[m];

        for (size_t i = 0; attack && i < b->count; i++) {
            app_report_share share;

            if (!app_report_at(&share, attack->json, b->eps[i]))
                continue;
            c->x[c->count] = b->eps[i];
            c->y[c->count] = share.share;
            c->low[c->count] = share.low;
            c->high[c->count++] = share.high;
        }
        if (c->count > 0)
            lines[count++] = (app_line){set->model[m].name, c->x,   c->y, c->low, c->high,
                                        c->count,           (int)m, false};
    }
    const app_axes axes = {.x_title = "budget (eps)",
                           .y_title = "robust accuracy",
                           .y_high = 1,
                           .percent = true,
                           .ticks = b->eps,
                           .tick_names = names,
                           .tick_count = b->count,
                           .width = 460,
                           .height = 250};
    if (count > 0 && b->count > 1)
        app_plot_lines(page, lines, count, &axes);
    base_free(curves);
}

static void robust_rows(const app_report_set *set, app_page *page, const char *norm,
                        const budgets *b)
{
    double values[APP_REPORT_MODELS];
    char name[TEXT];

    table_begin(set, page, "robust accuracy, worst case");
    for (size_t i = 0; i < b->count; i++) {
        for (size_t m = 0; m < set->count; m++) {
            const app_report_attack *attack = attack_of(&set->model[m], norm);
            app_report_share share;

            values[m] = attack && app_report_at(&share, attack->json, b->eps[i])
                            ? share.share
                            : (double)NAN;
        }
        snprintf(name, sizeof name, "%s %s", norm, b->text[i]);
        row_put(set, page, name, values, CELL_SHARE, BEST_HIGH);
    }
    fputs("<tr><td>attacks</td>", page->out.file);
    for (size_t m = 0; m < set->count; m++) {
        const app_report_attack *attack = attack_of(&set->model[m], norm);
        const json_t *list =
            attack ? json_object_get(json_object_get(attack->json, "worst_case"), "attacks")
                   : NULL;
        const char *sep = "";
        json_t *one;
        size_t i;

        fputs("<td class=\"n soft\" style=\"white-space:normal\">", page->out.file);
        json_array_foreach(list, i, one)
        {
            fputs(sep, page->out.file);
            app_page_text(page, json_string_value(one) ? json_string_value(one) : "?");
            sep = ", ";
        }
        if (attack)
            fprintf(page->out.file, "; n %.0f%s",
                    app_report_number(attack->json, "samples"),
                    json_is_false(json_object_get(attack->json, "complete")) ? ", stopped"
                                                                             : "");
        fputs("</td>", page->out.file);
    }
    fputs("</tr>\n", page->out.file);
    table_end(page);
}

/* Means over the layers at each model's own budget. */
static void routing_rows(const app_report_set *set, app_page *page, const char *norm)
{
    static const struct {
        const char *name, *key;
    } rows[] = {{"tokens with other experts", "changed"},
                {"the same under random noise", "control_changed"},
                {"of broken images", "changed_broken"},
                {"of survivors", "changed_survived"},
                {"IoU of the sets", "iou"}};
    double values[APP_REPORT_MODELS];
    char name[TEXT];

    fputs("<p></p>", page->out.file);
    snprintf(name, sizeof name, "routing under %s attack, mean over blocks", norm);
    table_begin(set, page, name);
    fputs("<tr><td>at the budget</td>", page->out.file);
    for (size_t m = 0; m < set->count; m++) {
        const app_report_attack *attack = attack_of(&set->model[m], norm);
        const char *eps =
            attack ? app_report_string(attack->json, "threat.eps_text") : NULL;

        fputs("<td class=\"n\">", page->out.file);
        app_page_text(page, eps ? eps : "");
        fputs("</td>", page->out.file);
    }
    fputs("</tr>\n", page->out.file);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (size_t m = 0; m < set->count; m++) {
            const app_report_attack *attack = attack_of(&set->model[m], norm);

            values[m] =
                attack
                    ? layers_mean(json_object_get(json_object_get(attack->json, "routing"),
                                                  "layers"),
                                  rows[r].key)
                    : (double)NAN;
        }
        row_put(set, page, rows[r].name, values, CELL_SHARE, BEST_NONE);
    }
    for (size_t m = 0; m < set->count; m++) {
        const app_report_attack *attack = attack_of(&set->model[m], norm);

        values[m] =
            attack ? app_report_number(attack->json,
                                       "routing.replay.success_kept_with_clean_routing")
                   : (double)NAN;
    }
    row_put(set, page, "errors that stay with the clean experts", values, CELL_SHARE,
            BEST_NONE);
    table_end(page);
}

/* ---- the exact test ------------------------------------------------------------------------------------- */

/* Whether both were attacked on the same samples in the same way of counting. */
static bool same_samples(const app_report_attack *a, const app_report_attack *b)
{
    const char *x = app_report_string(a->json, "data.ids_sha256");
    const char *y = app_report_string(b->json, "data.ids_sha256");
    const char *v = app_report_string(a->json, "data.name");
    const char *w = app_report_string(b->json, "data.name");

    return a->samples && b->samples && x && y && strcmp(x, y) == 0 && v && w &&
           strcmp(v, w) == 0;
}

static base_status pair_put(app_page *page, const app_report_model *left,
                            const app_report_model *right, const app_report_attack *a,
                            const app_report_attack *b, const char *eps, base_error *err)
{
    app_report_sample *x = NULL, *y = NULL;
    size_t count[2] = {0}, only[2] = {0};
    base_status status = app_report_samples(&x, &count[0], a->samples, eps, err);

    if (status == BASE_OK)
        status = app_report_samples(&y, &count[1], b->samples, eps, err);
    if (status == BASE_OK && count[0] > 0 && count[0] == count[1]) {
        bool same = true;

        for (size_t i = 0; i < count[0]; i++) {
            same = same && x[i].id == y[i].id;
            only[0] += x[i].robust && !y[i].robust;
            only[1] += !x[i].robust && y[i].robust;
        }
        if (same) {
            const double p = app_exact_test(only[0], only[1]);

            fputs("<tr><td>", page->out.file);
            app_page_text(page, left->name);
            fputs("</td><td>", page->out.file);
            app_page_text(page, right->name);
            fputs("</td><td class=\"n\">", page->out.file);
            app_page_text(page, eps);
            fprintf(
                page->out.file,
                "</td><td class=\"n\">%zu</td><td class=\"n\">%zu</td><td class=\"n\">%s%.3g"
                "</td><td>%s</td></tr>\n",
                only[0], only[1], p < 1e-12 ? "&lt; " : "", fmax(p, 1e-12),
                p < 0.05 ? "different" : "not told apart");
        }
    }
    base_free(x);
    base_free(y);
    return status;
}

static base_status tests(const app_report_set *set, app_page *page, const char *norm,
                         const budgets *b, base_error *err)
{
    base_status status = BASE_OK;
    bool begun = false;

    for (size_t i = 0; i < set->count; i++) {
        for (size_t j = i + 1; j < set->count; j++) {
            const app_report_attack *x = attack_of(&set->model[i], norm);
            const app_report_attack *y = attack_of(&set->model[j], norm);

            if (!x || !y || !same_samples(x, y))
                continue;
            if (!begun)
                fputs(
                    "<p></p><p class=\"soft\">The same samples, attacked in both models: how "
                    "many only one of them withstood, and the exact two-sided probability of a "
                    "difference as large by chance (McNemar 1947).</p><div class=\"scroll\">"
                    "<table><tr><th></th><th></th><th class=\"n\">eps</th>"
                    "<th class=\"n\">only the first</th><th class=\"n\">only the second</th>"
                    "<th class=\"n\">p</th><th></th></tr>\n",
                    page->out.file);
            begun = true;
            for (size_t k = 0; k < b->count && status == BASE_OK; k++)
                status =
                    pair_put(page, &set->model[i], &set->model[j], x, y, b->text[k], err);
        }
    }
    if (begun)
        table_end(page);
    return status;
}

static base_status attacks(const app_report_set *set, app_page *page, base_error *err)
{
    static const char *const norms[] = {"linf", "l2", "l1"};
    base_status status = BASE_OK;
    char heading[TEXT];

    for (size_t n = 0; n < 3 && status == BASE_OK; n++) {
        budgets b;

        budgets_find(&b, set, norms[n]);
        if (b.count == 0)
            continue;
        snprintf(heading, sizeof heading, "Under attack, %s", norms[n]);
        app_page_section(
            page, heading,
            "Share of all images that were right and that no attack broke: an upper "
            "bound, as good as the attacks. Bands: 95 % (Wilson).");
        chart(set, page, norms[n], &b);
        robust_rows(set, page, norms[n], &b);
        status = tests(set, page, norms[n], &b, err);
        routing_rows(set, page, norms[n]);
    }
    return status;
}

/* ---- corruptions, sources -------------------------------------------------------------------------------- */

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

static void corruptions(const app_report_set *set, app_page *page)
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
    app_page_section(page, "Under corruption",
                     "Error, mean over the severities that were measured.");
    table_begin(set, page, "corruption");
    json_array_foreach(
        json_object_get(json_object_get(first->robust, "robust"), "corruptions"), i, one)
    {
        const char *name = app_report_string(one, "name");

        for (size_t m = 0; name && m < set->count; m++)
            values[m] = corruption_error(&set->model[m], name);
        if (name)
            row_put(set, page, name, values, CELL_SHARE, BEST_LOW);
    }
    table_end(page);
}

static void sources(const app_report_set *set, app_page *page)
{
    FILE *file = page->out.file;

    app_page_section(page, "Sources", NULL);
    fputs("<table>\n", file);
    for (size_t i = 0; i < set->count; i++) {
        const app_report_model *m = &set->model[i];
        char safe[1024];

        fputs("<tr><td>", file);
        app_page_text(page, m->name);
        fputs("</td><td style=\"overflow-wrap:anywhere\">", file);
        app_page_text(page, base_quote(safe, sizeof safe, m->path));
        fprintf(file, "</td><td class=\"soft\">%s%s%s%zu attack%s</td></tr>\n",
                m->eval ? "eval, " : "", m->robust ? "corruptions, " : "",
                m->inspect ? "inspect, " : "", m->attacks, m->attacks == 1 ? "" : "s");
    }
    fputs("</table>\n", file);
}

base_status app_report_page(const app_report_set *set, const char *path, base_error *err)
{
    app_page page = {0};
    char lead[128];

    snprintf(lead, sizeof lead, "%zu model%s side by side", set->count,
             set->count == 1 ? "" : "s");
    base_status status = app_page_open(&page, path, "Comparison of models", lead, err);
    if (status != BASE_OK)
        return status;
    overview(set, &page);
    status = attacks(set, &page, err);
    corruptions(set, &page);
    sources(set, &page);
    if (status == BASE_OK)
        return app_page_commit(&page, err);
    app_page_abandon(&page);
    return status;
}
