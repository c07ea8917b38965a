/* pictures.c - pictures of an attack for its document: clean, adversarial, what was added,
 * and where in the picture tokens changed their experts. Which samples are shown is drawn
 * with the seed, before anything is known of them. Free to change: how many, how they look.
 * */
#include "apps/attack/internal.h"

#include <math.h>

enum { BROKEN_SHOWN = 8, SURVIVED_SHOWN = 4, NAME = 128 };

typedef struct gallery {
    const app_attack *a;
    show_document *document;
    data_image picture;
    float *shown;    /* [D] */
    float *pixels;   /* [D] */
    float *logits;   /* [K] */
    unsigned *patch; /* [N] layers that changed */
    base_status status;
    base_error *err;
} gallery;

/* The picture into the document under a name of its own, which goes into list with a line
 * of text. */
static void picture_put(gallery *g, json_t *list, size_t sample, const char *caption)
{
    char key[96];

    snprintf(key, sizeof key, "%zu-%zu", sample, json_array_size(list));
    if (g->status == BASE_OK)
        g->status = show_document_picture(g->document, key, &g->picture, g->err);
    show_row(list, "{s:s, s:s}", "picture", key, "caption", caption);
}

/* pixels [C, S, S] in 0..1. */
static void pixels_put(gallery *g, json_t *list, size_t sample, const float *pixels,
                       const char *caption)
{
    if (g->status == BASE_OK)
        g->status =
            data_image_from(&g->picture, pixels, (size_t)g->a->network.config->channels,
                            g->a->network.size, NULL, NULL, g->err);
    picture_put(g, list, sample, caption);
}

/* A square a patch, the more orange the more MoE layers changed its experts. */
static void patches_put(gallery *g, json_t *list, size_t sample, const float *x,
                        const float *v)
{
    static const int none[3] = {238, 241, 245}, all[3] = {204, 88, 10};
    const vit_config *config = g->a->network.config;
    const size_t grid = g->a->network.size / (size_t)config->patch;
    const size_t first = vit_config_prefix(config);

    if (g->status == BASE_OK)
        g->status = measure_attacked_tokens(g->patch, g->a->target, x, v, g->err);
    if (g->status == BASE_OK)
        g->status = data_image_reserve(&g->picture, grid, grid, 3, g->err);
    for (size_t i = 0; i < 3 * grid * grid && g->status == BASE_OK; i++) {
        const double share = (double)g->patch[first + i / 3] / (double)g->a->routing.layers;

        g->picture.pixels[i] =
            (unsigned char)lround(none[i % 3] + share * (all[i % 3] - none[i % 3]));
    }
    picture_put(g, list, sample, "other experts");
}

/* "coat 97 %" of an image into list; whether it is the label. */
static bool answer_put(gallery *g, json_t *list, const float *image, int32_t label)
{
    const app_attack *a = g->a;
    char name[NAME];
    double probability;
    size_t top = 0;

    if (g->status == BASE_OK)
        g->status = measure_target_look(a->target, g->logits, image, 1, g->err);
    if (g->status != BASE_OK)
        return false;
    measure_verdict_top(&top, &probability, 1, g->logits, a->network.classes);
    show_fact(list, "%s %.0f %%",
              app_network_class(name, sizeof name, &a->network, a->source, top),
              100 * probability);
    return (int32_t)top == label;
}

static json_t *sample_json(gallery *g, size_t i)
{
    const app_attack *a = g->a;
    const app_point *p = &a->point[a->main];
    const attack_sample s = attack_run_sample(a->run, i);
    const float *x = a->read.pixels + i * a->read.floats;
    const float *v = attack_run_adversarial(a->run) + i * a->read.floats;
    json_t *pictures = json_array(), *answers = json_array(), *about = json_array();
    float largest = 0;
    char text[NAME];

    for (size_t k = 0; k < a->read.floats; k++)
        largest = fmaxf(largest, fabsf(v[k] - x[k]));
    for (size_t k = 0; k < a->read.floats; k++)
        g->shown[k] = largest > 0 ? (v[k] - x[k]) * 0.5f / largest + 0.5f : 0.5f;
    app_attack_pixels(g->pixels, a, x);
    pixels_put(g, pictures, a->read.sample[i], g->pixels, "clean");
    app_attack_pixels(g->pixels, a, v);
    pixels_put(g, pictures, a->read.sample[i], g->pixels, "adversarial");
    snprintf(text, sizeof text, "added, x %.3g",
             largest > 0 ? 0.5 / (a->unit * (double)largest) : 0.0);
    pixels_put(g, pictures, a->read.sample[i], g->shown, text);
    if (a->has_routing)
        patches_put(g, pictures, a->read.sample[i], x, v);
    answer_put(g, answers, x, s.label);
    const bool right = answer_put(g, answers, v, s.label);
    show_fact(
        about, "label %s",
        app_network_class(text, sizeof text, &a->network, a->source, (size_t)s.label));
    show_fact(about, "sample %u", a->read.sample[i]);
    show_fact(about, "%s %.4g", attack_norm_name(a->config.norm), a->unit * (double)s.norm);
    if (s.broken && s.attack >= 0 && (size_t)s.attack < p->count)
        show_fact(about, "by %s at step %d", p->result[s.attack].name, s.step);
    if (a->has_routing && isfinite(a->routing.change[i]))
        show_fact(about, "routing change %.3f", (double)a->routing.change[i]);
    return json_pack("{s:I, s:o, s:b, s:o, s:o}", "sample", (json_int_t)a->read.sample[i],
                     "answers", answers, "right", (int)right, "about", about, "pictures",
                     pictures);
}

/* The first `most` samples of the seeded order that are broken, or that are not. */
static json_t *samples_json(gallery *g, const uint32_t *order, bool broken, size_t most)
{
    json_t *list = json_array();

    for (size_t i = 0; i < g->a->n && json_array_size(list) < most && g->status == BASE_OK;
         i++) {
        const attack_sample s = attack_run_sample(g->a->run, order[i]);

        if (s.right && s.broken == broken)
            json_array_append_new(list, sample_json(g, order[i]));
    }
    return list;
}

base_status app_attack_pictures(const app_attack *a, show_document *document,
                                base_error *err)
{
    base_rng rng = base_rng_make((uint64_t)a->args->common.seed, BASE_PURPOSE_SUBSET, a->n,
                                 0, 0x70696373); /* "pics" */
    gallery g = {.a = a, .document = document, .err = err};
    uint32_t *order = app_take(NULL, a->n, sizeof *order);

    g.shown = app_take(NULL, a->read.floats, sizeof *g.shown);
    g.pixels = app_take(NULL, a->read.floats, sizeof *g.pixels);
    g.logits = app_take(NULL, a->network.classes, sizeof *g.logits);
    g.patch = app_take(NULL, vit_config_tokens(a->network.config), sizeof *g.patch);
    base_rng_permutation(&rng, order, a->n);
    json_object_set_new(show_document_json(document), "shown",
                        json_pack("{s:o, s:o}", "broken",
                                  samples_json(&g, order, true, BROKEN_SHOWN), "survived",
                                  samples_json(&g, order, false, SURVIVED_SHOWN)));
    data_image_destroy(&g.picture);
    return g.status;
}
