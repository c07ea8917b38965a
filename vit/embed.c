/* embed.c - from pixels to tokens.
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

/* Class token and registers in front of an image's patches. */
static void put_prefix(const vit_run *run, float *x)
{
    const size_t d = (size_t)run->config.width;
    const size_t registers = (size_t)run->config.registers;

    if (run->config.pool != VIT_POOL_GAP) {
        memcpy(x, run->weights.cls_token, d * sizeof *x);
        x += d;
    }
    if (registers > 0)
        memcpy(x, run->weights.reg_token, registers * d * sizeof *x);
}

/* Tokens first .. of x [T, D] through the norm before the blocks; a backward pass wants
 * them as they were. */
static void norm_pre(vit_run *run, float *x, size_t first, size_t rows)
{
    const size_t d = (size_t)run->config.width;
    float *at = x + first * d;

    if (run->embedded)
        memcpy(run->embedded + first * d, at, rows * d * sizeof *at);
    run->fp32->norm(at, run->pre_mean + first, run->pre_rstd + first, at,
                    run->weights.pre_weight, run->weights.pre_bias, rows, d,
                    (float)run->config.eps);
}

/* d_x [T, D] in place: from the gradient behind that norm to that before it. */
static void norm_pre_backward(vit_run *run, float *d_x)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;
    const bool train = run->mode == VIT_MODE_TRAIN;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t b = 0; b < run->batch; b++) {
        float *sums = run->partial + b * run->partial_width;
        float *d_y = run->d_norm + b * n * d, *at = d_x + b * n * d;

        memcpy(d_y, at, n * d * sizeof *at);
        memset(at, 0, n * d * sizeof *at);
        memset(sums, 0, 2 * d * sizeof *sums);
        run->kernels->norm_backward(at, train ? sums : NULL, sums + d, d_y,
                                    run->embedded + b * n * d, run->pre_mean + b * n,
                                    run->pre_rstd + b * n, run->weights.pre_weight, n, d);
    }
    if (train) {
        vit_partial_add(run->gradients.pre_weight, run, run->batch, 0, d);
        vit_partial_add(run->gradients.pre_bias, run, run->batch, d, d);
    }
}

void vit_embed_forward(vit_run *run, float *x, const float *images)
{
    const patch_grid g = grid_of(&run->config);
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;
    const size_t extra = n - g.count; /* class token, registers */
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
        if (first == 0)
            put_prefix(run, xb);
        run->kernels->add(rows, rows, position + token * d, (end + extra - token) * d);
        if (pieces == 1)
            embed_dropout(run, xb, b);
        if (run->config.pre_norm)
            norm_pre(run, x, b * n + token, end + extra - token);
        vit_lap(run, &mark, VIT_PART_PATCH);
    }
}

/* Where the gradient of token t, before the patches, goes. */
static float *prefix_gradient(const vit_run *run, size_t t)
{
    const vit_parameters *g = &run->gradients;

    if (run->config.pool == VIT_POOL_GAP)
        return g->reg_token + t * (size_t)run->config.width;
    return t == 0 ? g->cls_token : g->reg_token + (t - 1) * (size_t)run->config.width;
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
                run->fp32->axpy(prefix_gradient(run, t), 1.0f, row, d);
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

    if (run->config.pre_norm)
        norm_pre_backward(run, d_x);
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
