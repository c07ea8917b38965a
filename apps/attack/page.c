/* page.c - report.html: one file that needs nothing else (attacks.md 12.2). Headline and
 * verdict, attacks, accuracy over budgets with noise beside it, who broke what, classes,
 * pictures, routing, settings, and what the figures do not say. Free to change: all that a
 * reader sees. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/attack/internal.h"
#include "show/plot_internal.h"
#include "measure/measure.h"

enum { TEXT = 96, CLASSES_SHOWN = 20 };

static const char *const words[] = {"pass", "warn", "fail", "skipped"};

static const app_point *main_point(const app_attack *a)
{
    return &a->point[a->main];
}

/* ---- headline ------------------------------------------------------------------------ */

static void headline(const app_attack *a, show_page *page)
{
    const app_point *p = main_point(a);
    const double n = (double)a->n;
    char text[5][TEXT], note[3][TEXT], count[32], eps[64];
    double low, high;

    measure_interval(&low, &high, p->clean, a->n);
    snprintf(text[0], TEXT, "%.2f %%", 100 * (double)p->clean / n);
    snprintf(note[0], TEXT, "95 %%: %.2f to %.2f", 100 * low, 100 * high);
    measure_interval(&low, &high, p->robust, a->n);
    snprintf(text[1], TEXT, "%.2f %%", 100 * (double)p->robust / n);
    snprintf(note[1], TEXT, "95 %%: %.2f to %.2f", 100 * low, 100 * high);
    snprintf(text[2], TEXT, "%s", show_thousands(count, sizeof count, a->n));
    snprintf(text[3], TEXT, "%s", p->clean ? "" : "none");
    if (p->clean > 0)
        snprintf(text[3], TEXT, "%.1f %%",
                 100 * (double)(p->clean - p->robust) / (double)p->clean);
    snprintf(note[2], TEXT, "%zu of %zu right ones", p->clean - p->robust, p->clean);
    snprintf(text[4], TEXT, "%s %s", attack_norm_name(a->config.norm), p->budget.text);
    app_budget_text(eps, sizeof eps, &p->budget, a->config.norm);
    const show_card cards[] = {
        {"clean accuracy", text[0], note[0]},
        {"robust accuracy", text[1], note[1]},
        {"attack success", text[3], note[2]},
        {"budget", text[4], eps},
        {"images", text[2], a->complete ? "all used" : "stopped early"},
    };
    show_page_cards(page, cards, sizeof cards / sizeof cards[0]);
}

static void fact(show_page *page, const char *text)
{
    fputs("<li>", page->out.file);
    show_page_text(page, text);
    fputs("</li>\n", page->out.file);
}

/* What a reader must know before he believes a figure. */
static void facts(const app_attack *a, show_page *page)
{
    char text[400];

    if (!a->complete)
        fact(page, "The attack was stopped: figures are of what was done until then.");
    if (a->n < 500) {
        snprintf(text, sizeof text, "Only %zu images: the intervals are wide.", a->n);
        fact(page, text);
    }
    if (strcmp(app_attack_routing_mode(a), "batch") == 0)
        fact(page,
             "Images of a batch share the experts' capacity or their routing: predictions "
             "depend on neighbours, and the attack on the composition of batches.");
    if (app_attack_caution(a))
        fact(page, app_attack_caution(a));
    if (a->args->labels == 1)
        fact(page,
             "Labels are the model's own clean answers, not the truth: not comparable.");
    if (a->args->common.precision == VIT_PRECISION_BF16)
        fact(page, "Judged in bf16; gradients were computed in fp32.");
    if (main_point(a)->clean == 0)
        fact(page, "No image was right before the attack: there was nothing to break.");
    for (size_t i = 0; a->has_checks && i < ATTACK_CHECK_COUNT; i++) {
        const attack_check *c = &a->check[i];

        if (c->verdict != ATTACK_VERDICT_FAIL && c->verdict != ATTACK_VERDICT_WARN)
            continue;
        snprintf(text, sizeof text, "%s %s: %s", c->id, c->title, c->text);
        fact(page, text);
    }
}

