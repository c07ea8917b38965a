/* page.c - the page of a study of experts (docs/experts.md tells how to read it). Free to
 * change: all of it. What is drawn is limited so that a page of a thousand classes by 64
 * experts can still be read; it says so where it leaves out, and the CSV files have
 * everything. */
#include "apps/experts/internal.h"
#include "show/plot_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 64, CARDS_MOST = 64, CARDS_LEAST = 4, PICTURE = 72 };

/* Names of all classes as one block; base_free. */
static char **class_names(const app_study *s)
{
    char **names = base_alloc(s->classes, sizeof *names + APP_STUDY_NAME_BYTES);

    for (size_t c = 0; names && c < s->classes; c++) {
        names[c] = (char *)(names + s->classes) + c * APP_STUDY_NAME_BYTES;
        app_study_class(names[c], APP_STUDY_NAME_BYTES, s, c);
    }
    return names;
}

static void headline(const app_study *s, show_page *page)
{
    const app_study_layer *best = &s->layer[0], *sharp = best;
    char text[5][TEXT], note[3][TEXT], number[32];

    for (size_t l = 1; l < s->layers; l++) {
        const app_study_layer *layer = &s->layer[l];

        if (layer->of[APP_STUDY_PATCHES].found.normalised >
            best->of[APP_STUDY_PATCHES].found.normalised)
            best = layer;
        if (layer->of_expert.test > sharp->of_expert.test)
            sharp = layer;
    }
    snprintf(text[0], TEXT, "%s", show_thousands(number, sizeof number, s->images));
    snprintf(text[1], TEXT, "%.2f %%",
             100 * (double)s->right / (double)(s->images + s->bad));
    snprintf(text[2], TEXT, "%zu x %zu", s->layers, s->experts);
    snprintf(note[0], TEXT, "MoE layers x experts, k %d", s->network.config->moe.k);
    snprintf(text[3], TEXT, "%.4f",
             best->of[APP_STUDY_PATCHES].found.mutual -
                 (best->of[APP_STUDY_PATCHES].chance_known
                      ? best->of[APP_STUDY_PATCHES].chance.mutual
                      : 0));
    snprintf(note[1], TEXT, "nats above chance, block %zu", best->block);
    snprintf(text[4], TEXT, "%.1f %%", 100 * sharp->of_expert.test);
    snprintf(note[2], TEXT, "of tokens, block %zu", sharp->block);
    const show_card cards[] = {
        {"images", text[0], s->interrupted ? "stopped early" : "all used"},
        {"top-1", text[1], "of these images"},
        {"experts", text[2], note[0]},
        {"class tells expert", text[3], note[1]},
        {"expert is linear", text[4], note[2]},
    };
    show_page_cards(page, cards, sizeof cards / sizeof cards[0]);
}

static void cell(FILE *file, bool known, double value, const char *format)
{
    fputs("<td class=\"n\">", file);
    if (known && isfinite(value))
        fprintf(file, format, value);
    else
        fputs("unknown", file);
    fputs("</td>", file);
}

static void tables(const app_study *s, show_page *page)
{
    FILE *file = page->out.file;

    show_page_section(
        page, "What the class says about the expert",
        "Counts of class y and expert e over kept assignments. MI: mutual information in "
        "nats; above chance: less the mean of 20 shuffles of the labels; NMI: MI / sqrt(H(y) "
        "H(e)); H(e|y) close to H(e): experts do not follow classes. Purity: share of "
        "assignments in their expert's commonest class.");
    fputs("<div class=\"scroll\"><table><tr><th>block</th><th>tokens</th>"
          "<th class=\"n\">MI</th><th class=\"n\">above chance</th><th class=\"n\">NMI</th>"
          "<th class=\"n\">H(e)</th><th class=\"n\">H(e|y)</th><th class=\"n\">purity</th>"
          "<th class=\"n\">by chance</th></tr>\n",
          file);
    for (size_t l = 0; l < s->layers; l++) {
        for (int kind = 0; kind < APP_STUDY_KINDS; kind++) {
            const app_study_table *t = &s->layer[l].of[kind];

            if (!t->table)
                continue;
            fprintf(file, "<tr><td>%zu</td><td>%s</td>", s->layer[l].block,
                    app_study_kind_name((app_study_kind)kind));
            cell(file, true, t->found.mutual, "%.4f");
            cell(file, t->chance_known, t->found.mutual - t->chance.mutual, "%.4f");
            cell(file, true, t->found.normalised, "%.4f");
            cell(file, true, t->found.expert_entropy, "%.4f");
            cell(file, true, t->found.expert_given_class, "%.4f");
            cell(file, true, t->found.purity, "%.4f");
            cell(file, t->chance_known, t->chance.purity, "%.4f");
            fputs("</tr>\n", file);
        }
    }
    fputs("</table></div>\n", file);
}

