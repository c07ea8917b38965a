/* experts.c - the routing's part in an attack, for its page: which tokens changed their
 * experts beside what random noise of the same budget does, which experts lost their
 * tokens, load before and after, and whether the errors need the change (replay). Free to
 * change: all that a reader sees. */
#include <math.h>
#include <string.h>

#include "apps/attack/internal.h"
#include "show/plot_internal.h"

enum { TEXT = 160 };

static void share(FILE *file, double count, double of)
{
    if (of > 0)
        fprintf(file, "<td class=\"n\">%.2f %%</td>", 100 * count / of);
    else
        fputs("<td class=\"n\">&ndash;</td>", file);
}

static void layers_table(const app_routing *r, show_page *page)
{
    FILE *file = page->out.file;

    fputs(
        "<div class=\"scroll\"><table><tr><th>block</th><th class=\"n\">attack</th>"
        "<th class=\"n\">noise</th><th class=\"n\">broken</th><th class=\"n\">survived</th>"
        "<th class=\"n\">first expert</th><th class=\"n\">IoU</th>"
        "<th class=\"n\">gates, L1</th><th class=\"n\">JS</th>"
        "<th class=\"n\">entropy of a token</th></tr>\n",
        file);
    for (size_t l = 0; l < r->layers; l++) {
        const measure_shift *all = &r->shift[APP_GROUP_ALL][l];
        const measure_shift *broken = &r->shift[APP_GROUP_BROKEN][l];
        const measure_shift *survived = &r->shift[APP_GROUP_SURVIVED][l];
        const measure_shift *control = &r->shift[APP_GROUP_CONTROL][l];

        fprintf(file, "<tr><td>%zu</td>", r->blocks[l]);
        share(file, all->changed, all->tokens);
        share(file, control->changed, control->tokens);
        share(file, broken->changed, broken->tokens);
        share(file, survived->changed, survived->tokens);
        share(file, all->top1_changed, all->tokens);
        fprintf(
            file,
            "<td class=\"n\">%.4f</td><td class=\"n\">%.4f</td><td class=\"n\">%.4f</td>"
            "<td class=\"n\">%.3f &rarr; %.3f</td></tr>\n",
            all->iou / (all->tokens - all->empty), all->gate_l1 / all->tokens,
            all->js / all->tokens, all->entropy[0] / all->tokens,
            all->entropy[1] / all->tokens);
    }
    fputs("</table></div>\n", file);
}

static void replay_line(const app_attack *a, show_page *page)
{
    const app_routing *r = &a->routing;
    char text[600];

    if (!r->replayed || r->broken == 0)
        return;
    const double kept = (double)r->kept / (double)r->broken;
    snprintf(
        text, sizeof text,
        "Replay: with the clean image's experts %zu of %zu errors remain (%.1f %%), so %s. "
        "Clean images with the adversarial experts: %.2f %% right, against %.2f %%.",
        r->kept, r->broken, 100 * kept,
        kept > 0.9   ? "the change of routing is hardly the cause"
        : kept > 0.5 ? "the change of routing is a part of the cause"
                     : "the change of routing is the main cause",
        100 * (double)r->clean_right / (double)a->n,
        100 * (double)r->attacked / (double)a->n);
    fputs("<p>", page->out.file);
    show_page_text(page, text);
    fputs("</p>\n", page->out.file);
}

static void capacity_line(const app_attack *a, show_page *page)
{
    char text[400];

    if (!a->trained.known)
        return;
    snprintf(
        text, sizeof text,
        "Trained with capacity %g, attacked without: with it %.2f %% of the clean images are "
        "right, %.2f %% of the assignments are dropped, and %.2f %% under attack.",
        a->trained.capacity, 100 * (double)a->trained.right / (double)a->n,
        100 * a->trained.dropped[0], 100 * a->trained.dropped[1]);
    fputs("<p>", page->out.file);
    show_page_text(page, text);
    fputs("</p>\n", page->out.file);
}

/* Share of its tokens that an expert lost, [layers, experts]. */
static double *left_shares(const app_routing *r, app_group group, double *top)
{
    double *values = base_alloc(r->layers * r->experts, sizeof *values);

    for (size_t i = 0; values && i < r->layers * r->experts; i++) {
        const measure_shift *s = &r->shift[group][i / r->experts];
        const double had = s->usage[0][i % r->experts];

        values[i] = had > 0 ? s->left[i % r->experts] / had : (double)NAN;
        *top = fmax(*top, had > 0 ? values[i] : 0);
    }
    return values;
}

static void heat(const app_routing *r, show_page *page)
{
    char names[VIT_DEPTH_MAX][24];
    const char *rows[VIT_DEPTH_MAX];
    double top = 0.02; /* noise alone should not look like fire */
    double *attack = left_shares(r, APP_GROUP_ALL, &top);
    double *noise = left_shares(r, APP_GROUP_CONTROL, &top);

    for (size_t l = 0; l < r->layers; l++) {
        snprintf(names[l], sizeof names[l], "block %zu", r->blocks[l]);
        rows[l] = names[l];
    }
    show_grid grid = {.rows = r->layers,
                      .columns = r->experts,
                      .row_names = rows,
                      .top = top,
                      .column_title = "expert"};
    fputs("<div class=\"row\">", page->out.file);
    if (attack && noise) {
        grid.values = attack;
        grid.title = "attack: per cent of its tokens that an expert lost";
        show_plot_grid(page, &grid);
        grid.values = noise;
        grid.title = "random noise of the same budget, same colours";
        show_plot_grid(page, &grid);
    }
    fputs("</div>\n", page->out.file);
    base_free(attack);
    base_free(noise);
}

static void usage(const app_routing *r, show_page *page)
{
    char title[TEXT];

    show_page_section(
        page, "Load of the experts",
        "Share of the tokens, clean (blue) and adversarial (orange); the dashed line is "
        "an even load.");
    fputs("<div class=\"row\">", page->out.file);
    for (size_t l = 0; l < r->layers; l++) {
        const measure_shift *s = &r->shift[APP_GROUP_ALL][l];

        snprintf(title, sizeof title, "block %zu", r->blocks[l]);
        if (s->dropped[0] > 0 || s->dropped[1] > 0)
            snprintf(title, sizeof title,
                     "block %zu: dropped %.2f %%, under attack %.2f %%", r->blocks[l],
                     100 * s->dropped[0] / s->assigned[0],
                     100 * s->dropped[1] / s->assigned[1]);
        show_plot_pairs(page, s->usage[0], s->usage[1], r->experts, title);
    }
    fputs("</div>\n", page->out.file);
}

void app_attack_routing_page(const app_attack *a, show_page *page)
{
    const app_routing *r = &a->routing;

    if (!a->has_routing || r->attacked == 0)
        return;
    show_page_section(
        page, "Routing",
        "Share of the tokens whose set of experts changed, over all images that were "
        "right. A claim about routing needs the column of random noise beside it.");
    layers_table(r, page);
    replay_line(a, page);
    capacity_line(a, page);
    heat(r, page);
    usage(r, page);
}
