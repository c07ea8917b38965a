/* mlp.c - the dense block's second half: x_next = x1 + fc2(gelu(fc1(norm2(x1)))).
 *
 * One sweep forward and one backward: a block of rows goes through the norm, both products, bias, GELU
 * and the residual while it is in the cache. Dropout after GELU and after fc2, as timm's Mlp. */
#include <omp.h>
#include <string.h>

#include "vit/run_internal.h"

void vit_mlp_forward(vit_run *run, size_t i, float *x_next)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const size_t d = (size_t)run->config.width, m = (size_t)run->config.mlp;
    const int tanh_form = run->config.gelu == VIT_GELU_TANH;
    const bool drop = run->training && run->config.dropout > 0;

#pragma omp parallel for schedule(dynamic, 1) num_threads(run->threads)
    for (size_t first = 0; first < run->tokens; first += VIT_ROWS) {
        const size_t rows = vit_min(VIT_ROWS, run->tokens - first);
        float *scratch = vit_scratch(run);
        float *hidden = s->hidden + first * m, *active = s->active + first * m;
        double mark = vit_lap_start(run);
        run->kernels->norm(s->norm2 + first * d, s->mean2 + first, s->rstd2 + first,
                           s->x1 + first * d, w->norm2_weight, w->norm2_bias, rows, d,
                           VIT_NORM_EPS);
        vit_lap(run, &mark, VIT_PART_NORM);
        vit_gemm(&run->exec, false, true, rows, m, d, 1.0f, s->norm2 + first * d, d,
                 w->fc1_weight, d, 0.0f, hidden, m);
        run->kernels->bias_gelu(active, hidden, w->fc1_bias, rows, m, tanh_form);
        if (drop)
            vit_dropout(active, rows, m, run->config.dropout, &run->step,
                        8 * i + VIT_SITE_HIDDEN,
                        run->step.first_sample * run->tokens_per_image + first);
        vit_gemm(&run->exec, false, true, rows, d, m, 1.0f, active, m, w->fc2_weight, m,
                 0.0f, scratch, d);
        run->kernels->bias(scratch, w->fc2_bias, rows, d);
        vit_branch_regularise(scratch, run, i, VIT_SITE_MLP, first, rows);
        if (x_next != s->x1)
            memcpy(x_next + first * d, s->x1 + first * d, rows * d * sizeof *scratch);
        run->kernels->axpy(x_next + first * d, 1.0f, scratch, rows * d);
        vit_lap(run, &mark, VIT_PART_MLP);
    }
}

void vit_mlp_backward(vit_run *run, size_t i)
{
    vit_block_state *s = &run->block[i];
    const vit_block_parameters *w = &run->weights.block[i];
    const size_t d = (size_t)run->config.width, m = (size_t)run->config.mlp;
    const int tanh_form = run->config.gelu == VIT_GELU_TANH;
    const bool train = run->mode == VIT_MODE_TRAIN;
    const bool drop = run->training && run->config.dropout > 0;
    const bool regularised = vit_branch_regularised(run, i);
    const size_t blocks = vit_row_blocks(run->tokens);
    /* with nothing dropped the branch's gradient is the stream's, but that changes in the sweep: the
     * products for fc2's weight need it as it was */
    double alone = vit_lap_start(run);
    if (train || regularised)
        memcpy(run->d_branch, run->d_x, run->tokens * d * sizeof *run->d_x);
    vit_lap_alone(run, &alone, VIT_PART_MLP);

#pragma omp parallel for schedule(dynamic, 1) num_threads(run->threads)
    for (size_t first = 0; first < run->tokens; first += VIT_ROWS) {
        const size_t rows = vit_min(VIT_ROWS, run->tokens - first);
        float *scratch = vit_scratch(run);
        float *d_hidden = run->d_hidden + first * m;
        float *sums = run->partial + first / VIT_ROWS * run->partial_width;
        double mark = vit_lap_start(run);
        if (regularised)
            vit_branch_regularise(run->d_branch + first * d, run, i, VIT_SITE_MLP, first,
                                  rows);
        const float *d_y = (train || regularised ? run->d_branch : run->d_x) + first * d;
        vit_gemm(&run->exec, false, false, rows, m, d, 1.0f, d_y, d, w->fc2_weight, m, 0.0f,
                 d_hidden, m);
        if (drop)
            vit_dropout(d_hidden, rows, m, run->config.dropout, &run->step,
                        8 * i + VIT_SITE_HIDDEN,
                        run->step.first_sample * run->tokens_per_image + first);
        run->kernels->gelu_backward(d_hidden, s->hidden + first * m, rows * m, tanh_form);
        vit_gemm(&run->exec, false, false, rows, d, m, 1.0f, d_hidden, m, w->fc1_weight, d,
                 0.0f, scratch, d);
        if (train) {
            memset(sums, 0, (m + 3 * d) * sizeof *sums);
            run->kernels->column_sum(sums, d_hidden, rows, m);
            run->kernels->column_sum(sums + m, d_y, rows, d);
        }
        vit_lap(run, &mark, VIT_PART_MLP);
        run->kernels->norm_backward(run->d_x + first * d, train ? sums + m + d : NULL,
                                    sums + m + 2 * d, scratch, s->x1 + first * d,
                                    s->mean2 + first, s->rstd2 + first, w->norm2_weight,
                                    rows, d);
        vit_lap(run, &mark, VIT_PART_NORM);
    }
    if (!train)
        return;
    alone = vit_lap_start(run);
    const vit_block_parameters *g = &run->gradients.block[i];
    vit_gemm(&run->exec, true, false, d, m, run->tokens, 1.0f, run->d_branch, d, s->active,
             m, 1.0f, g->fc2_weight, m);
    vit_gemm(&run->exec, true, false, m, d, run->tokens, 1.0f, run->d_hidden, m, s->norm2,
             d, 1.0f, g->fc1_weight, d);
    vit_partial_add(g->fc1_bias, run, blocks, 0, m);
    vit_partial_add(g->fc2_bias, run, blocks, m, d);
    vit_lap_alone(run, &alone, VIT_PART_MLP);
    vit_partial_add(g->norm2_weight, run, blocks, m + d, d);
    vit_partial_add(g->norm2_bias, run, blocks, m + 2 * d, d);
    vit_lap_alone(run, &alone, VIT_PART_NORM);
}
