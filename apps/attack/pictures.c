/* pictures.c - pictures of an attack for its page: clean, adversarial, what was added, and
 * where in the picture tokens changed their experts. Which samples are shown is drawn with
 * the seed, before anything is known of them. Free to change: how many, how they look. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/attack/internal.h"
#include "measure/measure.h"

enum { BROKEN_SHOWN = 8, SURVIVED_SHOWN = 4, SIDE = 160, NAME = 128 };

typedef struct gallery {
    const app_attack *a;
    show_page *page;
    data_image picture;
    float *shown;    /* [D] */
    float *logits;   /* [K] */
    unsigned *patch; /* [N] layers that changed */
    base_status status;
    base_error *err;
} gallery;

/* pixels [C, S, S] in 0..1 with a line of text below. */
static void picture_put(gallery *g, const float *pixels, const char *caption)
{
    const size_t channels = (size_t)g->a->network.config->channels;
    const size_t side = g->a->network.size, plane = side * side;

    if (g->status == BASE_OK)
        g->status = data_image_reserve(&g->picture, side, side, channels, g->err);
    if (g->status != BASE_OK)
        return;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < plane; i++)
            g->picture.pixels[i * channels + c] = (unsigned char)lroundf(
                255.0f * fminf(fmaxf(pixels[c * plane + i], 0.0f), 1.0f));
    fputs("<div>", g->page->out.file);
    g->status = show_page_picture(g->page, &g->picture, SIDE, SIDE, caption, g->err);
    show_page_text(g->page, caption);
    fputs("</div>\n", g->page->out.file);
}

/* A square a patch, the more orange the more MoE layers changed its experts. */
static void patches_put(gallery *g, const float *x, const float *v)
{
    const vit_config *config = g->a->network.config;
    const size_t grid = g->a->network.size / (size_t)config->patch;
    const size_t first = vit_config_prefix(config);
    static const int none[3] = {238, 241, 245}, all[3] = {204, 88, 10};

    if (g->status == BASE_OK)
        g->status = app_routing_patches(g->patch, g->a->target, x, v, g->err);
    if (g->status == BASE_OK)
        g->status = data_image_reserve(&g->picture, grid, grid, 3, g->err);
    if (g->status != BASE_OK)
        return;
    for (size_t i = 0; i < grid * grid; i++) {
        const double share = (double)g->patch[first + i] / (double)g->a->routing.layers;

        for (size_t c = 0; c < 3; c++)
            g->picture.pixels[3 * i + c] =
                (unsigned char)lround(none[c] + share * (all[c] - none[c]));
    }
    fputs("<div>", g->page->out.file);
    g->status = show_page_picture(g->page, &g->picture, SIDE, SIDE,
                                  "patches with other experts", g->err);
    fputs("other experts</div>\n", g->page->out.file);
}

/* "coat 97 %" of an image. */
static void answer_put(gallery *g, const float *image, int32_t label)
{
    const app_attack *a = g->a;
    char name[NAME];
    size_t top;
    double probability;

    if (g->status == BASE_OK)
        g->status = measure_target_look(a->target, g->logits, image, 1, g->err);
    if (g->status != BASE_OK)
        return;
    measure_verdict_top(&top, &probability, 1, g->logits, a->network.classes);
    fprintf(g->page->out.file, "<b class=\"%s\">",
            (int32_t)top == label ? "right" : "wrong");
    show_page_text(g->page,
                   app_network_class(name, sizeof name, &a->network, a->source, top));
    fprintf(g->page->out.file, "</b> %.0f %%", 100 * probability);
}