static void probes(const app_study *s, show_page *page)
{
    FILE *file = page->out.file;
    const bool against = s->args->against != NULL;
    char note[512];

    snprintf(
        note, sizeof note,
        "Multinomial logistic regression (L2 %g) from what the router sees of a patch: "
        "fitted to %zu patches, tested on %zu of other images. By chance: always the "
        "commonest answer.",
        MEASURE_PROBE_L2, s->layer[0].of_label.train_count,
        s->layer[0].of_label.test_count);
    show_page_section(page, "Linear probes, loads and gates", note);
    fprintf(file,
            "<div class=\"scroll\"><table><tr><th>block</th><th class=\"n\">finds the "
            "expert</th><th class=\"n\">by chance</th><th class=\"n\">finds the class</th>"
            "<th class=\"n\">by chance</th><th class=\"n\">load CV</th>"
            "<th class=\"n\">dead</th><th class=\"n\">largest gate</th>"
            "<th class=\"n\">row entropy</th><th class=\"n\">dropped</th>%s</tr>\n",
            against ? "<th class=\"n\">flipped</th><th class=\"n\">1 - IoU</th>" : "");
    for (size_t l = 0; l < s->layers; l++) {
        const app_study_layer *layer = &s->layer[l];
        const vit_load_metrics m = vit_load_summary(&layer->load);
        const measure_agreement_means a = measure_agreement_all(&layer->agreement);

        fprintf(file, "<tr><td>%zu</td>", layer->block);
        cell(file, true, 100 * layer->of_expert.test, "%.2f %%");
        cell(file, true, 100 * layer->of_expert.chance, "%.2f %%");
        cell(file, true, 100 * layer->of_label.test, "%.2f %%");
        cell(file, true, 100 * layer->of_label.chance, "%.2f %%");
        cell(file, true, m.cv, "%.3f");
        cell(file, true, m.dead, "%.0f");
        cell(file, true, m.gate_max, "%.4f");
        cell(file, true, m.prob_entropy, "%.4f");
        cell(file, true, 100 * m.dropped, "%.2f %%");
        if (against) {
            cell(file, true, 100 * (1 - a.first), "%.2f %%");
            cell(file, true, 100 * (1 - a.overlap), "%.2f %%");
        }
        fputs("</tr>\n", file);
    }
    fputs("</table></div>\n", file);
    if (against) {
        char path[1024];

        fputs("<p class=\"soft\">Flipped: tokens whose first choice is another expert in ",
              file);
        show_page_text(page, base_quote(path, sizeof path, s->other.path));
        fputs("; 1 - IoU: of the sets of kept experts.</p>\n", file);
    }
}

/* ---- one layer ----------------------------------------------------------------------- */

/* A class and the expert that it favours most. */
typedef struct favour {
    size_t class, expert;
    double lift;
} favour;

static int by_expert(const void *a, const void *b)
{
    const favour *x = a, *y = b;

    if (x->expert != y->expert)
        return x->expert < y->expert ? -1 : 1;
    return x->lift != y->lift ? (x->lift < y->lift ? 1 : -1)
                              : (x->class > y->class) - (x->class < y->class);
}

/* Classes in the order of the expert that they favour, by lift. */
static void favours_fill(favour *out, const app_study *s, const app_study_layer *layer)
{
    const uint64_t *table = layer->of[APP_STUDY_PATCHES].table;
    double of_expert[VIT_EXPERTS_MAX] = {0};

    for (size_t i = 0; i < s->classes * s->experts; i++)
        of_expert[i % s->experts] += (double)table[i];
    for (size_t c = 0; c < s->classes; c++) {
        out[c] = (favour){.class = c, .expert = s->experts};
        for (size_t e = 0; e < s->experts; e++) {
            const double lift =
                of_expert[e] > 0 ? (double)table[c * s->experts + e] / of_expert[e] : 0;

            if (lift > out[c].lift) {
                out[c].lift = lift;
                out[c].expert = e;
            }
        }
    }
    qsort(out, s->classes, sizeof *out, by_expert);
}

