/* page.c - the comparison as one page: who is best at what, what is held against the
 * baseline and by how much of the spread, loads, cost, every run. Free to change: all that
 * a reader sees. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "apps/compare/table_internal.h"
#include "show/plot_internal.h"

static const char style[] =
    "<style>body{max-width:1240px}.heat td,.heat th{padding:3px 8px}"
    "th.up{height:118px;vertical-align:bottom;padding:3px 2px}"
    "th.up span{writing-mode:vertical-rl;transform:rotate(180deg);font-weight:400}"
    ".fig td,.fig th{padding:4px 12px 4px 0;white-space:nowrap}"
    ".scroll .fig th{white-space:normal;vertical-align:bottom;line-height:1.25;"
    "max-width:120px}"
    ".fig td:first-child,.heat td:first-child{position:sticky;left:0;"
    "background:var(--paper)}.base td{background:var(--card)}"
    ".base td:first-child{background:var(--card)}.mark{color:var(--orange);line-height:0}"
    "</style>\n";

/* ---- tables of figures --------------------------------------------------------------- */

static bool figure_known(const app_table *t, size_t figure)
{
    for (size_t e = 0; e < t->compare->entries.count; e++)
        if (app_table_spread(t, e, figure)->count > 0)
            return true;
    return false;
}

static const char *unit_of(const app_figure *f)
{
    return f->kind == APP_KIND_SHARE ? ", %" : f->kind == APP_KIND_FLOPS ? ", M" : "";
}

static void head_put(show_page *page, const app_table *t, const size_t *list, size_t count)
{
    fputs("<div class=\"scroll\"><table class=\"fig\"><tr><th>router</th><th class=\"n\">"
          "seeds</th>",
          page->out.file);
    for (size_t i = 0; i < count; i++) {
        if (!figure_known(t, list[i]))
            continue;
        fputs("<th class=\"n\">", page->out.file);
        show_page_text(page, t->figure[list[i]].title);
        show_page_text(page, unit_of(&t->figure[list[i]]));
        fputs("</th>", page->out.file);
    }
    fputs("</tr>\n", page->out.file);
}

/* Rows by clean accuracy; bold whom the paired test does not tell from the best mean of a
 * column; clear differences from the baseline in colour. */
static void figures_put(show_page *page, const app_table *t, const size_t *list,
                        size_t count)
{
    const app_compare *c = t->compare;
    FILE *file = page->out.file;
    char text[96];

    head_put(page, t, list, count);
    for (size_t i = 0; i < c->entries.count; i++) {
        const size_t e = t->order[i];
        fprintf(file, "<tr%s><td>", e == t->baseline ? " class=\"base\"" : "");
        app_compare_label(page, &c->entries.entry[e]);
        fprintf(file, "</td><td class=\"n\">%zu</td>",
                app_table_spread(t, e, APP_FIGURE_TOP1)->count);
        for (size_t k = 0; k < count; k++) {
            const app_figure *f = &t->figure[list[k]];
            const measure_mean *s = app_table_spread(t, e, list[k]);
            const measure_difference d = app_table_difference(t, e, t->baseline, list[k]);
            bool lead[APP_ENTRIES_MAX];
            const bool bold = app_table_leaders(lead, t, list[k]) > 0 && lead[e];

            if (!figure_known(t, list[k]))
                continue;
            fprintf(file, "<td class=\"n %s\">%s", app_difference_class(&d, f),
                    bold ? "<b>" : "");
            show_page_text(page, app_figure_text(text, sizeof text, s, f));
            fputs(bold ? "</b></td>" : "</td>", file);
        }
        fputs("</tr>\n", file);
    }
    fputs("</table></div>\n", file);
}

/* ---- against the baseline ------------------------------------------------------------ */

/* "clean top-1: ssr is better than softmax (+0.42, +0.10 to +0.74); not to be told apart
 * from ..." */
static void verdict_put(show_page *page, const app_table *t, size_t figure)
{
    enum { TEXT = APP_ENTRIES_MAX * (APP_LABEL_BYTES + 64) };
    char *text = base_alloc(TEXT, 1);

    if (text && app_verdict_text(text, TEXT, t, figure)) {
        fputs("<li><b>", page->out.file);
        show_page_text(page, t->figure[figure].title);
        show_page_text(page, unit_of(&t->figure[figure]));
        fputs("</b>: ", page->out.file);
        show_page_text(page, text);
        fputs("</li>\n", page->out.file);
    }
    base_free(text);
}

