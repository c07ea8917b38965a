/* page.c - the page of vmoe vae: figures, what each expert reconstructs, the same image by
 * every expert, classes by experts, the latents in the plane. Free to change: all of it. */
#include "show/plot_internal.h"
#include "apps/vae/internal.h"

#include <math.h>
#include <string.h>

enum { TEXT = 64, SHOWN = 56, EACH_MOST = 10 };

/* Pictures side by side, of one size, with a line of one pixel between them. */
typedef struct sheet {
    data_image image;
    size_t columns, rows, side, channels;
} sheet;

static base_status sheet_open(sheet *out, const app_vae *v, size_t columns, size_t rows,
                              base_error *err)
{
    const size_t side = (size_t)v->recipe.config.image,
                 channels = (size_t)v->recipe.config.channels;

    *out = (sheet){.columns = columns, .rows = rows, .side = side, .channels = channels};
    const base_status status = data_image_reserve(&out->image, columns * (side + 1) + 1,
                                                  rows * (side + 1) + 1, channels, err);
    if (status == BASE_OK)
        memset(out->image.pixels, 128,
               out->image.width * out->image.height * out->image.channels);
    return status;
}

/* pixels [channels, side, side] in 0..1 */
static void sheet_put(sheet *s, size_t column, size_t row, const float *pixels)
{
    for (size_t y = 0; y < s->side; y++)
        for (size_t x = 0; x < s->side; x++)
            for (size_t c = 0; c < s->channels; c++) {
                const float value = pixels[(c * s->side + y) * s->side + x];
                const size_t at = (row * (s->side + 1) + 1 + y) * s->image.width +
                                  column * (s->side + 1) + 1 + x;
                s->image.pixels[at * s->channels + c] =
                    (unsigned char)(255 * fminf(fmaxf(value, 0), 1) + 0.5f);
            }
}

static base_status sheet_show(show_page *page, sheet *s, const char *caption,
                              base_error *err)
{
    const int width = (int)(s->columns * SHOWN), height = (int)(s->rows * SHOWN);
    base_status status = BASE_OK;

    fputs("<div class=\"scroll\">", page->out.file);
    status = show_page_picture(page, &s->image, width, height, caption, err);
    fputs("</div>\n", page->out.file);
    return status;
}

static void headline(const app_vae *v, const app_vae_measures *m, show_page *page)
{
    char text[5][TEXT], note[3][TEXT];

    snprintf(text[0], TEXT, "%.5f", m->best);
    snprintf(note[0], TEXT,
             v->recipe.routing == APP_VAE_LABEL ? "a pixel, expert y mod %zu"
                                                : "a pixel, largest gate of %zu",
             m->experts);
    snprintf(text[1], TEXT, "%.5f", m->all);
    snprintf(text[2], TEXT, "%.3f", m->load_entropy);
    snprintf(note[1], TEXT, "of 1, %zu of %zu dead", m->dead, m->experts);
    snprintf(text[3], TEXT, "%.3f", m->found.normalised);
    snprintf(note[2], TEXT, "purity %.3f, by chance %.3f", m->found.purity,
             m->chance.purity);
    snprintf(text[4], TEXT, "%.1f %% / %.1f %%", 100 * m->of_expert.test,
             100 * m->of_label.test);
    const show_card cards[] = {
        {"squared error", text[0], note[0]},
        {"of all decoders", isnan(m->all) ? "none" : text[1],
         isnan(m->all) ? "labels choose" : "weighted by the gate"},
        {"load entropy", text[2], note[1]},
        {"NMI class, expert", text[3], note[2]},
        {"linear probes", text[4], "latent to expert / to class"},
    };
    show_page_cards(page, cards, sizeof cards / sizeof cards[0]);
}