static base_status heat(const app_study *s, const app_study_layer *layer, show_page *page,
                        char **names, base_error *err)
{
    favour *order = base_alloc(s->classes, sizeof *order);
    uint64_t *table = base_alloc(s->classes * s->experts, sizeof *table);
    const char **sorted = base_alloc(s->classes, sizeof *sorted);
    const bool large = s->classes > SHOW_CHART_NAMED || s->experts > SHOW_CHART_NAMED;
    size_t rows = s->classes;
    base_status status = BASE_OK;

    if (!order || !table || !sorted) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for a table");
        goto done;
    }
    favours_fill(order, s, layer);
    while (large && rows > 1 && !(order[rows - 1].lift > 0))
        rows--; /* classes without images stand last */
    for (size_t r = 0; r < rows; r++) {
        const size_t c = large ? order[r].class : r;

        sorted[r] = names[c];
        memcpy(table + r * s->experts, layer->of[APP_STUDY_PATCHES].table + c * s->experts,
               s->experts * sizeof *table);
    }
    status = show_chart_heat(
        page,
        &(show_heat){.values = table,
                     .rows = rows,
                     .columns = s->experts,
                     .row_names = sorted,
                     .row_title =
                         large
                             ? "classes with images, sorted by the expert that they favour"
                             : "class",
                     .column_title = large ? "expert" : "expert (per cent of the class)",
                     .order = "usage.csv has the numbers",
                     .percent = true},
        err);
done:
    base_free(order);
    base_free(table);
    base_free(sorted);
    return status;
}

static base_status scatters(const app_study *s, const app_study_layer *layer,
                            show_page *page, char **names, base_error *err)
{
    int32_t *expert = base_alloc(s->points, sizeof *expert);
    int32_t *label = base_alloc(s->points, sizeof *label);
    base_status status = BASE_OK;
    char note[400];

    if (!expert || !label) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for %zu points", s->points);
        goto done;
    }
    for (size_t i = 0; i < s->points; i++) {
        expert[i] = layer->expert[s->point[i]];
        label[i] = s->token_label[s->point[i]];
    }
    snprintf(
        note, sizeof note,
        "%zu patches as the router sees them. PCA: two axes with %.1f %% of the variance; "
        "t-SNE (perplexity 30, Kullback-Leibler divergence %.3f) keeps neighbours, not "
        "distances.",
        s->points,
        layer->total > 0 ? 100 * (layer->variance[0] + layer->variance[1]) / layer->total
                         : 0.0,
        layer->divergence);
    fputs("<p class=\"soft\">", page->out.file);
    show_page_text(page, note);
    fputs("</p><div class=\"scatters\">", page->out.file);
    const show_scatter plots[] = {
        {layer->pca, expert, s->points, s->experts, NULL, "PCA, by expert"},
        {layer->pca, label, s->points, s->classes, (const char *const *)names,
         "PCA, by class"},
        {layer->tsne, expert, s->points, s->experts, NULL, "t-SNE, by expert"},
        {layer->tsne, label, s->points, s->classes, (const char *const *)names,
         "t-SNE, by class"},
    };
    for (size_t i = 0; i < sizeof plots / sizeof plots[0] && status == BASE_OK; i++)
        status = show_plot_scatter(page, &plots[i], err);
    fputs("</div>\n", page->out.file);
done:
    base_free(expert);
    base_free(label);
    return status;
}

/* Pictures in a row of four; their names as titles. */
static base_status strip(const app_study *s, show_page *page, const app_study_shot *shots,
                         size_t count, bool framed, base_error *err)
{
    base_status status = BASE_OK;
    data_image picture = {0};
    char name[1024], title[1200], class[APP_STUDY_NAME_BYTES];

    fputs("<div class=\"imgs\">", page->out.file);
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        if (!shots[i].pixels)
            continue;
        status = app_study_picture(&picture, s, &shots[i], framed, PICTURE, err);
        if (status != BASE_OK)
            break;
        app_study_class(class, sizeof class, s,
                        (size_t)data_source_label(s->source, shots[i].sample));
        snprintf(title, sizeof title,
                 framed ? "%s, %s, gate %.3f" : "%s, %s, %.3f of its patches", class,
                 data_source_name(s->source, shots[i].sample, name, sizeof name),
                 (double)shots[i].rank);
        fputs("<span title=\"", page->out.file);
        show_page_text(page, title);
        fputs("\">", page->out.file);
        status = show_page_picture(page, &picture, PICTURE, PICTURE, class, err);
        show_page_text(page, class);
        fputs("</span>", page->out.file);
    }
    fputs("</div>\n", page->out.file);
    data_image_destroy(&picture);
    return status;
}

