/* attention.c - x1 = x + proj(softmax(q k^T / sqrt(D / H)) v), q, k, v from norm1(x)
 * (Vaswani et al. 2017, section 3.2.2; pre-norm as Dosovitskiy et al. 2021, equation 2).
 *
 * Three sweeps: norm and qkv per block of rows; some heads per task (attention_heads.c);
 * projection and residual per block of rows. Backward walks the same sweeps in reverse. */
#include <string.h>

#include "vit/run_internal.h"

/* qkv [rows, 3D], operands, with a norm over each head's queries and keys (Dehghani et al.
 * 2023, "Scaling vision transformers to 22 billion parameters", section 2; timm's qk_norm).
 * What the norm saw is kept for backward. Its scratch lies behind qkv. */
static void qk_forward(vit_run *run, size_t i, size_t first, size_t rows,
                       const void *normed, void *qkv)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const size_t d = (size_t)run->config.width, h = (size_t)run->config.heads;
    const float eps = (float)run->config.eps;
    float *plain = (float *)(((uintptr_t)vit_at(run, qkv, rows * 3 * d) + 63) / 64 * 64);

    vit_linear_forward(&run->exec, s->linear + VIT_LINEAR_QKV, rows, normed, plain, true);
    for (size_t row = 0; row < rows; row++) {
        const float *from = plain + row * 3 * d;
        void *to = vit_at(run, qkv, row * 3 * d);
        const size_t at = (first + row) * 2 * h;

        if (s->qk)
            memcpy(s->qk + (first + row) * 2 * d, from, 2 * d * sizeof *from);
        run->operand->norm(to, s->qk_mean + at, s->qk_rstd + at, from, w->q_norm_weight,
                           w->q_norm_bias, h, d / h, eps);
        run->operand->norm(vit_at(run, to, d), s->qk_mean + at + h, s->qk_rstd + at + h,
                           from + d, w->k_norm_weight, w->k_norm_bias, h, d / h, eps);
        run->operand->round(vit_at(run, to, 2 * d), 1.0f, from + 2 * d, d);
    }
}

/* Queries and keys of d_qkv, rows first .. of it, in place: from the gradient behind their
 * norm to that before it. sums [4 D / H]: += the gradients of both norms. */
static void qk_backward_rows(vit_run *run, size_t i, size_t first, size_t rows, float *sums)
{
    const vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const size_t d = (size_t)run->config.width, h = (size_t)run->config.heads, e = d / h;
    const bool train = run->mode == VIT_MODE_TRAIN;
    float *d_y = vit_scratch(run), *d_in = d_y + 2 * d;

    for (size_t row = first; row < first + rows; row++) {
        void *at = vit_at(run, run->d_qkv, row * 3 * d);
        const float *mean = s->qk_mean + row * 2 * h, *rstd = s->qk_rstd + row * 2 * h;
        const float *x = s->qk + row * 2 * d;

        memset(d_y, 0, 4 * d * sizeof *d_y);
        run->operand->axpy(d_y, 1.0f, at, 2 * d);
        run->kernels->norm_backward(d_in, train ? sums : NULL, sums + e, d_y, x, mean, rstd,
                                    w->q_norm_weight, h, e);
        run->kernels->norm_backward(d_in + d, train ? sums + 2 * e : NULL, sums + 3 * e,
                                    d_y + d, x + d, mean + h, rstd + h, w->k_norm_weight, h,
                                    e);
        run->operand->round(at, 1.0f, d_in, 2 * d);
    }
}