static void baseline_put(show_page *page, const app_table *t)
{
    const app_compare *c = t->compare;
    const char *label = c->entries.entry[t->baseline].label;
    FILE *file = page->out.file;
    size_t list[APP_FIGURES_MAX];
    const size_t count = app_main_figures(t, list);
    char text[96], heading[160];

    if (c->entries.count < 2)
        return;
    snprintf(heading, sizeof heading, "Against %s", label);
    show_page_section(
        page, heading,
        "Differences by seed, whose data order and first weights all routers share: "
        "their mean in points, plus or minus their standard deviation, and in "
        "brackets how many of these spreads it is. Green: clearly better than the "
        "baseline, red: clearly worse (paired two-sided t test at 95 %, not "
        "corrected for how many are compared); black: the seeds do not tell them "
        "apart.");
    fputs("<ul>\n", file);
    for (size_t k = 0; k < count; k++)
        verdict_put(page, t, list[k]);
    fputs("</ul>\n", file);
    head_put(page, t, list, count);
    for (size_t i = 0; i < c->entries.count; i++) {
        const size_t e = t->order[i];
        if (e == t->baseline)
            continue;
        fputs("<tr><td>", file);
        app_compare_label(page, &c->entries.entry[e]);
        fprintf(file, "</td><td class=\"n\">%zu</td>",
                app_table_spread(t, e, APP_FIGURE_TOP1)->count);
        for (size_t k = 0; k < count; k++) {
            const measure_difference d = app_table_difference(t, e, t->baseline, list[k]);
            if (!figure_known(t, list[k]))
                continue;
            fprintf(file, "<td class=\"n %s\">",
                    app_difference_class(&d, &t->figure[list[k]]));
            show_page_text(
                page, app_difference_text(text, sizeof text, &d, &t->figure[list[k]], ""));
            fputs("</td>", file);
        }
        fputs("</tr>\n", file);
    }
    fputs("</table></div>\n", file);
}

/* ---- sections ------------------------------------------------------------------------ */

typedef struct best_card {
    char value[96], note[256], label[64];
} best_card;

/* Who is best at a figure, or that the seeds do not say; false: it is not known. */
static bool card_fill(best_card *out, const app_table *t, size_t figure, const char *label)
{
    bool lead[APP_ENTRIES_MAX];
    const size_t leaders = app_table_leaders(lead, t, figure);
    char text[80];
    size_t used = 0;

    if (!figure_known(t, figure))
        return false;
    *out = (best_card){0};
    snprintf(out->label, sizeof out->label, "%s", label);
    if (leaders == 1)
        for (size_t e = 0; e < t->compare->entries.count; e++) {
            if (!lead[e])
                continue;
            snprintf(out->value, sizeof out->value, "%s",
                     t->compare->entries.entry[e].label);
            snprintf(out->note, sizeof out->note, "%s%s",
                     app_figure_text(text, sizeof text, app_table_spread(t, e, figure),
                                     &t->figure[figure]),
                     t->figure[figure].kind == APP_KIND_SHARE ? " %" : "");
            return true;
        }
    snprintf(out->value, sizeof out->value, "%s",
             leaders == 0 ? "nobody is told apart" : "not one");
    for (size_t i = 0; i < t->compare->entries.count && used < sizeof out->note; i++)
        if (lead[t->order[i]])
            used += (size_t)snprintf(out->note + used, sizeof out->note - used, "%s%s",
                                     used ? ", " : "",
                                     t->compare->entries.entry[t->order[i]].label);
    return true;
}

static void cards_put(show_page *page, const app_table *t)
{
    enum { CARDS = 3 };
    best_card texts[CARDS];
    show_card cards[CARDS];
    char attacked[64];
    size_t count = 0;

    count += card_fill(&texts[count], t, APP_FIGURE_TOP1, "best clean top-1");
    count +=
        card_fill(&texts[count], t, APP_FIGURE_CORRUPTED, "least error under corruptions");
    if (t->figures > APP_FIGURE_COUNT) {
        snprintf(attacked, sizeof attacked, "best under %s",
                 t->figure[t->figures - 1].title);
        count += card_fill(&texts[count], t, t->figures - 1, attacked);
    }
    for (size_t i = 0; i < count; i++)
        cards[i] = (show_card){
            .label = texts[i].label, .value = texts[i].value, .note = texts[i].note};
    if (count > 0)
        show_page_cards(page, cards, count);
}

static bool measured(const app_compare *c, const app_compare_run *run)
{
    return run->result[APP_MEASURE_CLEAN] &&
           (run->result[APP_MEASURE_CORRUPT] || c->args->no_corruptions) &&
           (run->result[APP_MEASURE_ATTACK] || c->args->no_attack);
}

/* What failed or is not there yet, before any number. */
static void missing_put(show_page *page, const app_table *t)
{
    const app_compare *c = t->compare;
    size_t failed = 0, untrained = 0, unmeasured = 0;
    char name[128];

    for (size_t r = 0; r < c->runs; r++) {
        failed += c->run[r].reason[0] != '\0';
        untrained += !c->run[r].reason[0] && c->run[r].state != APP_RUN_FINISHED;
        unmeasured += !c->run[r].reason[0] && c->run[r].state == APP_RUN_FINISHED &&
                      !measured(c, &c->run[r]);
    }
    if (failed + untrained + unmeasured == 0)
        return;
    fprintf(
        page->out.file,
        "<div class=\"banner warn\"><b>%zu of %zu runs are not in all of these figures</b><ul>\n",
        failed + untrained + unmeasured, c->runs);
    for (size_t r = 0; r < c->runs && failed > 0; r++) {
        if (!c->run[r].reason[0])
            continue;
        fputs("<li>", page->out.file);
        show_page_text(page, app_compare_name(name, sizeof name, c, &c->run[r]));
        fputs(" failed: ", page->out.file);
        show_page_text(page, c->run[r].reason);
        fputs("</li>\n", page->out.file);
    }
    if (untrained > 0)
        fprintf(page->out.file, "<li>%zu not trained to the end yet</li>\n", untrained);
    if (unmeasured > 0)
        fprintf(page->out.file, "<li>%zu trained, but not measured in full yet</li>\n",
                unmeasured);
    fputs("</ul></div>\n", page->out.file);
}