static base_status expert_card(const app_study *s, const app_study_layer *layer,
                               show_page *page, char **names, size_t e, base_error *err)
{
    FILE *file = page->out.file;
    const double share =
        layer->load.assignments > 0 ? layer->load.load[e] / layer->load.assignments : 0;

    fprintf(file,
            "<div class=\"triple\"><b>expert %zu</b> <span class=\"soft\">%.1f %% of the "
            "assignments</span><p>",
            e, 100 * share);
    for (size_t i = 0; i < APP_STUDY_TOP; i++) {
        const app_study_lift *t = &layer->top[e * APP_STUDY_TOP + i];

        if (t->lift <= 0)
            continue;
        fputs(i ? ", " : "", file);
        show_page_text(page, names[t->class]);
        fprintf(file, " %.2f", t->lift);
    }
    fputs("</p>", file);
    const base_status status =
        strip(s, page, layer->patch + e * APP_STUDY_SHOTS, APP_STUDY_SHOTS, true, err);
    if (status != BASE_OK)
        return status;
    const base_status last = strip(s, page, layer->example + e * APP_STUDY_EXAMPLES,
                                   APP_STUDY_EXAMPLES, false, err);
    fputs("</div>\n", file);
    return last;
}

/* Experts by load, at most so many that the page stays readable. */
static base_status cards(const app_study *s, const app_study_layer *layer, show_page *page,
                         char **names, base_error *err)
{
    const size_t fair = CARDS_MOST / s->layers;
    const size_t most = fair > CARDS_LEAST ? fair : CARDS_LEAST;
    bool shown[VIT_EXPERTS_MAX] = {0};
    base_status status = BASE_OK;
    size_t left = s->experts < most ? s->experts : most;

    for (; left > 0; left--) {
        size_t best = SIZE_MAX;

        for (size_t e = 0; e < s->experts; e++)
            if (!shown[e] &&
                (best == SIZE_MAX || layer->load.load[e] > layer->load.load[best]))
                best = e;
        shown[best] = true;
    }
    fputs("<p class=\"soft\">", page->out.file);
    if (s->experts > most)
        fprintf(
            page->out.file,
            "The %zu of %zu experts with the most assignments (all are in experts.csv and "
            "patches.csv). ",
            most, s->experts);
    fputs(
        "Numbers: lift P(expert | class) / P(expert). Pictures: the patches with the largest "
        "gates (framed, with what surrounds them), one of an image; below, the images most of "
        "whose patches come here, the other patches darkened.</p><div class=\"triples\">",
        page->out.file);
    for (size_t e = 0; e < s->experts && status == BASE_OK; e++)
        if (shown[e])
            status = expert_card(s, layer, page, names, e, err);
    fputs("</div>\n", page->out.file);
    return status;
}

static base_status layer_put(const app_study *s, const app_study_layer *layer,
                             show_page *page, char **names, bool open, base_error *err)
{
    const vit_load_metrics m = vit_load_summary(&layer->load);
    char title[160];

    fprintf(page->out.file, "<details%s><summary>Block %zu</summary>\n<div class=\"row\">",
            open ? " open" : "", layer->block);
    base_status status = heat(s, layer, page, names, err);
    snprintf(title, sizeof title, "loads: CV %.3f, fullest %.2f of the mean, %.0f dead",
             m.cv, m.max_violation + 1, m.dead);
    show_chart_columns(page, layer->load.load, s->experts, title);
    fputs("</div>\n", page->out.file);
    if (status == BASE_OK)
        status = scatters(s, layer, page, names, err);
    if (status == BASE_OK)
        status = cards(s, layer, page, names, err);
    fputs("</details>\n", page->out.file);
    return status;
}

base_status app_study_page(const app_study *s, const char *path, base_error *err)
{
    char name[APP_STUDY_NAME_BYTES], safe[2][512], lead[1400];
    show_page page = {0};
    char **names = class_names(s);

    if (!names)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu names", s->classes);
    snprintf(lead, sizeof lead, "%s (%s, router %s) on %s",
             base_quote(safe[0], sizeof safe[0], s->network.path),
             app_network_name(name, sizeof name, s->network.config),
             s->network.config->moe.router.name,
             base_quote(safe[1], sizeof safe[1], s->data));
    base_status status = show_page_open(&page, path, "vmoe inspect: experts", lead, err);
    if (status != BASE_OK)
        goto done;
    headline(s, &page);
    tables(s, &page);
    probes(s, &page);
    show_page_section(&page, "Layer by layer", NULL);
    for (size_t l = 0; l < s->layers && status == BASE_OK; l++)
        status = layer_put(s, &s->layer[l], &page, names, l + 1 == s->layers, err);
    if (status == BASE_OK)
        status = show_page_commit(&page, err);
    else
        show_page_abandon(&page);
done:
    base_free(names);
    return status;
}
