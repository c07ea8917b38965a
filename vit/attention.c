/* attention.c - x1 = x + proj(softmax(q k^T / sqrt(D / H)) v), q, k, v from norm1(x)
 * (Vaswani et al. 2017, section 3.2.2; pre-norm as Dosovitskiy et al. 2021, equation 2).
 *
 * Three sweeps: norm and qkv per block of rows; the products of one head of one image per task, read
 * straight out of qkv [T, 3D] by their row distance, so that nothing is permuted; projection and
 * residual per block of rows. Backward walks the same sweeps in reverse. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "vit/run_internal.h"

void vit_attention_forward(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const size_t d = (size_t)run->config.width, heads = (size_t)run->config.heads;
    const size_t n = run->tokens_per_image, per_head = d / heads;
    const float scale = 1.0f / sqrtf((float)per_head);

#pragma omp parallel num_threads(run->threads)
    {
        float *scratch = vit_scratch(run);

#pragma omp for schedule(dynamic, 1)
        for (size_t first = 0; first < run->tokens; first += VIT_ROWS) {
            const size_t rows = vit_min(VIT_ROWS, run->tokens - first);
            double mark = vit_lap_start(run);
            run->kernels->norm(s->norm1 + first * d, s->mean1 + first, s->rstd1 + first,
                               s->x + first * d, w->norm1_weight, w->norm1_bias, rows, d,
                               VIT_NORM_EPS);
            vit_lap(run, &mark, VIT_PART_NORM);
            vit_gemm(&run->exec, false, true, rows, 3 * d, d, 1.0f, s->norm1 + first * d, d,
                     w->qkv_weight, d, 0.0f, s->qkv + first * 3 * d, 3 * d);
            run->kernels->bias(s->qkv + first * 3 * d, w->qkv_bias, rows, 3 * d);
            vit_lap(run, &mark, VIT_PART_PROJECTION);
        }

#pragma omp for schedule(dynamic, 1)
        for (size_t task = 0; task < run->batch * heads; task++) {
            const size_t b = task / heads, h = task % heads;
            const float *q = s->qkv + b * n * 3 * d + h * per_head;
            float *p = s->probs ? s->probs + task * n * n : scratch;
            double mark = vit_lap_start(run);
            vit_gemm(&run->exec, false, true, n, n, per_head, scale, q, 3 * d, q + d, 3 * d,
                     0.0f, p, n);
            vit_lap(run, &mark, VIT_PART_ATTENTION);
            run->kernels->softmax(p, n, n, n);
            vit_lap(run, &mark, VIT_PART_SOFTMAX);
            vit_gemm(&run->exec, false, false, n, per_head, n, 1.0f, p, n, q + 2 * d, 3 * d,
                     0.0f, s->attention + b * n * d + h * per_head, d);
            vit_lap(run, &mark, VIT_PART_ATTENTION);
        }

#pragma omp for schedule(dynamic, 1)
        for (size_t first = 0; first < run->tokens; first += VIT_ROWS) {
            const size_t rows = vit_min(VIT_ROWS, run->tokens - first);
            double mark = vit_lap_start(run);
            vit_gemm(&run->exec, false, true, rows, d, d, 1.0f, s->attention + first * d, d,
                     w->proj_weight, d, 0.0f, scratch, d);
            run->kernels->bias(scratch, w->proj_bias, rows, d);
            vit_branch_regularise(scratch, run, i, VIT_SITE_ATTENTION, first, rows);
            float *x1 = s->x1 + first * d;
            if (x1 != s->x + first * d)
                memcpy(x1, s->x + first * d, rows * d * sizeof *x1);
            run->kernels->axpy(x1, 1.0f, scratch, rows * d);
            vit_lap(run, &mark, VIT_PART_PROJECTION);
        }
    }
}

/* Gradients of q, k, v of one head of one image. d_p: n * n floats of scratch, or d_attention. */
static void head_backward(vit_run *run, const vit_block_state *s, size_t task, float *d_p,
                          float beta, float scale)
{
    const size_t d = (size_t)run->config.width, heads = (size_t)run->config.heads;
    const size_t n = run->tokens_per_image, per_head = d / heads;
    const size_t b = task / heads, h = task % heads;
    const float *q = s->qkv + b * n * 3 * d + h * per_head;
    const float *p = s->probs + task * n * n;
    const float *d_o = run->d_norm + b * n * d + h * per_head;
    float *d_q = run->d_qkv + b * n * 3 * d + h * per_head;
    double mark = vit_lap_start(run);

    vit_gemm(&run->exec, false, true, n, n, per_head, 1.0f, d_o, d, q + 2 * d, 3 * d, beta,
             d_p, n);
    vit_gemm(&run->exec, true, false, n, per_head, n, 1.0f, p, n, d_o, d, 0.0f, d_q + 2 * d,
             3 * d);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
    run->kernels->softmax_backward(d_p, p, n, n, n);
    vit_lap(run, &mark, VIT_PART_SOFTMAX);
    vit_gemm(&run->exec, false, false, n, per_head, n, scale, d_p, n, q + d, 3 * d, 0.0f,
             d_q, 3 * d);
    vit_gemm(&run->exec, true, false, n, per_head, n, scale, d_p, n, q, 3 * d, 0.0f,
             d_q + d, 3 * d);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
}

