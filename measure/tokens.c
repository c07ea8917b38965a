/* tokens.c - what routers see of some tokens of a set of images, and how much of the choice
 * of experts and of the class a line through it tells (routing.md 11). Relied on elsewhere:
 * which tokens are chosen and which images are held out depends on the seed and the samples
 * alone. */
#include "measure/measure.h"

#include <string.h>

base_status measure_tokens_create(measure_tokens *out, const vit_config *config,
                                  size_t images, size_t room, uint64_t seed,
                                  base_error *err)
{
    const size_t rows = (size_t)(config->image / config->patch);
    measure_tokens made = {.width = (size_t)config->width,
                           .patches = rows * rows,
                           .first = vit_config_tokens(config) - rows * rows,
                           .images = images,
                           .seed = seed};

    for (int block = 0; block < config->depth; block++)
        made.layers += config->moe.layer[block];
    made.room = room / made.patches > images ? images * made.patches : room;
    made.sample = base_alloc(made.room, sizeof *made.sample);
    made.patch = base_alloc(made.room, sizeof *made.patch);
    made.label = base_alloc(made.room, sizeof *made.label);
    made.right = base_alloc(made.room, sizeof *made.right);
    made.held = base_alloc(made.room, sizeof *made.held);
    made.x = base_alloc(made.layers * made.room, made.width * sizeof *made.x);
    made.expert = base_alloc(made.layers * made.room, sizeof *made.expert);
    made.order = base_alloc(made.patches, sizeof *made.order);
    if (!made.sample || !made.patch || !made.label || !made.right || !made.held ||
        !made.x || !made.expert || !made.order) {
        measure_tokens_destroy(&made);
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu tokens of %zu layers",
                         room, made.layers);
    }
    *out = made;
    return BASE_OK;
}

void measure_tokens_destroy(measure_tokens *tokens)
{
    base_free(tokens->sample);
    base_free(tokens->patch);
    base_free(tokens->label);
    base_free(tokens->right);
    base_free(tokens->held);
    base_free(tokens->x);
    base_free(tokens->expert);
    base_free(tokens->order);
    *tokens = (measure_tokens){0};
}

/* Chosen tokens before image i: spread evenly over the set. */
static size_t quota_before(const measure_tokens *t, size_t i)
{
    return (size_t)((double)t->room * (double)i / (double)t->images);
}

void measure_tokens_add(measure_tokens *tokens, const vit_run *run, size_t image,
                        uint32_t sample, int32_t label, bool right)
{
    measure_tokens *t = tokens;
    const size_t wanted = quota_before(t, t->seen + 1) - quota_before(t, t->seen);
    const size_t most = t->patches < t->room - t->count ? t->patches : t->room - t->count;
    const size_t count = wanted < most ? wanted : most;
    base_rng rng = base_rng_make(t->seed, BASE_PURPOSE_SUBSET, sample, 0, 14);
    const bool held = base_key((uint64_t[]){sample, 15}, 2) % MEASURE_HELD_OUT == 0;

    if (count > 0)
        base_rng_permutation(&rng, t->order, t->patches);
    for (size_t i = t->count; i < t->count + count; i++) {
        t->sample[i] = sample;
        t->patch[i] = t->order[i - t->count];
        t->label[i] = label;
        t->right[i] = right;
        t->held[i] = held;
    }
    for (size_t l = 0; l < t->layers; l++) {
        const vit_routing r = vit_run_routing(run, l);
        const float *x = vit_run_router_input(run, l);

        for (size_t i = t->count; i < t->count + count; i++) {
            const size_t token = image * r.tokens_per_image + t->first + t->patch[i];
            const size_t at = l * t->room + i;

            memcpy(t->x + at * t->width, x + token * t->width, t->width * sizeof *x);
            t->expert[at] = r.start[token + 1] > r.start[token]
                                ? (int32_t)r.expert[r.start[token]]
                                : -1;
        }
    }
    t->count += count;
    t->seen++;
}

size_t measure_tokens_point(const measure_tokens *tokens, size_t i, size_t points)
{
    return (size_t)((double)i * (double)tokens->count / (double)points);
}

/* x [points, width]. */
static base_status embed(measure_tokens_layer *out, const float *x, size_t points,
                         size_t width, base_error *err)
{
    const size_t axes = width < 2 ? 1 : 2;
    base_status status =
        measure_pca(out->pca, out->variance, &out->total, x, points, width, axes, err);

    for (size_t i = points; axes < 2 && i-- > 0;) { /* a line in the plane */
        out->pca[2 * i] = out->pca[i];
        out->pca[2 * i + 1] = 0;
    }
    if (status == BASE_OK)
        status = measure_tsne(out->tsne, &out->divergence, x, points, width,
                              &(measure_tsne_options){0}, err);
    return status;
}

base_status measure_tokens_layer_make(measure_tokens_layer *out,
                                      const measure_tokens *tokens, size_t layer,
                                      size_t points, size_t experts, size_t classes,
                                      base_error *err)
{
    const measure_tokens *t = tokens;
    const float *x = t->x + layer * t->room * t->width;
    float *some = base_alloc(points, t->width * sizeof *some);

    *out = (measure_tokens_layer){.pca = base_alloc(points, 2 * sizeof *out->pca),
                                  .tsne = base_alloc(points, 2 * sizeof *out->tsne)};
    base_status status =
        out->pca && out->tsne && some
            ? BASE_OK
            : base_fail(err, BASE_NO_MEMORY, "no memory for %zu points", points);
    if (status == BASE_OK)
        status = measure_probe_fit(&out->of_expert, x, t->expert + layer * t->room, t->held,
                                   t->count, t->width, experts, MEASURE_PROBE_L2, err);
    if (status == BASE_OK)
        status = measure_probe_fit(&out->of_label, x, t->label, t->held, t->count, t->width,
                                   classes, MEASURE_PROBE_L2, err);
    for (size_t i = 0; i < points && status == BASE_OK; i++)
        memcpy(some + i * t->width, x + measure_tokens_point(t, i, points) * t->width,
               t->width * sizeof *some);
    if (status == BASE_OK)
        status = embed(out, some, points, t->width, err);
    base_free(some);
    return status;
}

void measure_tokens_layer_destroy(measure_tokens_layer *layer)
{
    base_free(layer->pca);
    base_free(layer->tsne);
    *layer = (measure_tokens_layer){0};
}
