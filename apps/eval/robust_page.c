/* robust_page.c - accuracy under corruption as a part of the page of an evaluation: headline, bars, curves
 * over severity, one image under every corruption, change of routing. Free to change: all of it. */
#include "apps/eval/robust_internal.h"

#include <math.h>

enum { TEXT = 64, NAME = 128, LINES = CORRUPT_KIND_COUNT + 1 };

/* "gaussian noise": with blanks, so that a narrow page can break the name. */
static const char *spoken(char out[NAME], corrupt_kind kind)
{
    snprintf(out, NAME, "%s", corrupt_kind_name(kind));
    for (char *at = out; *at; at++)
        if (*at == '_')
            *at = ' ';
    return out;
}

static void headline(const app_robust *r, const corrupt_errors *errors, show_page *page)
{
    const double mce = corrupt_mce(errors);
    const double relative = corrupt_relative_mce(errors, r->args->alexnet_clean);
    const double bench = corrupt_bench_error(errors);
    char text[4][TEXT], note[TEXT];
    double sum = 0, cells = 0;
    show_card cards[4];
    size_t count = 0;

    for (size_t c = 0; c < r->selection.count; c++) {
        if (r->cell[c].score.samples == 0)
            continue;
        sum += 1 - measure_score_top1(&r->cell[c].score);
        cells++;
    }
    if (!isnan(mce)) {
        snprintf(text[0], TEXT, "%.1f", 100 * mce);
        snprintf(text[1], TEXT, "%.1f", 100 * relative);
        cards[count++] = (show_card){
            "mCE", text[0], app_robust_comparable(r) ? "AlexNet: 100" : "not comparable"};
        cards[count++] = (show_card){"relative mCE", text[1], "loss against clean"};
    }
    if (cells > 0) {
        snprintf(text[2], TEXT, "%.1f %%", 100 * (isnan(bench) ? sum / cells : bench));
        cards[count++] = (show_card){"error, corrupted", text[2],
                                     isnan(bench) ? "mean of what was measured"
                                                  : "mean of the benchmark's 15"};
    }
    snprintf(text[3], TEXT, "%.1f %%", 100 * errors->clean);
    snprintf(note, TEXT, "%zu pairs measured", r->selection.count);
    cards[count++] = (show_card){"error, clean", text[3], note};
    show_page_cards(page, cards, count);
    if (!isnan(mce) && !app_robust_comparable(r))
        fputs(
            "<p class=\"soft\">CE and mCE divide by AlexNet&#39;s errors on ImageNet&#39;s "
            "1,000 classes; with other classes they compare with no published "
            "figure.</p>\n",
            page->out.file);
}

static void bars(const corrupt_errors *errors, show_page *page)
{
    char values[LINES][TEXT], names[LINES][NAME];
    show_bar list[LINES];
    size_t count = 0;

    show_page_section(page, "Error by corruption",
                      "Mean over the severities. Orange: clean, and the extra corruptions "
                      "that are not in mCE.");
    snprintf(values[count], TEXT, "%.1f %%", 100 * errors->clean);
    list[count] = (show_bar){"clean", values[count], errors->clean, true, 0};
    count++;
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++) {
        const double error = corrupt_mean_error(errors, (corrupt_kind)k);
        const double ce = corrupt_ce(errors, (corrupt_kind)k);

        if (isnan(error))
            continue;
        if (isnan(ce))
            snprintf(values[count], TEXT, "%.1f %%", 100 * error);
        else
            snprintf(values[count], TEXT, "%.1f %%, CE %.0f", 100 * error, 100 * ce);
        list[count] = (show_bar){spoken(names[count], (corrupt_kind)k), values[count],
                                 error, k >= CORRUPT_BENCH_COUNT, 0};
        count++;
    }
    show_page_bars(page, list, count);
}

/* ---- curves ------------------------------------------------------------------------------ */

enum { WIDE = 168, HIGH = 112, LEFT = 30, RIGHT = 8, TOP = 22, BOTTOM = 18 };

static double x_of(int severity)
{
    return LEFT + (severity - 1) * (WIDE - LEFT - RIGHT) / (CORRUPT_SEVERITY_MAX - 1.0);
}

