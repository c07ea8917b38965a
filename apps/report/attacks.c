/* attacks.c - the part of a comparison of models that tells of attacks, for each
 * norm and data set: robust accuracy over budgets, the exact test where two models were
 * attacked on the same samples, routing. Free to change: all that a reader sees. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "show/plot_internal.h"
#include "apps/report/internal.h"

enum {
    BUDGETS_MAX = 32,
    SUBJECTS_MAX = APP_REPORT_MODELS * APP_REPORT_ATTACKS,
    TEXT = 128,
    NAME = 512
};

/* ---- what is compared ---------------------------------------------------------------- */

/* What can be compared: attacks in one norm on one data set. */
typedef struct subject {
    const char *norm, *data; /* data: as it was named, "": not told */
} subject;

static const char *data_of(const app_report_attack *attack)
{
    const char *data = app_report_string(attack->json, "data.name");

    return data ? data : "";
}

static bool is_in_norm(const app_report_attack *attack, const char *norm)
{
    const char *own = app_report_string(attack->json, "threat.norm");

    return own && strcmp(own, norm) == 0;
}

/* The attack of a model on this subject, NULL: none. */
static const app_report_attack *attack_of(const app_report_model *m, const subject *of)
{
    for (size_t i = 0; i < m->attacks; i++)
        if (is_in_norm(&m->attack[i], of->norm) &&
            strcmp(data_of(&m->attack[i]), of->data) == 0)
            return &m->attack[i];
    return NULL;
}

