/* page.c - the page of an evaluation: headline, calibration, classes, confusion,
 * examples, experts. Free to change: all of it. */
#include "apps/eval/internal.h"
#include "show/page_internal.h"

#include <stdlib.h>
#include <string.h>

enum { BARS_MAX = 40, TEXT = 64 };

static void headline(const app_evaluation *e, show_page *page)
{
    const measure_score *s = &e->score;
    char text[6][TEXT], note[2][TEXT], number[32];
    double low, high;

    measure_interval(&low, &high, s->top1, s->samples);
    snprintf(text[0], TEXT, "%.2f %%", 100 * measure_score_top1(s));
    snprintf(note[0], TEXT, "95 %%: %.2f to %.2f", 100 * low, 100 * high);
    snprintf(text[1], TEXT, "%.2f %%", 100 * measure_score_top5(s));
    snprintf(text[2], TEXT, "%s", "none");
    snprintf(text[3], TEXT, "%s", "none");
    if (s->samples > s->bad) {
        snprintf(text[2], TEXT, "%.4f", measure_score_loss(s));
        snprintf(text[3], TEXT, "%.2f %%", 100 * measure_score_ece(s));
    }
    snprintf(text[4], TEXT, "%s", show_thousands(number, sizeof number, s->samples));
    snprintf(note[1], TEXT, "%llu unusable", (unsigned long long)s->bad);
    snprintf(text[5], TEXT, "%s",
             show_thousands(number, sizeof number, (uint64_t)(app_eval_rate(e) + 0.5)));
    const show_card cards[] = {
        {"top-1", text[0], note[0]},
        {"top-5", text[1], "label among five"},
        {"loss", text[2], "nats an image"},
        {"calibration error", text[3], "expected, 15 bins"},
        {"images", text[4],
         s->bad           ? note[1]
         : e->interrupted ? "stopped early"
                          : "all used"},
        {"images/s", text[5], "reading included"},
    };
    show_page_cards(page, cards, sizeof cards / sizeof cards[0]);
}

/* Accuracy among the classes present, and images of none of them. */
static void subset_cards(const app_evaluation *e, show_page *page)
{
    const app_subset *t = &e->subset;
    const double n = e->score.samples ? (double)e->score.samples : 1;
    char text[4][TEXT], note[2][TEXT];
    show_card cards[4];
    size_t count = 0;

    if (app_subset_is_part(t)) {
        snprintf(text[0], TEXT, "%.2f %%", 100 * (double)t->top1 / n);
        snprintf(note[0], TEXT, "among the %zu present", t->count);
        cards[count++] = (show_card){"top-1, classes present", text[0], note[0]};
    }
    if (t->ood && !e->interrupted) {
        snprintf(text[1], TEXT, "%.2f %%", 100 * t->detection.aupr);
        snprintf(text[2], TEXT, "%.2f %%", 100 * t->detection.auroc);
        snprintf(text[3], TEXT, "%.2f %%", 100 * t->detection.fpr95);
        snprintf(note[1], TEXT, "%zu images of no class", t->outside_count);
        cards[count++] = (show_card){"AUPR", text[1], note[1]};
        cards[count++] = (show_card){"AUROC", text[2], "by largest probability"};
        cards[count++] = (show_card){"FPR95", text[3], "at 95 % recall"};
    }
    if (count > 0)
        show_page_cards(page, cards, count);
}

/* Sorts class numbers by accuracy, worst first; the comparison needs the score. */
static int by_accuracy(const void *left, const void *right, void *user)
{
    const measure_score *s = user;
    const size_t a = *(const size_t *)left, b = *(const size_t *)right;
    const double x = (double)s->class_right[a] / (double)s->class_total[a];
    const double y = (double)s->class_right[b] / (double)s->class_total[b];

    return x < y ? -1 : x > y ? 1 : a < b ? -1 : a > b;
}

