/* embed.c - from pixels to tokens, and from the last tokens to logits.
 *
 * Patch embedding (Dosovitskiy et al. 2021, equation 1) is a convolution whose kernel equals its stride:
 * every pixel is used once, so unfolding the patches costs one copy and the convolution is one matrix
 * product with the weight [D, C * P * P] as it is stored. Free to change: how. Relied on elsewhere: token
 * order (row-major over the grid, class token first). */
#include <omp.h>
#include <string.h>

#include "vit/run_internal.h"

typedef struct patch_grid {
    size_t side, patch, channels, per_side, count, floats;
} patch_grid;

static patch_grid grid_of(const vit_config *c)
{
    const size_t per_side = (size_t)(c->image / c->patch);
    return (patch_grid){
        .side = (size_t)c->image,
        .patch = (size_t)c->patch,
        .channels = (size_t)c->channels,
        .per_side = per_side,
        .count = per_side * per_side,
        .floats = (size_t)c->channels * (size_t)c->patch * (size_t)c->patch,
    };
}

/* One image [C, S, S] and its patches [count, C * P * P], in either direction. */
static void unfold(float *patches, const float *image, const patch_grid *g)
{
    for (size_t p = 0; p < g->count; p++) {
        const size_t top = p / g->per_side * g->patch, left = p % g->per_side * g->patch;
        for (size_t c = 0; c < g->channels; c++)
            for (size_t y = 0; y < g->patch; y++)
                memcpy(patches + p * g->floats + (c * g->patch + y) * g->patch,
                       image + (c * g->side + top + y) * g->side + left,
                       g->patch * sizeof *image);
    }
}

static void fold(float *image, const float *patches, const patch_grid *g)
{
    for (size_t p = 0; p < g->count; p++) {
        const size_t top = p / g->per_side * g->patch, left = p % g->per_side * g->patch;
        for (size_t c = 0; c < g->channels; c++)
            for (size_t y = 0; y < g->patch; y++)
                memcpy(image + (c * g->side + top + y) * g->side + left,
                       patches + p * g->floats + (c * g->patch + y) * g->patch,
                       g->patch * sizeof *image);
    }
}

void vit_embed_forward(vit_run *run, float *x, const float *images)
{
    const patch_grid g = grid_of(&run->config);
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;
    const size_t extra = n - g.count; /* the class token */
    const size_t image_floats = g.channels * g.side * g.side;
    const vit_parameters *w = &run->weights;

#pragma omp parallel for schedule(dynamic, 1) num_threads(run->threads)
    for (size_t b = 0; b < run->batch; b++) {
        float *patches = run->patches + b * g.count * g.floats;
        float *xb = x + b * n * d;
        double mark = vit_lap_start(run);
        unfold(patches, images + b * image_floats, &g);
        vit_gemm(&run->exec, false, true, g.count, d, g.floats, 1.0f, patches, g.floats,
                 w->patch_weight, g.floats, 0.0f, xb + extra * d, d);
        run->kernels->bias(xb + extra * d, w->patch_bias, g.count, d);
        if (extra)
            memcpy(xb, w->cls_token, d * sizeof *xb);
        run->kernels->axpy(xb, 1.0f, run->sincos ? run->sincos : w->pos_embed, n * d);
        if (run->training && run->config.dropout > 0)
            vit_dropout(xb, n, d, run->config.dropout, &run->step, VIT_SITE_EMBED,
                        (run->step.first_sample + b) * n);
        vit_lap(run, &mark, VIT_PART_PATCH);
    }
}

/* The gradients that sum over images: position, class token, bias. One thread a token. */
static void embed_sums(vit_run *run, const float *d_x, size_t extra)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;
    const vit_parameters *g = &run->gradients;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t t = 0; t < n; t++) {
        for (size_t b = 0; b < run->batch; b++) {
            const float *row = d_x + (b * n + t) * d;
            if (!run->sincos)
                run->kernels->axpy(g->pos_embed + t * d, 1.0f, row, d);
            if (t < extra)
                run->kernels->axpy(g->cls_token, 1.0f, row, d);
        }
    }
    for (size_t b = 0; b < run->batch; b++)
        run->kernels->column_sum(g->patch_bias, d_x + (b * n + extra) * d, n - extra, d);
}