static void banner(const app_attack *a, show_page *page)
{
    size_t count[4] = {0};

    for (size_t i = 0; a->has_checks && i < ATTACK_CHECK_COUNT; i++)
        count[a->check[i].verdict]++;
    const bool odd = count[ATTACK_VERDICT_WARN] > 0 || !a->complete || !a->has_checks ||
                     a->n < 500 || strcmp(app_attack_routing_mode(a), "batch") == 0 ||
                     a->args->labels == 1;
    const char *kind = count[ATTACK_VERDICT_FAIL] > 0 ? "fail" : odd ? "warn" : "pass";

    fprintf(page->out.file, "<div class=\"banner %s\"><b>", kind);
    if (!a->has_checks)
        fputs("Not checked", page->out.file);
    else if (count[ATTACK_VERDICT_FAIL] > 0)
        fprintf(page->out.file, "%zu of %d checks fail: do not trust these figures yet",
                count[ATTACK_VERDICT_FAIL], (int)ATTACK_CHECK_COUNT);
    else
        fprintf(page->out.file, "No check fails");
    fputs("</b> ", page->out.file);
    if (a->has_checks)
        fprintf(page->out.file,
                "<span class=\"soft\">%zu pass, %zu warn, %zu fail, %zu skipped</span>",
                count[0], count[1], count[2], count[3]);
    fputs("<ul>", page->out.file);
    facts(a, page);
    fputs("</ul></div>\n", page->out.file);
}

/* ---- attacks ------------------------------------------------------------------------- */

static void attacks(const app_attack *a, show_page *page)
{
    const app_point *p = main_point(a);
    FILE *file = page->out.file;
    const double n = (double)a->n;
    char time[32];

    show_page_section(
        page, "Attacks",
        a->args->mode == ATTACK_MODE_CASCADE
            ? "In order: each one sees what those before it left. Robust accuracy "
              "is of all images, the worst case over the attacks so far."
            : "Each on its own, against every image that was right.");
    fputs("<div class=\"scroll\"><table><tr><th>attack</th><th class=\"n\">broken</th>"
          "<th class=\"n\">of</th><th class=\"n\">robust</th><th>95 %</th>"
          "<th class=\"n\">8 bit</th><th class=\"n\">median norm</th>"
          "<th class=\"n\">gradients</th><th class=\"n\">forwards</th>"
          "<th class=\"n\">time</th></tr>\n",
          file);
    for (size_t i = 0; i < p->count; i++) {
        const attack_result *r = &p->result[i];
        double low, high;

        measure_interval(&low, &high, r->robust, a->n);
        fputs("<tr><td>", file);
        show_page_text(page, r->spec);
        if (r->note[0]) {
            fputs("<br><span class=\"soft\">", file);
            show_page_text(page, r->note);
            fputs("</span>", file);
        }
        fprintf(
            file,
            "</td><td class=\"n\">%zu</td><td class=\"n\">%zu</td><td class=\"n\"><b>%.2f "
            "%%</b></td><td class=\"soft\">%.2f to %.2f</td><td class=\"n\">%.2f %%</td>",
            r->broken, r->evaluated, 100 * (double)r->robust / n, 100 * low, 100 * high,
            100 * (double)r->robust_u8 / n);
        if (isfinite(r->median_norm))
            fprintf(file, "<td class=\"n\">%.4g</td>", r->median_norm);
        else
            fputs("<td class=\"n\">&ndash;</td>", file);
        fprintf(file,
                "<td class=\"n\">%.1f</td><td class=\"n\">%.1f</td><td class=\"n\">%s</td>"
                "</tr>\n",
                r->grad_evals / n, r->forward_evals / n,
                show_duration(time, sizeof time, r->seconds));
    }
    fputs(
        "</table></div>\n<p class=\"soft\">8 bit: examples rounded to 255 steps and judged "
        "again. Gradients and forwards: evaluations for each image of the set, on average."
        "</p>\n",
        file);
}

/* Who broke what: wrong before, each attack's share, what is left. */
static void waterfall(const app_attack *a, show_page *page)
{
    const app_point *p = main_point(a);
    show_part parts[APP_ATTACKS_MAX + 2];
    const double n = (double)a->n;
    size_t left = p->clean, count = 0;

    if (a->args->mode != ATTACK_MODE_CASCADE)
        return;
    parts[count++] = (show_part){"wrong before", (n - (double)p->clean) / n, -1};
    for (size_t i = 0; i < p->count; i++) {
        const size_t after = p->result[i].robust_after;

        parts[count++] = (show_part){p->result[i].name, (double)(left - after) / n,
                                     (int)((i + 1) % SHOW_PLOT_COLOURS)};
        left = after;
    }
    parts[count++] = (show_part){"not broken", (double)p->robust / n, -2};
    show_plot_parts(page, parts, count);
}