static base_status classes(const app_evaluation *e, show_page *page, base_error *err)
{
    const measure_score *s = &e->score;
    size_t *order = base_alloc(s->classes, sizeof *order);
    char names[BARS_MAX][APP_NAME_BYTES], values[BARS_MAX][TEXT], note[TEXT * 2];
    show_bar bars[BARS_MAX];
    size_t count = 0;

    if (!order)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu classes", s->classes);
    for (size_t c = 0; c < s->classes; c++)
        if (s->class_total[c] > 0)
            order[count++] = c;
    qsort_r(order, count, sizeof *order, by_accuracy, (void *)s);
    snprintf(note, sizeof note,
             count > BARS_MAX ? "The %d hardest of %zu, hardest first." : "Hardest first.",
             BARS_MAX, count);
    show_page_section(page, "Accuracy of each class", note);
    for (size_t i = 0; i < count && i < BARS_MAX; i++) {
        const size_t c = order[i];
        const double share = (double)s->class_right[c] / (double)s->class_total[c];

        snprintf(values[i], TEXT, "%.1f %%  of %llu", 100 * share,
                 (unsigned long long)s->class_total[c]);
        bars[i] = (show_bar){
            .name = app_network_class(names[i], APP_NAME_BYTES, &e->network, e->source, c),
            .value = values[i],
            .share = share};
    }
    show_page_bars(page, bars, count < BARS_MAX ? count : BARS_MAX);
    base_free(order);
    return BASE_OK;
}

/* Names of all classes as one block; base_free. NULL: no memory, numbers are shown then. */
static char **class_names(const app_evaluation *e)
{
    const size_t count = e->score.classes;
    char **names = base_alloc(count, sizeof *names + APP_NAME_BYTES);

    for (size_t c = 0; names && c < count; c++) {
        names[c] = (char *)(names + count) + c * APP_NAME_BYTES;
        app_network_class(names[c], APP_NAME_BYTES, &e->network, e->source, c);
    }
    return names;
}

static base_status confusion(const app_evaluation *e, show_page *page, char **names,
                             base_error *err)
{
    enum { PAIRS = 12 };
    measure_confused pairs[PAIRS];
    const size_t count = measure_score_confused(pairs, PAIRS, &e->score);
    const show_heat heat = {
        .values = e->score.confusion,
        .rows = e->score.classes,
        .columns = e->score.classes,
        .row_names = (const char *const *)names,
        .column_names = (const char *const *)names,
        .row_title = "what it is",
        .column_title = "what it was taken for",
    };

    if (!e->score.confusion)
        return BASE_OK;
    show_page_section(page, "Confusion", NULL);
    fputs("<div class=\"row\">", page->out.file);
    const base_status status = show_chart_heat(page, &heat, err);
    fputs("<table><tr><th>is</th><th>taken for</th><th class=\"n\">images</th>"
          "<th class=\"n\">of class</th></tr>\n",
          page->out.file);
    for (size_t i = 0; i < count; i++) {
        char name[APP_NAME_BYTES];

        fputs("<tr><td>", page->out.file);
        show_page_text(page, app_network_class(name, sizeof name, &e->network, e->source,
                                               pairs[i].label));
        fputs("</td><td>", page->out.file);
        show_page_text(page, app_network_class(name, sizeof name, &e->network, e->source,
                                               pairs[i].answer));
        fprintf(page->out.file,
                "</td><td class=\"n\">%llu</td><td class=\"n\">%.1f %%</td></tr>\n",
                (unsigned long long)pairs[i].count,
                100.0 * (double)pairs[i].count /
                    (double)e->score.class_total[pairs[i].label]);
    }
    fputs("</table></div>\n", page->out.file);
    return status;
}

static base_status example(const app_evaluation *e, show_page *page, const app_example *x,
                           base_error *err)
{
    char names[APP_EXAMPLE_TOP][APP_NAME_BYTES], values[APP_EXAMPLE_TOP][TEXT];
    char truth[APP_NAME_BYTES], sample[1024];
    show_bar bars[APP_EXAMPLE_TOP];

    for (size_t i = 0; i < x->top_count; i++) {
        snprintf(values[i], TEXT, "%.0f %%", 100 * x->probability[i]);
        bars[i] = (show_bar){.name = app_network_class(names[i], APP_NAME_BYTES,
                                                       &e->network, e->source, x->top[i]),
                             .value = values[i],
                             .share = x->probability[i],
                             .mark = x->top[i] == (size_t)x->label};
    }
    const show_shot shot = {
        .picture = &x->picture,
        .name = data_source_name(e->source, x->sample, sample, sizeof sample),
        .answer = names[0],
        .truth = app_network_class(truth, sizeof truth, &e->network, e->source,
                                   (size_t)x->label),
        .right = x->top[0] == (size_t)x->label,
        .bars = bars,
        .bar_count = x->top_count,
    };
    return show_page_shot(page, &shot, err);
}