void vit_attention_backward(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const bool train = run->mode == VIT_MODE_TRAIN;
    const size_t d = (size_t)run->config.width, heads = (size_t)run->config.heads;
    const size_t n = run->tokens_per_image, per_head = d / heads;
    const float scale = 1.0f / sqrtf((float)per_head);
    const bool regularised = vit_branch_regularised(run, i);
    const float *d_branch = regularised ? run->d_branch : run->d_x;
    const bool extra = s->router && s->router->wants_attention;

#pragma omp parallel num_threads(run->threads)
    {
        float *scratch = vit_scratch(run);

        /* d_norm <- gradient of the heads' outputs */
#pragma omp for schedule(dynamic, 1)
        for (size_t first = 0; first < run->tokens; first += VIT_ROWS) {
            const size_t rows = vit_min(VIT_ROWS, run->tokens - first);
            const float *d_y = d_branch + first * d;
            double mark = vit_lap_start(run);
            if (regularised) {
                memcpy(run->d_branch + first * d, run->d_x + first * d,
                       rows * d * sizeof *scratch);
                vit_branch_regularise(run->d_branch + first * d, run, i, VIT_SITE_ATTENTION,
                                      first, rows);
            }
            vit_gemm(&run->exec, false, false, rows, d, d, 1.0f, d_y, d, w->proj_weight, d,
                     0.0f, run->d_norm + first * d, d);
            if (train) {
                float *sums = run->partial + first / VIT_ROWS * run->partial_width;
                memset(sums, 0, d * sizeof *sums);
                run->kernels->column_sum(sums, d_y, rows, d);
            }
            vit_lap(run, &mark, VIT_PART_PROJECTION);
        }

#pragma omp for schedule(dynamic, 1)
        for (size_t task = 0; task < run->batch * heads; task++)
            head_backward(run, s, task, extra ? run->d_attention + task * n * n : scratch,
                          extra ? 1.0f : 0.0f, scale);
    }

    const size_t blocks = vit_row_blocks(run->tokens);
    double alone = vit_lap_start(run);
    if (train) {
        const vit_block_parameters *g = &run->gradients.block[i];
        vit_gemm(&run->exec, true, false, d, d, run->tokens, 1.0f, d_branch, d,
                 s->attention, d, 1.0f, g->proj_weight, d);
        vit_partial_add(g->proj_bias, run, blocks, 0, d);
        vit_gemm(&run->exec, true, false, 3 * d, d, run->tokens, 1.0f, run->d_qkv, 3 * d,
                 s->norm1, d, 1.0f, g->qkv_weight, d);
        vit_lap_alone(run, &alone, VIT_PART_PROJECTION);
    }

#pragma omp parallel for schedule(dynamic, 1) num_threads(run->threads)
    for (size_t first = 0; first < run->tokens; first += VIT_ROWS) {
        const size_t rows = vit_min(VIT_ROWS, run->tokens - first);
        float *sums = run->partial + first / VIT_ROWS * run->partial_width;
        float *scratch = vit_scratch(run);
        double mark = vit_lap_start(run);
        vit_gemm(&run->exec, false, false, rows, d, 3 * d, 1.0f, run->d_qkv + first * 3 * d,
                 3 * d, w->qkv_weight, d, 0.0f, scratch, d);
        if (train) {
            memset(sums, 0, 5 * d * sizeof *sums);
            run->kernels->column_sum(sums, run->d_qkv + first * 3 * d, rows, 3 * d);
        }
        vit_lap(run, &mark, VIT_PART_PROJECTION);
        run->kernels->norm_backward(
            run->d_x + first * d, train ? sums + 3 * d : NULL, sums + 4 * d, scratch,
            s->x + first * d, s->mean1 + first, s->rstd1 + first, w->norm1_weight, rows, d);
        vit_lap(run, &mark, VIT_PART_NORM);
    }
    if (train) {
        const vit_block_parameters *g = &run->gradients.block[i];
        alone = vit_lap_start(run);
        vit_partial_add(g->qkv_bias, run, blocks, 0, 3 * d);
        vit_lap_alone(run, &alone, VIT_PART_PROJECTION);
        vit_partial_add(g->norm1_weight, run, blocks, 3 * d, d);
        vit_partial_add(g->norm1_bias, run, blocks, 4 * d, d);
        vit_lap_alone(run, &alone, VIT_PART_NORM);
    }
}