/* ---- accuracy over budgets ----------------------------------------------------------- */

static int by_eps(const void *left, const void *right, void *user)
{
    const app_attack *a = user;
    const double x = a->point[*(const size_t *)left].budget.eps;
    const double y = a->point[*(const size_t *)right].budget.eps;

    return (x > y) - (x < y);
}

enum { SWEEP_MAX = APP_BUDGETS_MAX + 1 }; /* and 0, where the clean images stand */

typedef struct sweep_rows {
    double x[SWEEP_MAX], worst[SWEEP_MAX], low[SWEEP_MAX], high[SWEEP_MAX],
        noise[SWEEP_MAX];
    double attack[APP_ATTACKS_MAX][SWEEP_MAX];
    const char *names[SWEEP_MAX];
    size_t count;
} sweep_rows;

static void sweep_fill(sweep_rows *s, const app_attack *a)
{
    size_t order[APP_BUDGETS_MAX];
    const double n = (double)a->n;
    const size_t attacks = main_point(a)->count;

    for (size_t i = 0; i < a->points; i++)
        if (a->point[i].left && (a->point[i].complete || i == a->main))
            order[s->count++] = i;
    qsort_r(order, s->count, sizeof *order, by_eps, (void *)(uintptr_t)a);
    const size_t begun = s->count;
    const bool no_zero = begun > 0 && a->point[order[0]].budget.eps > 0;
    s->count += no_zero;
    if (no_zero) {
        const size_t clean = main_point(a)->clean;
        s->names[0] = "0";
        s->worst[0] = s->noise[0] = (double)clean / n;
        measure_interval(&s->low[0], &s->high[0], clean, a->n);
        for (size_t r = 0; r < attacks; r++)
            s->attack[r][0] = s->worst[0];
    }
    for (size_t at = 0; at < begun; at++) {
        const app_point *p = &a->point[order[at]];
        const size_t i = at + no_zero;

        s->x[i] = p->budget.eps;
        s->names[i] = p->budget.text;
        s->worst[i] = (double)p->robust / n;
        s->noise[i] = p->noise_accuracy;
        measure_interval(&s->low[i], &s->high[i], p->robust, a->n);
        for (size_t r = 0; r < attacks; r++)
            s->attack[r][i] = r < p->count ? (double)p->result[r].robust / n : (double)NAN;
    }
}

static void sweep(const app_attack *a, show_page *page)
{
    static const char worst[] = "worst case, 95 %", noise[] = "random noise";
    const app_point *p = main_point(a);
    sweep_rows *s = base_alloc(1, sizeof *s);
    show_line lines[APP_ATTACKS_MAX + 2];
    size_t count = 0;

    if (!s)
        return;
    sweep_fill(s, a);
    if (s->count > 1) {
        lines[count++] =
            (show_line){worst, s->x, s->worst, s->low, s->high, s->count, 0, false};
        for (size_t r = 0; r + 1 < p->count && p->count <= SHOW_PLOT_COLOURS; r++)
            if (strcmp(p->result[r].name, "noise") != 0)
                lines[count++] = (show_line){p->result[r].name,
                                             s->x,
                                             s->attack[r],
                                             NULL,
                                             NULL,
                                             s->count,
                                             (int)(r + 1) % SHOW_PLOT_COLOURS,
                                             false};
        lines[count++] = (show_line){noise, s->x, s->noise, NULL, NULL, s->count, 6, true};
        show_page_section(
            page, "Accuracy over budgets",
            "Random noise of the same size is the control: the distance between "
            "the two lines is what the attack's aim does.");
        const show_axes axes = {.x_title = "budget (eps)",
                                .y_title = "accuracy",
                                .y_high = 1,
                                .percent = true,
                                .ticks = s->x,
                                .tick_names = s->names,
                                .tick_count = s->count,
                                .width = 460,
                                .height = 250};
        show_plot_lines(page, lines, count, &axes);
    }
    base_free(s);
}

/* ---- curves -------------------------------------------------------------------------- */