static base_status examples(const app_evaluation *e, show_page *page, const char *heading,
                            const char *note, const app_example *list, size_t count,
                            base_error *err)
{
    base_status status = BASE_OK;

    if (count == 0)
        return BASE_OK;
    show_page_section(page, heading, note);
    show_page_shots_begin(page);
    for (size_t i = 0; i < count && status == BASE_OK; i++)
        status = example(e, page, &list[i], err);
    show_page_shots_end(page);
    return status;
}

static base_status experts(const app_evaluation *e, show_page *page, char **names,
                           base_error *err)
{
    base_status status = BASE_OK;

    if (e->moe_count == 0)
        return BASE_OK;
    show_page_section(
        page, "Experts",
        "Tokens that each expert got over the whole set; the dashed line is an even "
        "load. An expert below 1 % of it is dead.");
    fputs("<div class=\"row\">", page->out.file);
    for (size_t l = 0; l < e->moe_count; l++) {
        const vit_load_metrics m = vit_load_summary(&e->load[l]);
        char title[160];

        snprintf(title, sizeof title,
                 "block %zu: CV %.3f, fullest %.2f of the mean, %.0f dead", e->blocks[l],
                 m.cv, m.max_violation + 1, m.dead);
        show_chart_columns(page, e->load[l].load, e->load[l].experts, title);
    }
    fputs("</div>\n", page->out.file);
    show_page_section(
        page, "Which experts serve which classes",
        "Last sparse block: per cent of each class's tokens that go to each expert.");
    const measure_usage *usage = &e->usage[e->moe_count - 1];
    const show_heat heat = {
        .values = usage->table,
        .rows = usage->classes,
        .columns = usage->experts,
        .row_names = (const char *const *)names,
        .row_title = "class",
        .column_title = "expert",
        .percent = true,
    };
    status = show_chart_heat(page, &heat, err);
    return status;
}

base_status app_eval_page(const app_evaluation *e, const char *path, base_error *err)
{
    show_page page = {0};
    char name[APP_NAME_BYTES], safe[2][512], lead[1400];
    char **names = NULL;

    snprintf(lead, sizeof lead, "%s (%s) on %s, %zu pixels a side",
             base_quote(safe[0], sizeof safe[0], e->network.path),
             app_network_name(name, sizeof name, e->network.config),
             base_quote(safe[1], sizeof safe[1], e->data), e->network.size);
    base_status status = show_page_open(&page, path, "vmoe eval", lead, err);
    if (status != BASE_OK)
        return status;
    names = class_names(e);
    headline(e, &page);
    subset_cards(e, &page);
    if (e->sweep.points > 0)
        app_capacity_page(&page, &e->sweep);
    if (e->robust)
        status = app_robust_page(&page, e->robust, &e->score, err);
    fputs("<div class=\"row\"><section>", page.out.file);
    show_page_section(&page, "Calibration",
                      "Orange: surer than right. Green: righter than sure.");
    show_chart_reliability(&page, e->score.bin_total, e->score.bin_right,
                           e->score.bin_confidence, MEASURE_SCORE_BINS);
    fputs("</section><section class=\"wide\">", page.out.file);
    if (status == BASE_OK)
        status = classes(e, &page, err);
    fputs("</section></div>\n", page.out.file);
    if (status == BASE_OK)
        status = confusion(e, &page, names, err);
    if (status == BASE_OK)
        status =
            examples(e, &page, "Surest mistakes",
                     "Wrong answers given with the most confidence. Green bar: the label.",
                     e->wrong, e->wrong_count, err);
    if (status == BASE_OK)
        status = examples(e, &page, "Right answers", "Spread evenly over the set.",
                          e->right, e->right_count, err);
    if (status == BASE_OK)
        status = experts(e, &page, names, err);
    base_free(names);
    if (status == BASE_OK)
        return show_page_commit(&page, err);
    show_page_abandon(&page);
    return status;
}