static void qk_backward(vit_run *run, size_t i)
{
    const vit_block_parameters *g = &run->gradients.block[i];
    const size_t blocks = vit_blocks(run), step = run->block_rows;
    const size_t e = (size_t)(run->config.width / run->config.heads);

    vit_share_cut(run, 0, blocks);
#pragma omp parallel num_threads(run->threads)
    for (size_t block; vit_share_take(run, 0, &block);) {
        float *sums = run->partial + block * run->partial_width;
        double mark = vit_lap_start(run);

        memset(sums, 0, 4 * e * sizeof *sums);
        qk_backward_rows(run, i, block * step, vit_min(step, run->tokens - block * step),
                         sums);
        vit_lap(run, &mark, VIT_PART_NORM);
    }
    if (run->mode != VIT_MODE_TRAIN)
        return;
    vit_partial_add(g->q_norm_weight, run, blocks, 0, e);
    vit_partial_add(g->q_norm_bias, run, blocks, e, e);
    vit_partial_add(g->k_norm_weight, run, blocks, 2 * e, e);
    vit_partial_add(g->k_norm_bias, run, blocks, 3 * e, e);
}

void vit_attention_forward(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const size_t d = (size_t)run->config.width, step = run->block_rows;
    const size_t tasks = vit_heads_tasks(run, true);

    vit_share_cut(run, 0, vit_blocks(run));
    vit_share_cut(run, 1, tasks);
    vit_share_cut(run, 2, vit_blocks(run));
#pragma omp parallel num_threads(run->threads)
    {
        float *scratch = vit_scratch(run);

        for (size_t block; vit_share_take(run, 0, &block);) {
            const size_t first = block * step, rows = vit_min(step, run->tokens - first);
            void *normed = vit_at_or(run, s->norm1, first * d, scratch);
            double mark = vit_lap_start(run);
            run->operand->norm(normed, s->mean1 + first, s->rstd1 + first, s->x + first * d,
                               w->norm1_weight, w->norm1_bias, rows, d,
                               (float)run->config.eps);
            vit_lap(run, &mark, VIT_PART_NORM);
            void *qkv = vit_at(run, scratch, rows * d);
            if (run->config.qk_norm)
                qk_forward(run, i, first, rows, normed, qkv);
            else
                vit_linear_forward(&run->exec, s->linear + VIT_LINEAR_QKV, rows, normed,
                                   qkv, false);
            vit_lap(run, &mark, VIT_PART_PROJECTION);
            vit_heads_place(run, s->qkv, qkv, 3, first, rows);
            vit_lap(run, &mark, VIT_PART_ATTENTION);
        }

#pragma omp barrier
        for (size_t task; vit_share_take(run, 1, &task);)
            vit_heads_forward(run, s, task);
#pragma omp barrier
        for (size_t block; vit_share_take(run, 2, &block);) {
            const size_t first = block * step, rows = vit_min(step, run->tokens - first);
            double mark = vit_lap_start(run);
            vit_linear_forward(&run->exec, s->linear + VIT_LINEAR_PROJ, rows,
                               vit_at(run, s->attention, first * d), scratch, true);
            vit_branch_regularise(scratch, run, i, VIT_SITE_ATTENTION, first, rows);
            run->kernels->add(s->x1 + first * d, s->x + first * d, scratch, rows * d);
            vit_lap(run, &mark, VIT_PART_PROJECTION);
        }
    }
}

/* Where the gradient of the branch lies: in the stream's itself when it is an operand as it
 * is. */
static void *branch_gradient(const vit_run *run, size_t i)
{
    const bool same =
        run->precision == VIT_PRECISION_FP32 && !vit_branch_regularised(run, i);

    return same ? run->d_x : run->d_branch;
}

