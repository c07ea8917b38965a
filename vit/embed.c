/* embed.c - from pixels to tokens, and from the last tokens to logits.
 *
 * Patch embedding (Dosovitskiy et al. 2021, equation 1) is a convolution whose kernel
 * equals its stride: every pixel is used once, so unfolding the patches costs one copy and
 * the convolution is one matrix product with the weight [D, C * P * P] as it is stored.
 * Free to change: how. Relied on elsewhere: token order (row-major over the grid, class
 * token first). */
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

/* Patches first .. end - 1 of an image [C, S, S] to patches [count, C * P * P] as
 * operands. */
static void unfold(const vit_run *run, void *patches, const float *image,
                   const patch_grid *g, size_t first, size_t end)
{
    for (size_t p = first; p < end; p++) {
        const size_t top = p / g->per_side * g->patch, left = p % g->per_side * g->patch;
        for (size_t c = 0; c < g->channels; c++)
            for (size_t y = 0; y < g->patch; y++)
                run->operand->round(
                    vit_at(run, patches, p * g->floats + (c * g->patch + y) * g->patch),
                    1.0f, image + (c * g->side + top + y) * g->side + left, g->patch);
    }
}

/* All of them back from fp32. */
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

static void embed_dropout(const vit_run *run, float *x, size_t b)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;

    if (run->training && run->config.dropout > 0)
        vit_dropout(run->fp32, x, sizeof *x, n, d, run->config.dropout, &run->step,
                    VIT_SITE_EMBED, (run->step.first_sample + b) * n);
}

/* Pieces of an image that are embedded on their own: as many images as threads or few more
 * would leave threads without work. */
static size_t pieces_of_image(const vit_run *run)
{
    enum { MANY = 4 };
    const size_t threads = (size_t)run->threads;
    size_t pieces = 1;

    if (run->training || run->batch >= MANY * threads)
        return 1;
    while (run->batch * pieces % threads != 0)
        pieces++;
    return pieces;
}

void vit_embed_forward(vit_run *run, float *x, const float *images)
{
    const patch_grid g = grid_of(&run->config);
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;
    const size_t extra = n - g.count; /* the class token */
    const size_t image_floats = g.channels * g.side * g.side;
    const size_t pieces = pieces_of_image(run), step = (g.count + pieces - 1) / pieces;
    const vit_parameters *w = &run->weights;
    const float *position = run->sincos ? run->sincos : w->pos_embed;

#pragma omp parallel for schedule(dynamic, 1) num_threads(run->threads)
    for (size_t task = 0; task < run->batch * pieces; task++) {
        const size_t b = task / pieces, first = task % pieces * step;
        const size_t end = vit_min(first + step, g.count);
        if (first >= end)
            continue;
        void *patches = vit_at(run, run->patches, b * g.count * g.floats);
        /* tokens: those of the patches, and what stands before the first */
        const size_t token = first == 0 ? 0 : first + extra;
        float *xb = x + b * n * d, *rows = xb + token * d;
        double mark = vit_lap_start(run);
        unfold(run, patches, images + b * image_floats, &g, first, end);
        vit_linear_forward(&run->exec, VIT_LINEAR_PATCH, end - first,
                           vit_at(run, patches, first * g.floats), xb + (first + extra) * d,
                           true);
        if (first == 0 && extra)
            memcpy(xb, w->cls_token, d * sizeof *xb);
        run->kernels->add(rows, rows, position + token * d, (end + extra - token) * d);
        if (pieces == 1)
            embed_dropout(run, xb, b);
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
                run->fp32->axpy(g->pos_embed + t * d, 1.0f, row, d);
            if (t < extra)
                run->fp32->axpy(g->cls_token, 1.0f, row, d);
        }
    }
    for (size_t b = 0; b < run->batch; b++)
        run->fp32->column_sum(g->patch_bias, d_x + (b * n + extra) * d, n - extra, d);
}

void vit_embed_backward(vit_run *run, float *d_images, float *d_x)
{
    const patch_grid g = grid_of(&run->config);
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;
    const size_t extra = n - g.count, image_floats = g.channels * g.side * g.side;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t b = 0; b < run->batch; b++)
        embed_dropout(run, d_x + b * n * d, b);
    if (run->mode == VIT_MODE_TRAIN) {
        embed_sums(run, d_x, extra);
        /* rows without the class token are contiguous per image only: move them together */
        void *rows = run->d_branch;
#pragma omp parallel for schedule(static) num_threads(run->threads)
        for (size_t b = 0; b < run->batch; b++)
            run->operand->round(vit_at(run, rows, b * g.count * d), 1.0f,
                                d_x + (b * n + extra) * d, g.count * d);
        vit_gradients_add(run,
                          &(vit_gradient){d, g.floats, run->batch * g.count, rows,
                                          run->patches, run->gradients.patch_weight},
                          1);
    }
    if (!d_images)
        return;