static double y_of(double share)
{
    return HIGH - BOTTOM - share * (HIGH - TOP - BOTTOM);
}

/* One corruption: ours in blue, AlexNet's dashed, clean error as a dotted line. */
static void curve(show_page *page, const corrupt_errors *errors, corrupt_kind kind,
                  bool alexnet)
{
    FILE *file = page->out.file;
    char points[8 * TEXT] = "", name[NAME];
    size_t used = 0;

    fprintf(file,
            "<figure><svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" "
            "aria-label=\"error by severity\"><text x=\"%d\" y=\"13\">",
            WIDE, HIGH, WIDE, LEFT);
    show_page_text(page, spoken(name, kind));
    fputs("</text>\n", file);
    for (int tick = 0; tick <= 2; tick++)
        fprintf(file,
                "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text class=\"soft\" style=\"font-size:10px\" x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%d</text>\n",
                LEFT, WIDE - RIGHT, y_of(tick / 2.0), y_of(tick / 2.0), LEFT - 4,
                y_of(tick / 2.0) + 4, 50 * tick);
    fprintf(file,
            "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"var(--green)\" "
            "stroke-dasharray=\"2 3\"><title>clean</title></line>\n",
            LEFT, WIDE - RIGHT, y_of(errors->clean), y_of(errors->clean));
    for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++) {
        const double theirs = corrupt_alexnet_error(kind, s);

        fprintf(file,
                "<text class=\"soft\" style=\"font-size:10px\" x=\"%.1f\" y=\"%d\" "
                "text-anchor=\"middle\">%d</text>",
                x_of(s), HIGH - 4, s);
        if (alexnet && !isnan(theirs))
            used += (size_t)snprintf(points + used, sizeof points - used, "%.1f,%.1f ",
                                     x_of(s), y_of(theirs));
    }
    if (used > 0)
        fprintf(file,
                "<polyline points=\"%s\" fill=\"none\" stroke=\"var(--soft)\" "
                "stroke-dasharray=\"5 4\"><title>AlexNet</title></polyline>\n",
                points);
    used = 0;
    points[0] = '\0';
    for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++) {
        const double error = errors->error[kind][s - 1];

        if (isnan(error))
            continue;
        used += (size_t)snprintf(points + used, sizeof points - used, "%.1f,%.1f ", x_of(s),
                                 y_of(error));
        fprintf(file,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"var(--blue)\"><title>"
                "severity %d: %.1f %%</title></circle>\n",
                x_of(s), y_of(error), s, 100 * error);
    }
    fprintf(file,
            "<polyline points=\"%s\" fill=\"none\" stroke=\"var(--blue)\" "
            "stroke-width=\"2\"/></svg></figure>\n",
            points);
}

static void curves(const app_robust *r, const corrupt_errors *errors, show_page *page)
{
    const bool alexnet = app_robust_comparable(r);

    show_page_section(page, "Error by severity",
                      alexnet
                          ? "Per cent. Blue: this network. Dashed: AlexNet. Dotted: this "
                            "network on clean images."
                          : "Per cent. Dotted: clean images.");
    fputs("<div class=\"row\" style=\"gap:10px 16px\">\n", page->out.file);
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++)
        if (!isnan(corrupt_mean_error(errors, (corrupt_kind)k)))
            curve(page, errors, (corrupt_kind)k, alexnet);
    fputs("</div>\n", page->out.file);
}

/* ---- one image ----------------------------------------------------------------------------- */