/* The data sets that any model was attacked on in this norm, as they come. */
static size_t subjects_find(subject out[SUBJECTS_MAX], const app_report_set *set,
                            const char *norm)
{
    size_t count = 0;

    for (size_t m = 0; m < set->count; m++) {
        const app_report_model *model = &set->model[m];
        for (size_t i = 0; i < model->attacks; i++) {
            const subject made = {norm, data_of(&model->attack[i])};
            bool known = !is_in_norm(&model->attack[i], norm);
            for (size_t k = 0; k < count && !known; k++)
                known = strcmp(out[k].data, made.data) == 0;
            if (!known)
                out[count++] = made;
        }
    }
    return count;
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

/* Every budget of any model, rising. */
static void budgets_find(budgets *out, const app_report_set *set, const subject *of)
{
    *out = (budgets){0};
    for (size_t m = 0; m < set->count; m++) {
        const app_report_attack *attack = attack_of(&set->model[m], of);
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
            const app_report_attack *attack = attack_of(&set->model[m], of);
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

static void chart(const app_report_set *set, show_page *page, const subject *of,
                  const budgets *b)
{
    curve *curves = base_alloc(set->count, sizeof *curves);
    show_line lines[APP_REPORT_MODELS];
    const char *names[BUDGETS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < b->count; i++)
        names[i] = b->text[i];
    for (size_t m = 0; curves && m < set->count; m++) {
        const app_report_attack *attack = attack_of(&set->model[m], of);
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
            lines[count++] = (show_line){set->model[m].name, c->x,   c->y, c->low, c->high,
                                         c->count,           (int)m, false};
    }
    const show_axes axes = {.x_title = "budget (eps)",
                            .y_title = "robust accuracy",
                            .y_high = 1,
                            .percent = true,
                            .ticks = b->eps,
                            .tick_names = names,
                            .tick_count = b->count,
                            .width = 460,
                            .height = 250};
    if (count > 0 && b->count > 1)
        show_plot_lines(page, lines, count, &axes);
    base_free(curves);
}

static void robust_rows(const app_report_set *set, show_page *page, const subject *of,
                        const budgets *b)
{
    double values[APP_REPORT_MODELS];
    char name[TEXT];

    app_report_table_begin(set, page, "robust accuracy, worst case");
    for (size_t i = 0; i < b->count; i++) {
        for (size_t m = 0; m < set->count; m++) {
            const app_report_attack *attack = attack_of(&set->model[m], of);
            app_report_share share;

            values[m] = attack && app_report_at(&share, attack->json, b->eps[i])
                            ? share.share
                            : (double)NAN;
        }
        snprintf(name, sizeof name, "%s %s", of->norm, b->text[i]);
        app_report_row(set, page, name, values, APP_REPORT_SHARE, APP_REPORT_BEST_HIGH);
    }
    fputs("<tr><td>attacks</td>", page->out.file);
    for (size_t m = 0; m < set->count; m++) {
        const app_report_attack *attack = attack_of(&set->model[m], of);
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
            show_page_text(page, json_string_value(one) ? json_string_value(one) : "?");
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
    app_report_table_end(page);
}

static double layers_mean(const json_t *layers, const char *key)
{
    double sum = 0;
    json_t *one;
    size_t i;

    json_array_foreach(layers, i, one) sum += app_report_number(one, key);
    return json_array_size(layers) ? sum / (double)json_array_size(layers) : (double)NAN;
}

/* Means over the layers at each model's own budget. */
static void routing_rows(const app_report_set *set, show_page *page, const subject *of)
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
    snprintf(name, sizeof name, "routing under %s attack, mean over blocks", of->norm);
    app_report_table_begin(set, page, name);
    fputs("<tr><td>at the budget</td>", page->out.file);
    for (size_t m = 0; m < set->count; m++) {
        const app_report_attack *attack = attack_of(&set->model[m], of);
        const char *eps =
            attack ? app_report_string(attack->json, "threat.eps_text") : NULL;

        fputs("<td class=\"n\">", page->out.file);
        show_page_text(page, eps ? eps : "");
        fputs("</td>", page->out.file);
    }
    fputs("</tr>\n", page->out.file);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (size_t m = 0; m < set->count; m++) {
            const app_report_attack *attack = attack_of(&set->model[m], of);

            values[m] =
                attack
                    ? layers_mean(json_object_get(json_object_get(attack->json, "routing"),
                                                  "layers"),
                                  rows[r].key)
                    : (double)NAN;
        }
        app_report_row(set, page, rows[r].name, values, APP_REPORT_SHARE,
                       APP_REPORT_BEST_NONE);
    }
    for (size_t m = 0; m < set->count; m++) {
        const app_report_attack *attack = attack_of(&set->model[m], of);

        values[m] =
            attack ? app_report_number(attack->json,
                                       "routing.replay.success_kept_with_clean_routing")
                   : (double)NAN;
    }
    app_report_row(set, page, "errors that stay with the clean experts", values,
                   APP_REPORT_SHARE, APP_REPORT_BEST_NONE);
    app_report_table_end(page);
}

/* ---- the exact test ------------------------------------------------------------------ */

/* Whether both, of one data set, were attacked on the same samples. */
static bool same_samples(const app_report_attack *a, const app_report_attack *b)
{
    const char *x = app_report_string(a->json, "data.ids_sha256");
    const char *y = app_report_string(b->json, "data.ids_sha256");

    return a->samples && b->samples && x && y && strcmp(x, y) == 0;
}

static base_status pair_put(show_page *page, const app_report_model *left,
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
            const double p = measure_exact_test(only[0], only[1]);

            fputs("<tr><td>", page->out.file);
            show_page_text(page, left->name);
            fputs("</td><td>", page->out.file);
            show_page_text(page, right->name);
            fputs("</td><td class=\"n\">", page->out.file);
            show_page_text(page, eps);
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

static base_status tests(const app_report_set *set, show_page *page, const subject *of,
                         const budgets *b, base_error *err)
{
    base_status status = BASE_OK;
    bool begun = false;

    for (size_t i = 0; i < set->count; i++) {
        for (size_t j = i + 1; j < set->count; j++) {
            const app_report_attack *x = attack_of(&set->model[i], of);
            const app_report_attack *y = attack_of(&set->model[j], of);

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
        app_report_table_end(page);
    return status;
}

static base_status subject_put(const app_report_set *set, show_page *page,
                               const subject *of, base_error *err)
{
    char heading[TEXT], note[2 * NAME], data[NAME];
    budgets b;

    budgets_find(&b, set, of);
    if (b.count == 0)
        return BASE_OK;
    snprintf(heading, sizeof heading, "Under attack, %s", of->norm);
    snprintf(note, sizeof note,
             "%s%s%sShare of all images that were right and that no attack broke: an upper "
             "bound, as good as the attacks. Bands: 95 %% (Wilson).",
             *of->data ? "On " : "", base_quote(data, sizeof data, of->data),
             *of->data ? ". " : "");
    show_page_section(page, heading, note);
    chart(set, page, of, &b);
    robust_rows(set, page, of, &b);
    const base_status status = tests(set, page, of, &b, err);
    routing_rows(set, page, of);
    return status;
}

base_status app_report_attacks(const app_report_set *set, show_page *page, base_error *err)
{
    static const char *const norms[] = {"linf", "l2", "l1"};
    subject subjects[SUBJECTS_MAX];
    base_status status = BASE_OK;

    for (size_t n = 0; n < sizeof norms / sizeof norms[0]; n++) {
        const size_t count = subjects_find(subjects, set, norms[n]);
        for (size_t i = 0; i < count && status == BASE_OK; i++)
            status = subject_put(set, page, &subjects[i], err);
    }
    return status;
}