static void curves(const app_attack *a, show_page *page)
{
    const app_point *p = main_point(a);
    bool begun = false;

    for (size_t i = 0; i < p->count; i++) {
        const attack_result *r = &p->result[i];
        double x[ATTACK_CURVE_MAX], low = INFINITY, high = -INFINITY;

        if (r->curve_count < 3)
            continue;
        for (size_t c = 0; c < r->curve_count; c++) {
            x[c] = (double)r->curve_step[c];
            if (isfinite(r->curve[c])) {
                low = fmin(low, r->curve[c]);
                high = fmax(high, r->curve[c]);
            }
        }
        if (!(high >= low))
            continue;
        if (!begun) {
            show_page_section(
                page, "Loss over steps",
                "Mean over the samples of the best loss so far. Flat at the end: "
                "more steps would gain little.");
            fputs("<div class=\"row\">", page->out.file);
        }
        begun = true;
        const show_line line = {"",
                                x,
                                r->curve,
                                NULL,
                                NULL,
                                r->curve_count,
                                (int)((i + 1) % SHOW_PLOT_COLOURS),
                                false};
        char title[TEXT];
        snprintf(title, sizeof title, "%s: %s", r->name, r->loss);
        const show_axes axes = {.x_title = "step",
                                .y_title = title,
                                .y_low = low,
                                .y_high = high > low ? high : low + 1,
                                .width = 210,
                                .height = 130};
        show_plot_lines(page, &line, 1, &axes);
    }
    if (begun)
        fputs("</div>\n", page->out.file);
}

static void restarts(const app_attack *a, show_page *page)
{
    const app_point *p = main_point(a);
    bool begun = false;

    for (size_t i = 0; i < p->count; i++) {
        const attack_result *r = &p->result[i];

        if (r->by_restart_count < 2)
            continue;
        if (!begun)
            fputs("<p class=\"soft\">Broken after each start or target: ", page->out.file);
        begun = true;
        show_page_text(page, r->name);
        for (size_t k = 0; k < r->by_restart_count; k++)
            fprintf(page->out.file, " %zu", r->by_restart[k]);
        fputs(". ", page->out.file);
    }
    if (begun)
        fputs("</p>\n", page->out.file);
}

/* ---- classes ------------------------------------------------------------------------- */

typedef struct class_row {
    size_t class, total, right, left;
} class_row;

/* Least robust first. */
static int by_robustness(const void *left, const void *right)
{
    const class_row *x = left, *y = right;
    const double a = x->total ? (double)x->left / (double)x->total : 2;
    const double b = y->total ? (double)y->left / (double)y->total : 2;

    return a < b ? -1 : a > b ? 1 : (x->class > y->class) - (x->class < y->class);
}

static void classes(const app_attack *a, show_page *page)
{
    const size_t count = a->network.classes;
    class_row *rows = base_alloc(count, sizeof *rows);
    char name[128];

    if (!rows)
        return;
    for (size_t c = 0; c < count; c++)
        rows[c].class = c;
    for (size_t i = 0; i < a->n; i++) {
        class_row *row = &rows[a->labels[i]];

        row->total++;
        row->right += attack_run_sample(a->run, i).right;
        row->left += main_point(a)->left[i];
    }
    qsort(rows, count, sizeof *rows, by_robustness);
    show_page_section(
        page, "Classes",
        count > CLASSES_SHOWN
            ? "Pale: accuracy on clean images. Dark: what the attacks left. The 20 "
              "least robust; all are in report.json."
            : "Pale: accuracy on clean images. Dark: what the attacks left.");
    fputs("<div class=\"bars\">\n", page->out.file);
    for (size_t i = 0; i < count && i < CLASSES_SHOWN && rows[i].total > 0; i++) {
        const double n = (double)rows[i].total;
        const double clean = 100 * (double)rows[i].right / n;
        const double robust = 100 * (double)rows[i].left / n;

        fputs("<div class=\"name\">", page->out.file);
        show_page_text(page, app_network_class(name, sizeof name, &a->network, a->source,
                                               rows[i].class));
        fprintf(
            page->out.file,
            "</div><div class=\"track\" style=\"position:relative\"><div class=\"fill\" "
            "style=\"width:%.2f%%;opacity:.3\"></div><div class=\"fill\" "
            "style=\"width:%.2f%%;position:absolute;top:0;left:0\"></div></div>"
            "<div class=\"value\">%.1f &rarr; %.1f %%</div>\n",
            clean, robust, clean, robust);
    }
    fputs("</div>\n", page->out.file);
    base_free(rows);
}

/* ---- verdicts, settings -------------------------------------------------------------- */

