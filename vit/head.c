/* head.c - from the last tokens to logits: norm and pooling (or pooling and norm, timm's
 * fc_norm), the layer with tanh that some networks have there (Dosovitskiy et al. 2021,
 * section 3.1: in pre-training), the classifier. Free to change: how. Relied on elsewhere:
 * tokens of no patch are not in the mean. */
#include <math.h>
#include <string.h>

#include "vit/run_internal.h"

/* A layer's rows, one for each image, in pieces for the threads. */
static void head_products(vit_run *run, size_t linear, size_t in_width, size_t out_width,
                          const void *in, float *out, bool backward)
{
    const size_t b = run->batch;
    const size_t step = (b + (size_t)run->threads - 1) / (size_t)run->threads;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t first = 0; first < b; first += step) {
        const size_t rows = vit_min(step, b - first);
        const void *from = vit_at(run, in, first * in_width);

        if (backward)
            vit_linear_backward(&run->exec, linear, rows, from, out + first * out_width,
                                true);
        else
            vit_linear_forward(&run->exec, linear, rows, from, out + first * out_width,
                               true);
    }
}

/* Whether the last norm sees one row of an image. */
static bool pooled_first(const vit_run *run)
{
    return run->config.pool == VIT_POOL_TOKEN || run->config.fc_norm;
}

/* mean [D] of an image's patches in tokens [N, D]. */
static void patches_mean(const vit_run *run, float *mean, const float *tokens)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;
    const size_t before = vit_config_prefix(&run->config);

    memset(mean, 0, d * sizeof *mean);
    run->fp32->column_sum(mean, tokens + before * d, n - before, d);
    for (size_t j = 0; j < d; j++)
        mean[j] /= (float)(n - before);
}

/* d_tokens [N, D] of an image is overwritten by what its mean's gradient d_mean [D] makes
 * of it. */
static void patches_spread(const vit_run *run, float *d_tokens, const float *d_mean)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;
    const size_t before = vit_config_prefix(&run->config);

    memset(d_tokens, 0, before * d * sizeof *d_tokens);
    for (size_t t = before; t < n; t++)
        for (size_t j = 0; j < d; j++)
            d_tokens[t * d + j] = d_mean[j] / (float)(n - before);
}

/* run->pooled from run->last. */
static void pool(vit_run *run)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image, b = run->batch;
    const vit_parameters *w = &run->weights;
    const float eps = (float)run->config.eps;

#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t i = 0; i < b; i++) {
        const float *tokens = run->last + i * n * d;
        float *row = run->pooled_in + i * d;

        if (run->config.pool == VIT_POOL_TOKEN) {
            memcpy(row, tokens, d * sizeof *row);
        } else if (run->config.fc_norm) {
            patches_mean(run, row, tokens);
        } else {
            float *normed = run->final_norm + i * n * d;
            run->fp32->norm(normed, run->mean + i * n, run->rstd + i * n, tokens,
                            w->norm_weight, w->norm_bias, n, d, eps);
            patches_mean(run, row, normed);
            run->operand->round(vit_at(run, run->pooled, i * d), 1.0f, row, d);
        }
    }
    if (pooled_first(run))
        run->operand->norm(run->pooled, run->mean, run->rstd, run->pooled_in,
                           w->norm_weight, w->norm_bias, b, d, eps);
}

void vit_head_forward(vit_run *run, float *logits)
{
    const size_t d = (size_t)run->config.width, b = run->batch;
    const size_t r = (size_t)run->config.prelogits;

    pool(run);
    if (r > 0) {
        head_products(run, run->hidden_linear, d, r, run->pooled, run->hidden, false);
        for (size_t i = 0; i < b * r; i++)
            run->hidden[i] = tanhf(run->hidden[i]);
        run->operand->round(run->features, 1.0f, run->hidden, b * r);
    }
    head_products(run, VIT_LINEAR_HEAD, vit_config_features(&run->config),
                  (size_t)run->config.classes, run->features, logits, false);
}

/* The layer before the head: run->d_pooled (where on) from run->d_features, which is
 * overwritten. */
static void hidden_backward(vit_run *run, bool on)
{
    const size_t d = (size_t)run->config.width, b = run->batch;
    const size_t r = (size_t)run->config.prelogits;

    for (size_t i = 0; i < b * r; i++)
        run->d_features[i] *= 1.0f - run->hidden[i] * run->hidden[i];
    run->operand->round(run->d_hidden_in, 1.0f, run->d_features, b * r);
    if (on)
        head_products(run, run->hidden_linear, r, d, run->d_hidden_in, run->d_pooled, true);
    if (run->mode != VIT_MODE_TRAIN)
        return;
    vit_gradients_add(run,
                      &(vit_gradient){r, d, b, run->d_hidden_in, run->pooled,
                                      run->gradients.hidden_weight},
                      1);
    run->fp32->column_sum(run->gradients.hidden_bias, run->d_features, b, r);
}

void vit_head_backward(vit_run *run, float *d_x, const float *d_logits)
{
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image, b = run->batch;
    const size_t classes = (size_t)run->config.classes;
    const size_t features = vit_config_features(&run->config);
    const vit_parameters *w = &run->weights;
    const bool train = run->mode == VIT_MODE_TRAIN;
    float *d_gamma = train ? run->gradients.norm_weight : NULL;
    float *d_beta = train ? run->gradients.norm_bias : NULL;
    /* whether the gradient goes on to the last norm, which frozen blocks may have */
    const bool on = run->frozen <= (size_t)run->config.depth || run->config.fc_norm;

    run->operand->round(run->d_logits, 1.0f, d_logits, b * classes);
    if (on || run->config.prelogits > 0)
        head_products(run, VIT_LINEAR_HEAD, classes, features, run->d_logits,
                      run->d_features, true);
    if (train) {
        vit_gradients_add(run,
                          &(vit_gradient){classes, features, b, run->d_logits,
                                          run->features, run->gradients.head_weight},
                          1);
        run->fp32->column_sum(run->gradients.head_bias, d_logits, b, classes);
    }
    if (run->config.prelogits > 0)
        hidden_backward(run, on);
    if (!on)
        return;
    memset(d_x, 0, run->tokens * d * sizeof *d_x);
    if (pooled_first(run)) {
        float *d_in = run->d_norm; /* [B, D] */
        memset(d_in, 0, b * d * sizeof *d_in);
        run->kernels->norm_backward(d_in, d_gamma, d_beta, run->d_pooled, run->pooled_in,
                                    run->mean, run->rstd, w->norm_weight, b, d);
        for (size_t i = 0; i < b; i++)
            if (run->config.pool == VIT_POOL_TOKEN)
                memcpy(d_x + i * n * d, d_in + i * d, d * sizeof *d_x);
            else
                patches_spread(run, d_x + i * n * d, d_in + i * d);
        return;
    }
#pragma omp parallel for schedule(static) num_threads(run->threads)
    for (size_t i = 0; i < b; i++) {
        float *sums = run->partial + i * run->partial_width;
        float *d_normed = run->d_norm + i * n * d;
        patches_spread(run, d_normed, run->d_pooled + i * d);
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