/* The images that an expert serves, above what it makes of them. */
static base_status experts_show(app_vae *v, const app_vae_measures *m, show_page *page,
                                const char *const *names, base_error *err)
{
    const size_t pixels = (size_t)v->recipe.config.channels *
                          (size_t)v->recipe.config.image * (size_t)v->recipe.config.image;
    size_t *filled = base_alloc(m->experts, sizeof *filled);
    sheet *sheets = base_alloc(m->experts, sizeof *sheets);
    data_batch batch = {0};
    vit_vae_losses l;
    size_t at = 0;
    base_status status = BASE_OK;

    if (!filled || !sheets)
        status = base_fail(err, BASE_NO_MEMORY, "no memory for pictures");
    for (size_t e = 0; e < m->experts && status == BASE_OK; e++)
        status = sheet_open(&sheets[e], v, APP_VAE_SHOTS, 2, err);
    if (status == BASE_OK)
        status = data_loader_seek(v->val_loader, 0, 0, err);
    while (status == BASE_OK) {
        status = data_loader_next(v->val_loader, &batch, err);
        if (status != BASE_OK || batch.count == 0)
            break;
        memcpy(v->expert, m->expert + at, batch.count * sizeof *v->expert);
        at += batch.count;
        status = vit_vae_forward(v->run, &l, batch.images, batch.count, VIT_VAE_GIVEN,
                                 v->expert, NULL, err);
        for (size_t i = 0; i < batch.count && status == BASE_OK; i++) {
            const size_t e = (size_t)v->expert[i];
            if (filled[e] == APP_VAE_SHOTS)
                continue;
            sheet_put(&sheets[e], filled[e], 0, batch.images + i * pixels);
            sheet_put(&sheets[e], filled[e]++, 1, vit_vae_pixels(v->run) + i * pixels);
        }
    }
    show_page_section(
        page, "What each expert reconstructs",
        "The first images of the validation set that go to the expert, and "
        "below each what it makes of its latent's mean. Classes by their share "
        "of the expert's images.");
    for (size_t e = 0; e < m->experts && status == BASE_OK; e++) {
        bool told[256] = {false};
        fprintf(page->out.file,
                "<p><b>expert %zu</b> <span class=\"soft\">%.1f %% of the "
                "images, squared error %.5f: ",
                e, 100 * (double)m->load[e] / (double)m->images, m->expert_error[e]);
        for (size_t rank = 0; rank < 4; rank++) {
            size_t best = SIZE_MAX;
            for (size_t y = 0; y < m->classes && y < sizeof told; y++)
                if (!told[y] && m->table[y * m->experts + e] > 0 &&
                    (best == SIZE_MAX ||
                     m->table[y * m->experts + e] > m->table[best * m->experts + e]))
                    best = y;
            if (best == SIZE_MAX)
                break;
            told[best] = true;
            fputs(rank ? ", " : "", page->out.file);
            show_page_text(page, names[best]);
            fprintf(page->out.file, " %.0f %%",
                    100 * (double)m->table[best * m->experts + e] / (double)m->load[e]);
        }
        fputs("</span></p>\n", page->out.file);
        if (filled[e] > 0)
            status = sheet_show(page, &sheets[e], "images and reconstructions", err);
    }
    for (size_t e = 0; sheets && e < m->experts; e++)
        data_image_destroy(&sheets[e].image);
    base_free(sheets);
    base_free(filled);
    return status;
}

/* One image of each class by the expert in use and by every decoder. */
static base_status each_show(app_vae *v, const app_vae_measures *m, show_page *page,
                             base_error *err)
{
    const size_t pixels = (size_t)v->recipe.config.channels *
                          (size_t)v->recipe.config.image * (size_t)v->recipe.config.image;
    const size_t columns = m->classes < EACH_MOST ? m->classes : EACH_MOST;
    const bool learned = v->recipe.routing == APP_VAE_LEARNED;
    const size_t above = learned ? 2 : 1;
    float *images = base_alloc(columns * pixels, sizeof *images);
    bool found[EACH_MOST] = {false};
    sheet s = {0};
    data_batch batch = {0};
    vit_vae_losses l;
    base_status status = images ? sheet_open(&s, v, columns, above + m->experts, err)
                                : base_fail(err, BASE_NO_MEMORY, "no memory for pictures");

    if (status == BASE_OK)
        status = data_loader_seek(v->val_loader, 0, 0, err);
    while (status == BASE_OK) {
        status = data_loader_next(v->val_loader, &batch, err);
        if (status != BASE_OK || batch.count == 0)
            break;
        for (size_t i = 0; i < batch.count; i++) {
            const size_t y = (size_t)batch.labels[i];
            if (y >= columns || found[y])
                continue;
            found[y] = true;
            memcpy(images + y * pixels, batch.images + i * pixels, pixels * sizeof *images);
            sheet_put(&s, y, 0, images + y * pixels);
        }
    }
    for (size_t y = 0; y < columns && status == BASE_OK; y++) {
        if (learned)
            status = vit_vae_forward(v->run, &l, images + y * pixels, 1, VIT_VAE_ALL, NULL,
                                     NULL, err);
        if (learned && status == BASE_OK)
            sheet_put(&s, y, 1, vit_vae_pixels(v->run));
        for (size_t e = 0; e < m->experts && status == BASE_OK; e++) {
            const int32_t expert = (int32_t)e;
            status = vit_vae_forward(v->run, &l, images + y * pixels, 1, VIT_VAE_GIVEN,
                                     &expert, NULL, err);
            sheet_put(&s, y, above + e, vit_vae_pixels(v->run));
        }
    }
    show_page_section(page, "The same image by every expert",
                      learned
                          ? "Rows: the first image of each class, the gate-weighted sum of "
                            "all decoders, then expert 0, 1, ... alone."
                          : "Rows: the first image of each class, then expert 0, 1, ... "
                            "alone.");
    if (status == BASE_OK)
        status = sheet_show(page, &s, "one image a class, every expert", err);
    data_image_destroy(&s.image);
    base_free(images);
    return status;
}