static void checks(const app_attack *a, show_page *page)
{
    FILE *file = page->out.file;

    if (!a->has_checks)
        return;
    show_page_section(
        page, "Checks",
        "Whether the search was strong enough to be believed (attacks fail silently: "
        "Carlini et al. 2019, Croce and Hein 2020).");
    fputs("<table><tr><th></th><th>check</th><th></th><th>what was found</th></tr>\n",
          file);
    for (size_t i = 0; i < ATTACK_CHECK_COUNT; i++) {
        const attack_check *c = &a->check[i];

        fprintf(file, "<tr><td class=\"soft\">%s</td><td>", c->id);
        show_page_text(page, c->title);
        fprintf(file, "</td><td class=\"%s\"><span class=\"badge\">%s</span></td><td>",
                words[c->verdict], words[c->verdict]);
        show_page_text(page, c->text);
        fputs("</td></tr>\n", file);
    }
    fputs("</table>\n", file);
}

static void setting(show_page *page, const char *name, const char *value)
{
    fputs("<tr><td class=\"soft\">", page->out.file);
    show_page_text(page, name);
    fputs("</td><td style=\"overflow-wrap:anywhere\">", page->out.file);
    show_page_text(page, value);
    fputs("</td></tr>\n", page->out.file);
}

static void settings(const app_attack *a, show_page *page)
{
    const vit_config *c = a->network.config;
    char text[1400], name[128], safe[1024], time[32];

    show_page_section(page, "Settings", NULL);
    fputs("<table>\n", page->out.file);
    snprintf(text, sizeof text, "%s (%s), %s",
             base_quote(safe, sizeof safe, a->network.path),
             app_network_name(name, sizeof name, c), app_attack_routing_mode(a));
    setting(page, "model", text);
    setting(page, "sha256", a->model_hash);
    if (vit_config_is_sparse(c)) {
        snprintf(text, sizeof text, "%s, %d of %d experts", c->moe.router.name, c->moe.k,
                 c->moe.experts);
        setting(page, "router", text);
    }
    snprintf(text, sizeof text, "%s: %zu of %zu images, seed %lld, ids sha256 %.16s",
             base_quote(safe, sizeof safe, a->args->data), a->n,
             data_source_count(a->source), (long long)a->args->common.seed, a->ids_hash);
    setting(page, "data", text);
    snprintf(text, sizeof text,
             "%dx%zux%zu, 8 bit, resize %zu, crop %zu; attacked in [0, 1]", c->channels,
             a->network.size, a->network.size, a->network.resize, a->network.size);
    setting(page, "images", text);
    snprintf(text, sizeof text, "%s, %lld threads, batch %lld",
             a->args->common.precision == VIT_PRECISION_BF16 ? "bf16" : "fp32",
             (long long)a->args->common.threads, (long long)a->args->common.batch);
    setting(page, "precision", text);
    snprintf(text, sizeof text, "%s from %s", show_duration(time, sizeof time, a->seconds),
             a->started);
    setting(page, "took", text);
    fputs("<tr><td class=\"soft\">command</td><td><code>", page->out.file);
    show_page_text(page, a->command_line);
    fputs("</code></td></tr>\n</table>\n", page->out.file);
    show_page_section(page, "What this does not say", NULL);
    fputs(
        "<p>Robust accuracy is an upper bound: what these attacks did not find, others may. It is "
        "of these images and this threat only. Passing checks is no proof of robustness, and an "
        "attack that knows this network may do better. Numbers behind the page: report.json, "
        "samples.csv; the examples themselves: adv.npy beside clean.npy and labels.npy, "
        "float32 in [0, 1], to be judged by anybody.</p>\n",
        page->out.file);
}

base_status app_attack_page(const app_attack *a, const char *path, base_error *err)
{
    show_page page = {0};
    char lead[1600], name[128], model[512], data[512];

    snprintf(lead, sizeof lead, "%s (%s) on %s, %zu pixels a side",
             base_quote(model, sizeof model, a->network.path),
             app_network_name(name, sizeof name, a->network.config),
             base_quote(data, sizeof data, a->args->data), a->network.size);
    base_status status = show_page_open(&page, path, "Adversarial robustness", lead, err);
    if (status != BASE_OK)
        return status;
    headline(a, &page);
    banner(a, &page);
    attacks(a, &page);
    waterfall(a, &page);
    restarts(a, &page);
    sweep(a, &page);
    curves(a, &page);
    app_attack_routing_page(a, &page);
    app_attack_router_page(a, &page);
    classes(a, &page);
    status = app_attack_pictures(a, &page, err);
    checks(a, &page);
    settings(a, &page);
    if (status == BASE_OK)
        return show_page_commit(&page, err);
    show_page_abandon(&page);
    return status;
}