static base_status sections_put(show_page *page, const app_table *t, base_error *err)
{
    size_t list[APP_FIGURES_MAX], count = app_main_figures(t, list);
    static const size_t loads[] = {
        APP_FIGURE_LOAD_CV,  APP_FIGURE_LOAD_ENTROPY,  APP_FIGURE_VIOLATION,
        APP_FIGURE_DEAD,     APP_FIGURE_DROPPED,       APP_FIGURE_ORPHANS,
        APP_FIGURE_TRAIN_CV, APP_FIGURE_TRAIN_DEAD,    APP_FIGURE_TRAIN_DROPPED,
        APP_FIGURE_SINKHORN, APP_FIGURE_SINKHORN_STEPS};
    static const size_t moved[] = {APP_FIGURE_MOVED_CORRUPTED, APP_FIGURE_MOVED_ATTACKED,
                                   APP_FIGURE_MOVED_NOISE};
    static const size_t cost[] = {
        APP_FIGURE_PARAMETERS,     APP_FIGURE_ACTIVE, APP_FIGURE_FLOPS,
        APP_FIGURE_LOSS,           APP_FIGURE_ECE,    APP_FIGURE_TRAIN_LOSS,
        APP_FIGURE_TRAIN_LOSS_TIME};

    list[count++] = APP_FIGURE_MCE;
    list[count++] = APP_FIGURE_LOAD_CV;
    list[count++] = APP_FIGURE_MOVED_CORRUPTED;
    list[count++] = APP_FIGURE_STEP_RATIO;
    show_page_section(
        page, "The table",
        "Mean over seeds and the standard deviation of one training. Bold: not clearly "
        "worse than the best mean of the column, where anybody is. The baseline's row is "
        "shaded; green and red are clearly better and clearly worse than the baseline.");
    figures_put(page, t, list, count);
    show_page_section(
        page, "Every seed",
        "A dot is a training, the tick their mean, the bar one standard deviation "
        "either way; orange is the baseline, the dashed line its mean.");
    base_status status = app_compare_dots(t, page, err);
    if (status != BASE_OK)
        return status;
    baseline_put(page, t);
    if (figure_known(t, APP_FIGURE_CORRUPTED)) {
        show_page_section(
            page, "Corruption by corruption",
            "Error in per cent, mean over severities and seeds. Darker: worse "
            "among these routers; bold: the least.");
        app_compare_corruptions(t, page);
    }
    show_page_section(page, "Load of the experts", NULL);
    figures_put(page, t, loads, sizeof loads / sizeof loads[0]);
    if (figure_known(t, APP_FIGURE_MOVED_CORRUPTED) ||
        figure_known(t, APP_FIGURE_MOVED_ATTACKED)) {
        show_page_section(
            page, "Change of routing",
            "Share of a token's experts that are others than on the clean image "
            "(1 - IoU).");
        figures_put(page, t, moved, sizeof moved / sizeof moved[0]);
    }
    show_page_section(page, "Cost and fit", NULL);
    figures_put(page, t, cost, sizeof cost / sizeof cost[0]);
    if (t->timing)
        app_compare_steps(page, t);
    show_page_section(page, "Training", "Means over seeds.");
    status = app_compare_curves(t, page, err);
    app_compare_routers(page, t);
    app_compare_method(page, t);
    app_compare_runs(page, t);
    return status;
}

base_status app_compare_page(const app_table *table, base_error *err)
{
    const app_compare *c = table->compare;
    char *path = base_text("%s/compare.html", c->args->out);
    char lead[320], steps[32], network[128];
    show_page page;

    if (!path)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a file name");
    snprintf(lead, sizeof lead,
             "%zu routers with %lld seed%s each on %s (%.80s), %s steps of %d images",
             c->entries.count, (long long)c->args->seeds, c->args->seeds > 1 ? "s" : "",
             app_network_name(network, sizeof network, &c->recipe.config), c->recipe.name,
             show_thousands(steps, sizeof steps, c->total), c->recipe.train.batch);
    base_status status = show_page_open(&page, path, "Routers compared", lead, err);
    base_free(path);
    if (status != BASE_OK)
        return status;
    fputs(style, page.out.file);
    missing_put(&page, table);
    cards_put(&page, table);
    status = sections_put(&page, table, err);
    if (status == BASE_OK)
        return show_page_commit(&page, err);
    show_page_abandon(&page);
    return status;
}