static void triple_put(gallery *g, size_t i)
{
    const app_attack *a = g->a;
    const app_point *p = &a->point[a->main];
    const attack_sample s = attack_run_sample(a->run, i);
    const float *x = a->images + i * a->floats;
    const float *v = attack_run_adversarial(a->run) + i * a->floats;
    FILE *file = g->page->out.file;
    float largest = 0;
    char name[NAME], text[64];

    for (size_t k = 0; k < a->floats; k++)
        largest = fmaxf(largest, fabsf(v[k] - x[k]));
    for (size_t k = 0; k < a->floats; k++)
        g->shown[k] = largest > 0 ? (v[k] - x[k]) * 0.5f / largest + 0.5f : 0.5f;
    fputs("<div class=\"triple\"><div class=\"imgs\">\n", file);
    picture_put(g, x, "clean");
    picture_put(g, v, "adversarial");
    snprintf(text, sizeof text, "added, x %.3g", largest > 0 ? 0.5 / (double)largest : 0.0);
    picture_put(g, g->shown, text);
    if (a->has_routing)
        patches_put(g, x, v);
    fputs("</div>", file);
    answer_put(g, x, s.label);
    fputs(" &rarr; ", file);
    answer_put(g, v, s.label);
    fputs("<br><span class=\"soft\">label ", file);
    show_page_text(g->page, app_network_class(name, sizeof name, &a->network, a->source,
                                              (size_t)s.label));
    fprintf(file, ", sample %u, %s %.4g", a->samples[i], attack_norm_name(a->config.norm),
            (double)s.norm);
    if (s.broken && s.attack >= 0 && (size_t)s.attack < p->count) {
        fputs(", by ", file);
        show_page_text(g->page, p->result[s.attack].name);
        fprintf(file, " at step %d", s.step);
    }
    if (a->has_routing && isfinite(a->routing.change[i]))
        fprintf(file, ", routing change %.3f", (double)a->routing.change[i]);
    fputs("</span></div>\n", file);
}

/* The first `most` samples of the seeded order that are broken, or that are not. */
static void triples_put(gallery *g, const uint32_t *order, bool broken, size_t most)
{
    size_t shown = 0;

    fputs("<div class=\"triples\">\n", g->page->out.file);
    for (size_t i = 0; i < g->a->n && shown < most && g->status == BASE_OK; i++) {
        const attack_sample s = attack_run_sample(g->a->run, order[i]);

        if (!s.right || s.broken != broken)
            continue;
        triple_put(g, order[i]);
        shown++;
    }
    fputs("</div>\n", g->page->out.file);
}

base_status app_attack_pictures(const app_attack *a, show_page *page, base_error *err)
{
    const app_point *p = &a->point[a->main];
    base_rng rng = base_rng_make((uint64_t)a->args->common.seed, BASE_PURPOSE_SUBSET, a->n,
                                 0, 0x70696373); /* "pics" */
    gallery g = {.a = a, .page = page, .err = err};
    uint32_t *order = base_alloc(a->n, sizeof *order);

    g.shown = base_alloc(a->floats, sizeof *g.shown);
    g.logits = base_alloc(a->network.classes, sizeof *g.logits);
    g.patch = base_alloc(vit_config_tokens(a->network.config), sizeof *g.patch);
    if (!order || !g.shown || !g.logits || !g.patch) {
        g.status = base_fail(err, BASE_NO_MEMORY, "no memory for the page's pictures");
        goto done;
    }
    base_rng_permutation(&rng, order, a->n);
    if (p->clean > p->robust) {
        show_page_section(
            page, "Broken",
            "Drawn by chance from all broken samples. The third picture shows "
            "what was added, enlarged; the fourth where tokens went to other "
            "experts, the darker the more layers.");
        triples_put(&g, order, true, BROKEN_SHOWN);
    }
    if (p->robust > 0) {
        show_page_section(
            page, "Survived",
            "Drawn by chance from what no attack broke; the last one's best try.");
        triples_put(&g, order, false, SURVIVED_SHOWN);
    }
done:
    data_image_destroy(&g.picture);
    base_free(order);
    base_free(g.shown);
    base_free(g.logits);
    base_free(g.patch);
    return g.status;
}