void vit_embed_backward(vit_run *run, float *d_images, float *d_x)
{
    const patch_grid g = grid_of(&run->config);
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;
    const size_t extra = n - g.count, image_floats = g.channels * g.side * g.side;

    if (run->training && run->config.dropout > 0) {
#pragma omp parallel for schedule(static) num_threads(run->threads)
        for (size_t b = 0; b < run->batch; b++)
            vit_dropout(d_x + b * n * d, n, d, run->config.dropout, &run->step,
                        VIT_SITE_EMBED, (run->step.first_sample + b) * n);
    }
    if (run->mode == VIT_MODE_TRAIN) {
        embed_sums(run, d_x, extra);
        /* rows without the class token are contiguous per image only: move them together */
        float *rows = extra ? run->d_norm : d_x;
        if (extra) {
#pragma omp parallel for schedule(static) num_threads(run->threads)
            for (size_t b = 0; b < run->batch; b++)
                memcpy(rows + b * g.count * d, d_x + (b * n + extra) * d,
                       g.count * d * sizeof *rows);
        }
        vit_gemm(&run->exec, true, false, d, g.floats, run->batch * g.count, 1.0f, rows, d,
                 run->patches, g.floats, 1.0f, run->gradients.patch_weight, g.floats);
    }
    if (!d_images)
        return;
#pragma omp parallel for schedule(dynamic, 1) num_threads(run->threads)
    for (size_t b = 0; b < run->batch; b++) {
        float *patches = run->patches + b * g.count * g.floats; /* not needed any more */
        vit_gemm(&run->exec, false, false, g.count, g.floats, d, 1.0f,
                 d_x + (b * n + extra) * d, d, run->weights.patch_weight, g.floats, 0.0f,
                 patches, g.floats);
        fold(d_images + b * image_floats, patches, &g);
    }
}

void vit_head_forward(vit_run *run, float *logits)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image, b = run->batch;
    const size_t classes = (size_t)run->config.classes;
    const vit_parameters *w = &run->weights;

    if (run->config.pool == VIT_POOL_TOKEN) {
        for (size_t i = 0; i < b; i++)
            memcpy(run->pooled_in + i * d, run->last + i * n * d, d * sizeof *run->last);
        run->kernels->norm(run->pooled, run->mean, run->rstd, run->pooled_in,
                           w->norm_weight, w->norm_bias, b, d, VIT_NORM_EPS);
    } else {
#pragma omp parallel for schedule(static) num_threads(run->threads)
        for (size_t i = 0; i < b; i++) {
            float *normed = run->final_norm + i * n * d, *mean = run->pooled + i * d;
            run->kernels->norm(normed, run->mean + i * n, run->rstd + i * n,
                               run->last + i * n * d, w->norm_weight, w->norm_bias, n, d,
                               VIT_NORM_EPS);
            memset(mean, 0, d * sizeof *mean);
            run->kernels->column_sum(mean, normed, n, d);
            for (size_t j = 0; j < d; j++)
                mean[j] /= (float)n;
        }
    }
    vit_gemm(&run->exec, false, true, b, classes, d, 1.0f, run->pooled, d, w->head_weight,
             d, 0.0f, logits, classes);
    run->kernels->bias(logits, w->head_bias, b, classes);
}

void vit_head_backward(vit_run *run, float *d_x, const float *d_logits)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image, b = run->batch;
    const size_t classes = (size_t)run->config.classes;
    const vit_parameters *w = &run->weights;
    const bool train = run->mode == VIT_MODE_TRAIN;
    float *d_gamma = train ? run->gradients.norm_weight : NULL;
    float *d_beta = train ? run->gradients.norm_bias : NULL;

    vit_gemm(&run->exec, false, false, b, d, classes, 1.0f, d_logits, classes,
             w->head_weight, d, 0.0f, run->d_pooled, d);
    if (train) {
        vit_gemm(&run->exec, true, false, classes, d, b, 1.0f, d_logits, classes,
                 run->pooled, d, 1.0f, run->gradients.head_weight, d);
        run->kernels->column_sum(run->gradients.head_bias, d_logits, b, classes);
    }
    memset(d_x, 0, run->tokens * d * sizeof *d_x);
    if (run->config.pool == VIT_POOL_TOKEN) {
        float *d_in = run->d_norm; /* [B, D] */
        memset(d_in, 0, b * d * sizeof *d_in);
        run->kernels->norm_backward(d_in, d_gamma, d_beta, run->d_pooled, run->pooled_in,
                                    run->mean, run->rstd, w->norm_weight, b, d);
        for (size_t i = 0; i < b; i++)
            memcpy(d_x + i * n * d, d_in + i * d, d * sizeof *d_x);
        return;
    }
#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t i = 0; i < b; i++) {
        float *sums = run->partial + i * run->partial_width;
        float *d_normed = run->d_norm + i * n * d;
        for (size_t t = 0; t < n; t++)
            for (size_t j = 0; j < d; j++)
                d_normed[t * d + j] = run->d_pooled[i * d + j] / (float)n;
        memset(sums, 0, 2 * d * sizeof *sums);
        run->kernels->norm_backward(d_x + i * n * d, train ? sums : NULL, sums + d,
                                    d_normed, run->last + i * n * d, run->mean + i * n,
                                    run->rstd + i * n, w->norm_weight, n, d);
    }
    if (train) {
        vit_partial_add(d_gamma, run, b, 0, d);
        vit_partial_add(d_beta, run, b, d, d);
    }
}