#pragma omp parallel for schedule(dynamic, 1) num_threads(run->threads)
    for (size_t b = 0; b < run->batch; b++) {
        /* the operands of the forward pass are not needed any more */
        float *patches = (float *)run->patches + b * g.count * g.floats;
        void *rows = vit_at(run, run->d_branch, b * g.count * d);
        run->operand->round(rows, 1.0f, d_x + (b * n + extra) * d, g.count * d);
        vit_linear_backward(&run->exec, VIT_LINEAR_PATCH, g.count, rows, patches, true);
        fold(d_images + b * image_floats, patches, &g);
    }
}

/* The head's rows, one for each image, in pieces for the threads. */
static void head_products(vit_run *run, const void *in, void *out, bool backward)
{
    const size_t b = run->batch, d = (size_t)run->config.width;
    const size_t classes = (size_t)run->config.classes;
    const size_t step = (b + (size_t)run->threads - 1) / (size_t)run->threads;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t first = 0; first < b; first += step) {
        const size_t rows = vit_min(step, b - first);
        if (backward)
            vit_linear_backward(&run->exec, VIT_LINEAR_HEAD, rows,
                                vit_at(run, in, first * classes), (float *)out + first * d,
                                true);
        else
            vit_linear_forward(&run->exec, VIT_LINEAR_HEAD, rows,
                               vit_at(run, in, first * d), (float *)out + first * classes,
                               true);
    }
}

void vit_head_forward(vit_run *run, float *logits)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image, b = run->batch;
    const size_t before = vit_config_prefix(&run->config); /* tokens of no patch */
    const vit_parameters *w = &run->weights;

    if (run->config.pool == VIT_POOL_TOKEN) {
        for (size_t i = 0; i < b; i++)
            memcpy(run->pooled_in + i * d, run->last + i * n * d, d * sizeof *run->last);
        run->operand->norm(run->pooled, run->mean, run->rstd, run->pooled_in,
                           w->norm_weight, w->norm_bias, b, d, VIT_NORM_EPS);
    } else {
#pragma omp parallel for schedule(static) num_threads(run->threads)
        for (size_t i = 0; i < b; i++) {
            float *normed = run->final_norm + i * n * d, *mean = run->pooled_in + i * d;
            run->fp32->norm(normed, run->mean + i * n, run->rstd + i * n,
                            run->last + i * n * d, w->norm_weight, w->norm_bias, n, d,
                            VIT_NORM_EPS);
            memset(mean, 0, d * sizeof *mean);
            run->fp32->column_sum(mean, normed + before * d, n - before, d);
            for (size_t j = 0; j < d; j++)
                mean[j] /= (float)(n - before);
            run->operand->round(vit_at(run, run->pooled, i * d), 1.0f, mean, d);
        }
    }
    head_products(run, run->pooled, logits, false);
}

void vit_head_backward(vit_run *run, float *d_x, const float *d_logits)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image, b = run->batch;
    const size_t classes = (size_t)run->config.classes;
    const size_t before = vit_config_prefix(&run->config);
    const vit_parameters *w = &run->weights;
    const bool train = run->mode == VIT_MODE_TRAIN;
    float *d_gamma = train ? run->gradients.norm_weight : NULL;
    float *d_beta = train ? run->gradients.norm_bias : NULL;

    run->operand->round(run->d_logits, 1.0f, d_logits, b * classes);
    head_products(run, run->d_logits, run->d_pooled, true);
    if (train) {
        vit_gradients_add(run,
                          &(vit_gradient){classes, d, b, run->d_logits, run->pooled,
                                          run->gradients.head_weight},
                          1);
        run->fp32->column_sum(run->gradients.head_bias, d_logits, b, classes);
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
        memset(d_normed, 0, before * d * sizeof *d_normed);
        for (size_t t = before; t < n; t++)
            for (size_t j = 0; j < d; j++)
                d_normed[t * d + j] = run->d_pooled[i * d + j] / (float)(n - before);
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