static base_status specimens(const app_robust *r, show_page *page, base_error *err)
{
    base_status status = BASE_OK;
    char note[2048], name[1024], truth[NAME];

    if (r->specimen_count == 0)
        return BASE_OK;
    app_network_class(truth, sizeof truth, r->network, r->source,
                      (size_t)r->specimen_label);
    snprintf(note, sizeof note, "%s (%s), severity %d. Green bar: the label.",
             data_source_name(r->source, r->specimen_sample, name, sizeof name), truth,
             r->specimen_severity);
    show_page_section(page, "One image under each corruption", note);
    show_page_shots_begin(page);
    for (size_t i = 0; i < r->specimen_count && status == BASE_OK; i++) {
        const app_specimen *s = &r->specimen[i];
        char kind[NAME];
        const char *what = i == 0 ? "clean" : spoken(kind, s->pair.kind);
        char names[APP_ROBUST_TOP][NAME], values[APP_ROBUST_TOP][TEXT],
            answer[2 * NAME + 4];
        show_bar list[APP_ROBUST_TOP];

        for (size_t t = 0; t < s->top_count; t++) {
            snprintf(values[t], TEXT, "%.0f %%", 100 * s->probability[t]);
            list[t] = (show_bar){
                app_network_class(names[t], NAME, r->network, r->source, s->top[t]),
                values[t], s->probability[t], s->top[t] == (size_t)r->specimen_label, 0};
        }
        snprintf(answer, sizeof answer, "%s: %s", what, names[0]);
        const show_shot shot = {.picture = &s->picture,
                                .name = what,
                                .answer = answer,
                                .truth = NULL,
                                .bars = list,
                                .bar_count = s->top_count};
        status = show_page_shot(page, &shot, err);
    }
    show_page_shots_end(page);
    return status;
}

/* ---- routing ------------------------------------------------------------------------------- */

enum { CELL_WIDE = 54, CELL_HIGH = 24, NAMES_WIDE = 140, HEAD = 26 };

/* Rows: clean is not among them, it agrees with itself. */
static void routing(const app_robust *r, const corrupt_errors *errors, show_page *page)
{
    FILE *file = page->out.file;
    corrupt_kind kinds[CORRUPT_KIND_COUNT];
    char name[NAME];
    size_t rows = 0;

    if (r->moe_count == 0 || r->args->tree)
        return;
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++)
        if (!isnan(corrupt_mean_error(errors, (corrupt_kind)k)))
            kinds[rows++] = (corrupt_kind)k;
    show_page_section(
        page, "Change of routing",
        "Per cent of a token's experts that are others than on the clean image "
        "(1 - intersection / union, mean over tokens and severities), by sparse "
        "block.");
    const int wide = NAMES_WIDE + (int)r->moe_count * CELL_WIDE + 8;
    fprintf(file, "<figure><svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n", wide,
            HEAD + (int)rows * CELL_HIGH + 4, wide);
    for (size_t l = 0; l < r->moe_count; l++)
        fprintf(file,
                "<text class=\"soft\" x=\"%d\" y=\"16\" text-anchor=\"middle\">block %zu"
                "</text>",
                NAMES_WIDE + (int)l * CELL_WIDE + CELL_WIDE / 2, r->blocks[l]);
    for (size_t i = 0; i < rows; i++) {
        const int y = HEAD + (int)i * CELL_HIGH;

        fprintf(file, "\n<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
                NAMES_WIDE - 8, y + CELL_HIGH / 2 + 4, spoken(name, kinds[i]));
        for (size_t l = 0; l < r->moe_count; l++) {
            const measure_agreement sum =
                measure_cell_agreement(r->cell, r->selection.count, kinds[i], l);
            const double overlap = measure_agreement_all(&sum).overlap;
            const double change = isnan(overlap) ? 0 : 1 - overlap;
            const int x = NAMES_WIDE + (int)l * CELL_WIDE;

            fprintf(file,
                    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" class=\"bar\" "
                    "fill-opacity=\"%.3f\"/><text x=\"%d\" y=\"%d\" text-anchor=\"middle\""
                    "%s>%.0f</text>",
                    x, y, CELL_WIDE - 1, CELL_HIGH - 1, 0.04 + 0.96 * change,
                    x + CELL_WIDE / 2, y + CELL_HIGH / 2 + 4,
                    change > 0.55 ? " style=\"fill:var(--paper)\"" : "", 100 * change);
        }
    }
    fputs("\n</svg></figure>\n", file);
}

base_status app_robust_page(show_page *page, const app_robust *r,
                            const measure_score *clean, base_error *err)
{
    corrupt_errors errors;

    measure_cell_errors(&errors, r->cell, r->selection.count, clean);
    headline(r, &errors, page);
    bars(&errors, page);
    curves(r, &errors, page);
    const base_status status = specimens(r, page, err);
    routing(r, &errors, page);
    return status;
}