static void tables(const app_vae_measures *m, show_page *page)
{
    FILE *file = page->out.file;

    show_page_section(
        page, "Classes and experts",
        "Images of class y with expert e. MI: mutual information in nats; NMI: MI / "
        "sqrt(H(y) H(e)); purity: share of images in their expert's commonest class; by "
        "chance: mean of 20 shuffles of the labels. Probes: multinomial logistic regression "
        "(L2 0.001) on the latents' means, tested on a quarter of the images.");
    fprintf(file,
            "<div class=\"scroll\"><table><tr><th></th><th class=\"n\">found</th>"
            "<th class=\"n\">by chance</th></tr>\n"
            "<tr><td>MI</td><td class=\"n\">%.4f</td><td class=\"n\">%.4f</td></tr>\n"
            "<tr><td>NMI</td><td class=\"n\">%.4f</td><td class=\"n\">%.4f</td></tr>\n"
            "<tr><td>H(e|y)</td><td class=\"n\">%.4f</td><td class=\"n\">%.4f</td></tr>\n"
            "<tr><td>purity</td><td class=\"n\">%.4f</td><td class=\"n\">%.4f</td></tr>\n"
            "<tr><td>probe: expert</td><td class=\"n\">%.2f %%</td>"
            "<td class=\"n\">%.2f %%</td></tr>\n"
            "<tr><td>probe: class</td><td class=\"n\">%.2f %%</td>"
            "<td class=\"n\">%.2f %%</td></tr>\n</table></div>\n",
            m->found.mutual, m->chance.mutual, m->found.normalised, m->chance.normalised,
            m->found.expert_given_class, m->chance.expert_given_class, m->found.purity,
            m->chance.purity, 100 * m->of_expert.test, 100 * m->of_expert.chance,
            100 * m->of_label.test, 100 * m->of_label.chance);
}

static base_status planes(const app_vae_measures *m, show_page *page,
                          const char *const *names, base_error *err)
{
    int32_t *group = base_alloc(m->points, 4 * sizeof *group);
    int32_t *expert = group, *label = group + m->points, *near_expert = label + m->points,
            *near_label = near_expert + m->points;
    char note[300];
    base_status status = BASE_OK;

    if (!group)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu points", m->points);
    for (size_t i = 0; i < m->points; i++) {
        expert[i] = m->expert[m->point[i]];
        label[i] = m->labels[m->point[i]];
    }
    for (size_t i = 0; i < m->near_points; i++) {
        near_expert[i] = expert[i * m->points / m->near_points];
        near_label[i] = label[i * m->points / m->near_points];
    }
    snprintf(
        note, sizeof note,
        "Means of %zu images. PCA: two axes with %.1f %% of the variance; t-SNE of %zu "
        "(perplexity 30, divergence %.3f) keeps neighbours, not distances.",
        m->points, m->total > 0 ? 100 * (m->variance[0] + m->variance[1]) / m->total : 0.0,
        m->near_points, m->divergence);
    show_page_section(page, "The latents in the plane", note);
    fputs("<div class=\"scatters\">", page->out.file);
    const show_scatter plots[] = {
        {m->pca, expert, m->points, m->experts, NULL, "PCA, by expert"},
        {m->pca, label, m->points, m->classes, names, "PCA, by class"},
        {m->tsne, near_expert, m->near_points, m->experts, NULL, "t-SNE, by expert"},
        {m->tsne, near_label, m->near_points, m->classes, names, "t-SNE, by class"},
    };
    for (size_t i = 0; i < sizeof plots / sizeof plots[0] && status == BASE_OK; i++)
        status = show_plot_scatter(page, &plots[i], err);
    fputs("</div>\n", page->out.file);
    base_free(group);
    return status;
}

base_status app_vae_page(app_vae *v, const app_vae_measures *m, const char *path,
                         base_error *err)
{
    const char **names = base_alloc(m->classes, sizeof *names);
    char lead[1024], safe[400];
    show_page page = {0};

    if (!names)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu names", m->classes);
    for (size_t y = 0; y < m->classes; y++)
        names[y] = data_source_class_name(v->train, y);
    snprintf(
        lead, sizeof lead,
        "%zu decoders of one encoder, %s, on %s. After SMoE-VAE (arXiv 2509.10025), of "
        "which summaries were read: sizes, losses' weights and measures are ours.",
        m->experts,
        v->recipe.routing == APP_VAE_LABEL ? "class y to expert y mod E"
                                           : "chosen by the learned gate",
        base_quote(safe, sizeof safe, v->recipe.val));
    base_status status = show_page_open(&page, path, "vmoe vae", lead, err);
    if (status != BASE_OK)
        goto done;
    headline(v, m, &page);
    status = experts_show(v, m, &page, names, err);
    if (status == BASE_OK)
        status = each_show(v, m, &page, err);
    if (status == BASE_OK) {
        tables(m, &page);
        status =
            show_chart_heat(&page,
                            &(show_heat){.values = m->table,
                                         .rows = m->classes,
                                         .columns = m->experts,
                                         .row_names = names,
                                         .row_title = "class",
                                         .column_title = "expert (per cent of the class)",
                                         .percent = true},
                            err);
    }
    if (status == BASE_OK)
        status = planes(m, &page, names, err);
    if (status == BASE_OK)
        status = show_page_commit(&page, err);
    else
        show_page_abandon(&page);
done:
    base_free(names);
    return status;
}