/* The branch's gradient from the stream's; d_heads <- that of the heads' outputs. */
static void projection_backward(vit_run *run, size_t i, size_t first, size_t rows)
{
    const size_t d = (size_t)run->config.width;
    void *d_y = vit_at(run, branch_gradient(run, i), first * d);
    float *scratch = vit_scratch(run);
    double mark = vit_lap_start(run);

    if (vit_branch_regularised(run, i)) {
        memcpy(scratch, run->d_x + first * d, rows * d * sizeof *scratch);
        vit_branch_regularise(scratch, run, i, VIT_SITE_ATTENTION, first, rows);
        run->operand->round(d_y, 1.0f, scratch, rows * d);
    } else if (run->precision == VIT_PRECISION_BF16) {
        run->operand->round(d_y, 1.0f, run->d_x + first * d, rows * d);
    }
    vit_linear_backward(&run->exec, run->block[i].linear + VIT_LINEAR_PROJ, rows, d_y,
                        scratch, false);
    if (run->mode == VIT_MODE_TRAIN) {
        float *sums = run->partial + first / run->block_rows * run->partial_width;
        memset(sums, 0, d * sizeof *sums);
        run->operand->column_sum(sums, d_y, rows, d);
    }
    vit_lap(run, &mark, VIT_PART_PROJECTION);
    vit_heads_place(run, run->d_heads, scratch, 1, first, rows);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
}

void vit_attention_backward(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const vit_block_parameters *g = &run->gradients.block[i];
    const bool train = run->mode == VIT_MODE_TRAIN;
    const size_t d = (size_t)run->config.width, step = run->block_rows, t = run->tokens;
    const size_t blocks = vit_blocks(run), tasks = vit_heads_tasks(run, false);
    const bool extra = s->router && s->router->wants_attention;

    vit_share_cut(run, 0, blocks);
    vit_share_cut(run, 1, tasks);
#pragma omp parallel num_threads(run->threads)
    {
        for (size_t block; vit_share_take(run, 0, &block);)
            projection_backward(run, i, block * step, vit_min(step, t - block * step));
#pragma omp barrier
        for (size_t task; vit_share_take(run, 1, &task);)
            vit_heads_backward(run, s, task, extra);
    }

    if (train)
        vit_partial_add(g->proj_bias, run, blocks, 0, d); /* before others take its place */
    if (run->config.qk_norm)
        qk_backward(run, i);
    if (train) {
        double alone = vit_lap_start(run);
        vit_gradients_add(
            run,
            (const vit_gradient[]){
                {3 * d, d, t, run->d_qkv, s->norm1, g->qkv_weight},
                {d, d, t, branch_gradient(run, i), s->attention, g->proj_weight},
            },
            2);
        vit_lap_alone(run, &alone, VIT_PART_PROJECTION);
    }

    vit_share_cut(run, 0, blocks);
#pragma omp parallel num_threads(run->threads)
    for (size_t block; vit_share_take(run, 0, &block);) {
        const size_t first = block * step, rows = vit_min(step, t - first);
        const void *d_qkv = vit_at(run, run->d_qkv, first * 3 * d);
        float *sums = run->partial + first / step * run->partial_width;
        float *scratch = vit_scratch(run);
        double mark = vit_lap_start(run);
        vit_linear_backward(&run->exec, s->linear + VIT_LINEAR_QKV, rows, d_qkv, scratch,
                            true);
        if (train) {
            memset(sums, 0, 5 * d * sizeof *sums);
            run->operand->column_sum(sums, d_qkv, rows, 3 * d);
        }
        vit_lap(run, &mark, VIT_PART_PROJECTION);
        run->kernels->norm_backward(
            run->d_x + first * d, train ? sums + 3 * d : NULL, sums + 4 * d, scratch,
            s->x + first * d, s->mean1 + first, s->rstd1 + first, w->norm1_weight, rows, d);
        vit_lap(run, &mark, VIT_PART_NORM);
    }
    if (train) {
        double alone = vit_lap_start(run);
        vit_partial_add(g->qkv_bias, run, blocks, 0, 3 * d);
        vit_lap_alone(run, &alone, VIT_PART_PROJECTION);
        vit_partial_add(g->norm1_weight, run, blocks, 3 * d, d);
        vit_partial_add(g->norm1_bias, run, blocks, 4 * d, d);
        vit_lap_alone(run, &alone, VIT_PART_NORM);
    }
}
