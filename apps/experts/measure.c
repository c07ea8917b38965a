/* measure.c - what was collected as numbers: mutual information and its kin, lifts, linear
 * probes, embeddings (routing.md 11 and 12). */
#include "apps/experts/internal.h"

#include <math.h>
#include <string.h>

static base_status tables_measure(app_study *s, app_study_layer *layer, uint64_t seed,
                                  base_error *err)
{
    for (int kind = 0; kind < APP_STUDY_KINDS; kind++) {
        app_study_table *t = &layer->of[kind];

        if (!t->table)
            continue;
        t->found = measure_table_of(t->table, s->classes, s->experts);
        if (!t->counts)
            continue;
        const base_status status = measure_table_chance(
            &t->chance, t->counts, s->labels, s->images, s->classes, s->experts, seed, err);
        if (status != BASE_OK)
            return status;
        t->chance_known = true;
    }
    return BASE_OK;
}

static base_status embed(app_study *s, app_study_layer *layer, base_error *err)
{
    float *x = app_take(NULL, s->points, s->width * sizeof *x);
    const size_t axes = s->width < 2 ? 1 : 2;
    base_status status = BASE_OK;

    layer->pca = app_take(NULL, s->points, 2 * sizeof *layer->pca);
    layer->tsne = app_take(NULL, s->points, 2 * sizeof *layer->tsne);
    for (size_t i = 0; i < s->points; i++)
        memcpy(x + i * s->width, layer->x + s->point[i] * s->width, s->width * sizeof *x);
    status = measure_pca(layer->pca, layer->variance, &layer->total, x, s->points, s->width,
                         axes, err);
    for (size_t i = s->points; axes < 2 && i-- > 0;) { /* a line in the plane */
        layer->pca[2 * i] = layer->pca[i];
        layer->pca[2 * i + 1] = 0;
    }
    if (status == BASE_OK)
        status = measure_tsne(layer->tsne, &layer->divergence, x, s->points, s->width,
                              &(measure_tsne_options){0}, err);
    return status;
}

/* Tokens that are embedded: spread evenly over the chosen ones. */
static void points_choose(app_study *s)
{
    const size_t wanted = (size_t)s->args->points;

    s->points = wanted < s->tokens ? wanted : s->tokens;
    s->point = app_take(NULL, s->points, sizeof *s->point);
    for (size_t i = 0; i < s->points; i++)
        s->point[i] = (uint32_t)((double)i * (double)s->tokens / (double)s->points);
}

base_status app_study_measure(app_study *s, const app_common *common, base_error *err)
{
    app_progress progress = {0};
    base_status status = BASE_OK;

    points_choose(s);
    app_progress_start(&progress, common, "probes and embeddings", "layers", s->layers, 0);
    for (size_t l = 0; l < s->layers && status == BASE_OK; l++) {
        app_study_layer *layer = &s->layer[l];

        app_progress_update(&progress, l, "block %zu", layer->block);
        status = tables_measure(s, layer, (uint64_t)common->seed, err);
        measure_lifts(layer->top, APP_STUDY_TOP, layer->of[APP_STUDY_PATCHES].table,
                      s->classes, s->experts);
        if (status == BASE_OK)
            status =
                measure_probe_fit(&layer->of_expert, layer->x, layer->expert, s->token_held,
                                  s->tokens, s->width, s->experts, MEASURE_PROBE_L2, err);
        if (status == BASE_OK)
            status =
                measure_probe_fit(&layer->of_label, layer->x, s->token_label, s->token_held,
                                  s->tokens, s->width, s->classes, MEASURE_PROBE_L2, err);
        if (status == BASE_OK)
            status = embed(s, layer, err);
    }
    app_progress_end(&progress);
    return status;
}
